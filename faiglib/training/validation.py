"""How good the weights of a training run are so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from faiglib.images.degradations import quantise
from faiglib.images.metrics import psnr
from faiglib.training.checkpoint import with_average


@torch.no_grad()
def validate(
    network: nn.Module,
    parameters: Sequence[Tensor],
    average: Sequence[Tensor],
    validation: Mapping[str, tuple[Tensor, Tensor]],
) -> dict[str, float]:
    """PSNR in dB of the averaged weights, one value per named input.

    Args:
        network: whose weights are replaced for that; in training mode afterwards.
        parameters: that are trained.
        average: of them, in the same order.
        validation: network input and ground truth, (N, 3, h, w) and (N, 3, H, W) in [0, 1], by name.
    """
    if not validation:
        return {}
    weights = with_average(dict(network.named_parameters()), parameters, average)
    values = {}
    network.eval()
    for name, (low, ground_truth) in validation.items():
        restored = torch.func.functional_call(network, weights, (low.to(average[0].device),))
        values[f"psnr_{name}"] = float(psnr(quantise(restored.float()), ground_truth.to(restored.device)).mean())
    network.train()
    return values
