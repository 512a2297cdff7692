"""Running a network on an image, as everything that judges or saves its output does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faiglib.degradations import quantise


@torch.no_grad()
def restore(network: nn.Module, image: Tensor) -> Tensor:
    """Restored image, rounded to 8 bits as a saved file would be: (N, 3, h, w) → (N, 3, scale·h, scale·w) in [0, 1]."""
    return quantise(network(image.contiguous(memory_format=torch.channels_last)).float())
