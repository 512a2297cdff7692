"""Running a network on an image, as everything that judges or saves its output does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from faiglib.degradations import quantise

#: Input pixels that run through a network at once: enough to keep the cores busy, 16 MiB for a layer of 64 channels.
PIXELS = 2**16


@torch.no_grad()
def restore(network: nn.Module, image: Tensor) -> Tensor:
    """Restored image, rounded to 8 bits as a saved file would be: (N, 3, h, w) → (N, 3, scale·h, scale·w) in [0, 1]."""
    return quantise(network(image.contiguous(memory_format=torch.channels_last)).float())


def restore_all(network: nn.Module, images: Sequence[Tensor]) -> list[Tensor]:
    """Restored images in the given order, each (1, 3, scale·h, scale·w); those of one size run together.

    Args:
        network: that restores.
        images: each (1, 3, h, w).
    """
    places: dict[torch.Size, list[int]] = {}
    for place, image in enumerate(images):
        places.setdefault(image.shape, []).append(place)
    restored: dict[int, Tensor] = {}
    for shape, same in places.items():
        together = max(1, PIXELS // (shape[-2] * shape[-1]))
        for start in range(0, len(same), together):
            chosen = same[start : start + together]
            outputs = restore(network, torch.cat([images[place] for place in chosen]))
            restored.update(zip(chosen, outputs.split(1), strict=True))
    return [restored[place] for place in range(len(images))]
