"""Scores of many images, shared out over processes, with the same bits whatever their number."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm import tqdm

from faiglib.errors import FaiglibError, FilterError, SharedError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Bytes of a sentence that ranks exchange.
LONGEST = 2000


def in_image_order(count: int, compute: Callable[[int], Tensor], fabric: Fabric | None) -> Iterator[Tensor]:
    """The results of all images, on every rank and in the order of the images, each computed by one rank.

    So every sum over them has the same bits whatever the number of processes.

    Args:
        count: number of images.
        compute: from the number of an image to a tensor on the CPU, of one shape for all.
        fabric: launched; None computes everything here.

    Raises:
        SharedError: an image cannot be used by some rank; every rank raises it.
    """
    if fabric is None or fabric.world_size == 1:
        yield from map(compute, range(count))
        return
    world = fabric.world_size
    own: Tensor | None = None
    for start in range(0, count, world):
        number, failure = start + fabric.global_rank, ""
        # A rank without an image in the last round takes part in the exchange all the same, and is not read.
        if number < count or own is None:
            try:
                own = compute(min(number, count - 1))
            except FaiglibError as error:
                failure = str(error)
        _raise_together(failure, fabric)
        assert own is not None
        yield from _gathered(own, fabric)[: count - start]


def _gathered(own: Tensor, fabric: Fabric) -> Tensor:
    """The tensors of all ranks, (ranks, …) on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of the collective that Fabric calls
        found = fabric.all_gather(own.to(fabric.device))
    assert isinstance(found, Tensor)
    return found.cpu()


def _raise_together(failure: str, fabric: Fabric) -> None:
    """Let every rank fail with the sentence of the first one that failed, since the others would wait for it.

    Raises:
        SharedError: a rank failed.
    """
    said = torch.zeros(LONGEST, dtype=torch.uint8)
    letters = failure.encode()[:LONGEST]
    said[: len(letters)] = torch.tensor(list(letters), dtype=torch.uint8)
    for one in _gathered(said, fabric):
        if one.any():
            raise SharedError(bytes(one.tolist()).rstrip(b"\0").decode(errors="ignore"))


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
