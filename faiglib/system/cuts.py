"""Where an image may be cut so that the parts give what the whole gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from faiglib.errors import NetworkError
from faiglib.system.passes import out_of_memory

#: Tiles are not made smaller than this (input pixels); their margins are what costs then.
LEAST_TILE = 8

#: Distances in input pixels that cuts are tried at: products of the usual strides, and the usual windows.
STRIDES = (1, 2, 3, 4, 6, 7, 8, 10, 12, 14, 16, 24, 32, 64)

#: Largest difference between a tile and the whole that counts as rounding, as a part of the largest output.
ROUNDING = 1e-5

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Cuts:
    """Where an image may be cut for one network.

    Attributes:
        stride: cuts lie at multiples of this (input pixels).
        margin: input pixels around a tile that its output depends on, a multiple of ``stride``.
        scale: output pixels per input pixel.
    """

    stride: int
    margin: int
    scale: Fraction

    def output(self, run: Forward, inputs: Tensor, tile: tuple[slice, slice]) -> tuple[Tensor, slice, slice]:
        """Output of one tile of an image, and its rows and columns in the output of the image."""
        whole = (inputs.shape[-2], inputs.shape[-1])
        cut = with_margin(tile, self.margin, whole)
        output = run(inputs[..., cut[0], cut[1]])
        inner, place = [], []
        for side, around, length, end in zip(tile, cut, output.shape[-2:], whole, strict=True):
            first = int((side.start - around.start) * self.scale)
            last = length if side.stop == end else int((side.stop - around.start) * self.scale)
            inner.append(slice(first, last))
            start = int(side.start * self.scale)
            place.append(slice(start, start + last - first))
        return output[..., inner[0], inner[1]], place[0], place[1]


def reach(network: nn.Module, inputs: Tensor, run: Forward) -> int:
    """Input pixels that an output pixel depends on, to each side, if convolutions decide; two more for resizing.

    A convolution of a reduced image reaches further by the reduction; one of an enlarged image counts as if it ran at
    the input's size. Both are upper bounds.

    Args:
        network: whose convolutions count.
        inputs: (1, C, h, w) that the network can compute.
        run: the network's forward pass.
    """
    found = 2.0

    def note(module: nn.Module, arguments: tuple[Tensor, ...], _: object) -> None:
        nonlocal found
        assert isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        sizes = zip(inputs.shape[-2:], arguments[0].shape[-2:], module.kernel_size, module.dilation, strict=True)
        found += max(max(1.0, whole / here) * ((kernel - 1) * step // 2) for whole, here, kernel, step in sizes)

    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    hooks = [one.register_forward_hook(note) for one in network.modules() if isinstance(one, kinds)]
    try:
        run(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return int(found) + (found > int(found))


@torch.no_grad()
def find_cuts(network: nn.Module, inputs: Tensor, run: Forward, rounding: float = ROUNDING) -> Cuts:
    """Try out where images may be cut.

    Args:
        network: local or not.
        inputs: an image (1, C, h, w) that is to be cut.
        run: the network's forward pass.
        rounding: see :data:`ROUNDING`.

    Raises:
        NetworkError: the image cannot be cut for this network.
    """
    around = _reach_on_noise(network, inputs, run)
    largest = max(inputs.shape[-2:])
    for farther in (1, 2, 4):
        for stride in STRIDES:
            margin = -(-around * farther // stride) * stride
            # What takes more noise than there are pixels saves no memory, and attention squares its size.
            if (farther, stride) == (1, 1) or 2 * (margin + stride) + LEAST_TILE <= largest:
                cuts = _tried(inputs, run, stride, margin, rounding)
                if cuts is not None:
                    return cuts
    raise NetworkError(
        f"{type(network).__name__} looks further than its convolutions reach (a mean over the image, attention?), or "
        "changes with the place of a cut, so that an image cannot be computed in tiles; crop the image or allow more "
        "memory"
    )


def _reach_on_noise(network: nn.Module, inputs: Tensor, run: Forward) -> int:
    """:func:`reach`, of the first size out of some that the network accepts."""
    *first, last = (64, 84, 120)
    for size in first:
        with suppress(NetworkError):
            return reach(network, noise(inputs, size), run)
    return reach(network, noise(inputs, last), run)


def _tried(inputs: Tensor, run: Forward, stride: int, margin: int, rounding: float) -> Cuts | None:
    """Cuts at that distance with that margin, if three tiles of noise and two of the image come out as they should."""
    side = -(-LEAST_TILE // stride) * stride
    start = margin + stride * (1 + margin // stride % 2)  # an odd multiple, where a larger stride has no cut
    size = start + side + margin + stride
    image = noise(inputs, size)
    try:
        expected = run(image)
        scales = {Fraction(length, size) for length in expected.shape[-2:]}
        if len(scales) > 1 or (stride * min(scales)).denominator > 1:
            return None
        cuts = Cuts(stride, margin, scales.pop())
        inner = (slice(start, start + side), slice(start, start + side))
        corner, end = (slice(0, side), slice(0, side)), (slice(size - side, size), slice(size - side, size))
        for tile in (inner, corner, end):
            found, rows, columns = cuts.output(run, image, tile)
            if _differ(found, expected[..., rows, columns], expected, rounding):
                return None
        wider = Cuts(stride, margin + stride * -(-8 // stride), cuts.scale)
        for tile in _inside(inputs, stride, side):
            found, expected = (one.output(run, inputs, tile)[0] for one in (cuts, wider))
            if _differ(found, expected, expected, rounding):
                return None
    except NetworkError:
        return None
    except Exception as error:
        if not out_of_memory(error):
            raise
        return None
    return cuts


def _inside(inputs: Tensor, stride: int, side: int) -> list[tuple[slice, slice]]:
    """A tile in the middle of an image and one in its corner, as far as it is large enough."""
    found = []
    for part in (0, 2):
        starts = [length // part // stride * stride if part else 0 for length in inputs.shape[-2:]]
        if all(start + side <= length for start, length in zip(starts, inputs.shape[-2:], strict=True)):
            rows, columns = (slice(start, start + side) for start in starts)
            found.append((rows, columns))
    return found


def _differ(found: Tensor, expected: Tensor, whole: Tensor, rounding: float) -> bool:
    """Whether two outputs differ by more than rounding."""
    if found.shape != expected.shape:
        return True
    return not bool((found - expected).abs().max() <= rounding * whole.abs().max())


def noise(like: Tensor, size: int) -> Tensor:
    """A square of noise in [0, 1], (1, C, size, size), that grows from the upper left to the lower right."""
    drawn = torch.rand((1, like.shape[1], size, size), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ramp = torch.linspace(0.1, 1, size, dtype=torch.float64)
    return (drawn * ramp[:, None] * ramp).to(like)


def tiles(height: int, width: int, count: int, stride: int = 1) -> list[tuple[slice, slice]]:
    """Cut an image into a grid of ``count`` (a power of two) rectangles, halving the longer side each time.

    Args:
        height: of the image.
        width: of the image.
        count: number of tiles.
        stride: cuts lie at multiples of it.

    Returns:
        (rows, columns) of each, row by row; together they cover every pixel once.
    """
    rows = columns = 1
    while rows * columns < count:
        if height * columns >= width * rows:
            rows *= 2
        else:
            columns *= 2

    def cuts(length: int, parts: int) -> list[slice]:
        edges = [round(number * length / parts / stride) * stride for number in range(parts)] + [length]
        return [slice(*pair) for pair in itertools.pairwise(edges)]

    return [(row, column) for row in cuts(height, rows) for column in cuts(width, columns)]


def with_margin(tile: tuple[slice, slice], margin: int, size: tuple[int, int]) -> tuple[slice, slice]:
    """A tile and ``margin`` pixels around it, as far as the image of that size goes."""
    rows, columns = (
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, length in zip(tile, size, strict=True)
    )
    return rows, columns
