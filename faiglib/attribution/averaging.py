"""Scores of many images, shared out over processes, with the same bits whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm import tqdm

from faiglib.errors import FilterError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def in_image_order(count: int, compute: Callable[[int], Tensor], fabric: Fabric | None) -> Iterator[Tensor]:
    """The results of all images, on every rank and in the order of the images, each computed by one rank.

    So every sum over them has the same bits whatever the number of processes.

    Args:
        count: number of images.
        compute: from the number of an image to a tensor on the CPU, of one shape for all.
        fabric: launched; None computes everything here.
    """
    if fabric is None or fabric.world_size == 1:
        yield from map(compute, range(count))
        return
    world = fabric.world_size
    own: Tensor | None = None
    for start in range(0, count, world):
        number = start + fabric.global_rank
        # A rank without an image in the last round takes part in the exchange all the same, and is not read.
        own = compute(min(number, count - 1)) if number < count or own is None else own
        gathered = fabric.all_gather(own.to(fabric.device))
        assert isinstance(gathered, Tensor)
        yield from gathered.cpu()[: count - start]


def per_image(
    images: Iterable[tuple[Tensor, Tensor]],
    values: Callable[[tuple[Tensor, Tensor]], Tensor],
    progress: str | None = None,
    fabric: Fabric | None = None,
) -> Iterator[Tensor]:
    """The values of each pair of tensors, in their order, with a progress bar when it has a label.

    Args:
        images: the same pairs on every rank.
        values: of one pair, (n,) float64 on the CPU.
        progress: label of the bar.
        fabric: launched, to share the images out over its ranks; each gets the values of all of them.

    Raises:
        FilterError: there are no pairs.
    """
    pairs: Sequence[tuple[Tensor, Tensor]] = list(images)
    if not pairs:
        raise FilterError("attribution averages over images, and there are none")
    hidden = progress is None or (fabric is not None and not fabric.is_global_zero)
    results = in_image_order(len(pairs), lambda number: values(pairs[number]), fabric)
    yield from tqdm(results, desc=progress, unit="image", total=len(pairs), disable=hidden)


def mean_over_images(
    images: Iterable[tuple[Tensor, Tensor]],
    values: Callable[[tuple[Tensor, Tensor]], Tensor],
    progress: str | None,
    fabric: Fabric | None = None,
) -> Tensor:
    """The mean of :func:`per_image`, which never holds more than one of its results."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for count, one in enumerate(per_image(images, values, progress, fabric), start=1):  # noqa: B007
        total = total + one
    return total / count
