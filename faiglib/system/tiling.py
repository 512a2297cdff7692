"""Passes over an image in tiles, as many as the memory asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from faiglib.errors import FaiglibError
from faiglib.system.cuts import LEAST_TILE, ROUNDING, Cuts, Forward, find_cuts, tiles, with_margin


class Tiling:
    """How many tiles the images of each size are cut into, for one network.

    Args:
        network: that computes them.
        run: its forward pass.
        needed: bytes for an input of a shape (1, C, h, w).
        memory_limit: bytes that may be needed at a time; None sets no bound.
        rounding: see :data:`ROUNDING`.
        differentiated: whether parameters are differentiated, and may change between images: what is zero now, such as
            a gate that training has not opened, then matters all the same.

    Raises:
        ValueError: the limit is not positive.
    """

    def __init__(
        self,
        network: nn.Module,
        run: Forward,
        needed: Callable[[tuple[int, ...]], int],
        memory_limit: int | None,
        rounding: float = ROUNDING,
        differentiated: bool = False,
    ) -> None:
        if memory_limit is not None and memory_limit <= 0:
            raise ValueError(f"a memory limit is a positive number of bytes, not {memory_limit}")
        self.network, self.run, self.needed = network, run, needed
        self.memory_limit, self.rounding, self.differentiated = memory_limit, rounding, differentiated
        self.counts: dict[tuple[int, int], int] = {}
        self._cuts: Cuts | None = None

    def cuts(self, inputs: Tensor) -> Cuts:
        """Where images may be cut, found out with the first that has to be.

        Raises:
            NetworkError: nowhere.
        """
        if self._cuts is None:
            with parameters_moved(self.network) if self.differentiated else nullcontext():
                self._cuts = find_cuts(self.network, inputs, self.run, self.rounding)
        return self._cuts

    def count(self, inputs: Tensor) -> int:
        """Number of tiles for an image, a power of two, of which each fits into the memory limit.

        Raises:
            NetworkError: the image has to be cut and cannot be.
            FaiglibError: the memory does not suffice for the smallest tiles.
        """
        size = (inputs.shape[-2], inputs.shape[-1])
        if size not in self.counts:
            self.counts[size] = 1
            while self.memory_limit is not None and self._largest(inputs) > self.memory_limit:
                self.halve(inputs)
        return self.counts[size]

    def tiles(self, inputs: Tensor) -> list[tuple[slice, slice]]:
        """The tiles of an image that is cut."""
        return tiles(inputs.shape[-2], inputs.shape[-1], self.count(inputs), self.cuts(inputs).stride)

    def _largest(self, inputs: Tensor) -> int:
        """Bytes for the largest tile of an image."""
        size = (inputs.shape[-2], inputs.shape[-1])
        if self.counts[size] == 1:
            return self.needed((1, inputs.shape[1], *size))
        cut = [with_margin(tile, self.cuts(inputs).margin, size) for tile in self.tiles(inputs)]
        sides = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in cut]
        return self.needed((1, inputs.shape[1], *max(sides, key=lambda side: side[0] * side[1])))

    def halve(self, inputs: Tensor) -> None:
        """Cut images of this size into twice as many tiles, once it is known that cutting is allowed and possible.

        Raises:
            NetworkError: the image cannot be cut for this network.
            FaiglibError: the tiles would become too small.
        """
        height, width = size = (inputs.shape[-2], inputs.shape[-1])
        if min(size) < 2 * LEAST_TILE:
            raise self._too_little(size)
        twice = tiles(height, width, 2 * self.counts[size], self.cuts(inputs).stride)
        if any(min(rows.stop - rows.start, columns.stop - columns.start) < LEAST_TILE for rows, columns in twice):
            raise self._too_little(size)
        self.counts[size] *= 2

    def _too_little(self, size: tuple[int, int]) -> FaiglibError:
        limit = "" if self.memory_limit is None else f" of {self.memory_limit:,} bytes"
        cuts = "" if self._cuts is None else f" with the network's reach of {self._cuts.margin}"
        return FaiglibError(
            f"the memory{limit} does not suffice for a {size[1]}x{size[0]} image, not even in tiles of {LEAST_TILE} "
            f"pixels{cuts}; crop the image or allow more"
        )


@contextmanager
def parameters_moved(network: nn.Module) -> Iterator[None]:
    """Every parameter a little elsewhere in the block, by noise of a tenth of its tensor's mean size, or of 0.05."""
    kept = [parameter.detach().clone() for parameter in network.parameters() if parameter.is_floating_point()]
    moving = [parameter for parameter in network.parameters() if parameter.is_floating_point()]
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for parameter in moving:
                size = float(parameter.abs().mean()) or 0.5
                parameter.add_(0.1 * size * torch.randn(parameter.shape, generator=generator).to(parameter))
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(moving, kept, strict=True):
                parameter.copy_(value)
