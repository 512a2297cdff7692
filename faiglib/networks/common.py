"""What the networks share: the upsampling steps of a scale, and the initialisation."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from faiglib.errors import NetworkError

#: Pixel-shuffle factors of the scales that the networks enlarge by.
SCALES = {2: (2,), 3: (3,), 4: (2, 2)}


def shuffle_factors(scale: int) -> tuple[int, ...]:
    """Pixel-shuffle factors whose product is ``scale``: (2,) for 2, (3,) for 3, (2, 2) for 4.

    Raises:
        NetworkError: the scale is not 2, 3 or 4.
    """
    if scale not in SCALES:
        raise NetworkError(f"scale must be 2, 3 or 4, not {scale}")
    return SCALES[scale]


@torch.no_grad()
def kaiming_normal(conv: nn.Conv2d, mode: Literal["fan_in", "fan_out"], gain_factor: float = 1.0) -> None:
    """Draw the weights from N(0, gain_factor² · 2 / fan) and set the bias to zero (He et al. 2015)."""
    channels = conv.in_channels if mode == "fan_in" else conv.out_channels
    fan = channels * math.prod(conv.kernel_size)
    conv.weight.normal_(0.0, gain_factor * math.sqrt(2.0 / fan))
    if conv.bias is not None:
        conv.bias.zero_()
