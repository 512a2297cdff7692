"""How good the weights of a training run are so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from faiglib.images import datasets
from faiglib.images.degradations import INPUTS, noise_generator, quantise
from faiglib.images.metrics import psnr
from faiglib.training.checkpoint import with_average

#: Inputs on which networks are judged.
JUDGED = ("clean", "blurry", "noisy")
#: Side in HR pixels of the crops that they are judged on while they are trained, and when they are published.
VALIDATION_CROP = 96


def validation_crops(scale: int = 2, side: int | None = None) -> dict[str, tuple[Tensor, Tensor]]:
    """Crops of scikit-image's photographs in the judged degradations, {input: (network input, ground truth)}.

    Args:
        scale: of the network.
        side: of a crop in HR pixels, :data:`VALIDATION_CROP` by default.
    """
    images = [image for _, image in datasets.find("skimage").load(crop=side or VALIDATION_CROP)]
    degraded = {
        kind: torch.cat(
            [replace(INPUTS[kind], scale=scale)(image, noise_generator(0, n)) for n, image in enumerate(images)]
        )
        for kind in JUDGED
    }
    return {kind: (low, torch.cat(images)) for kind, low in degraded.items()}


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
