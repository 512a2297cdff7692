"""Running a network on an image, as everything that judges or saves its output does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from faiglib.images.degradations import quantise
from faiglib.system.passes import forward, out_of_memory, restoring_bytes
from faiglib.system.tiling import Tiling

#: Input pixels that run through a network at once: enough to keep the cores busy, 16 MiB for a layer of 64 channels.
PIXELS = 2**16


@torch.no_grad()
def restore(network: nn.Module, image: Tensor, memory_limit: int | None = None) -> Tensor:
    """Restored image, rounded to 8 bits as a saved file would be: (N, 3, h, w) → (N, 3, scale·h, scale·w) in [0, 1].

    Args:
        network: that restores.
        image: in [0, 1].
        memory_limit: bytes that one pass may take by :func:`faiglib.system.passes.restoring_bytes`; a larger image is
            restored
            in tiles, which gives the same up to rounding. So is one for which the memory runs out.

    Raises:
        NetworkError: the network fails, or the image has to be cut and cannot be.
        FaiglibError: the memory does not suffice for the smallest tiles.
    """
    whole = image.contiguous(memory_format=torch.channels_last)

    def run(inputs: Tensor) -> Tensor:
        return forward(network, inputs.contiguous(memory_format=torch.channels_last))

    tiling = Tiling(network, run, partial(restoring_bytes, network), memory_limit)
    while True:
        count = tiling.count(whole)
        try:
            return quantise((run(whole) if count == 1 else _in_tiles(tiling, whole)).float())
        except Exception as error:
            if not out_of_memory(error):
                raise
        tiling.halve(whole)


def _in_tiles(tiling: Tiling, image: Tensor) -> Tensor:
    """The network's output, put together from tiles."""
    cuts = tiling.cuts(image)
    parts = [cuts.output(tiling.run, image, tile) for tile in tiling.tiles(image)]
    height, width = max(rows.stop for _, rows, _ in parts), max(columns.stop for _, _, columns in parts)
    result = parts[0][0].new_empty((*parts[0][0].shape[:2], height, width))
    for output, rows, columns in parts:
        result[..., rows, columns] = output
    return result


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
