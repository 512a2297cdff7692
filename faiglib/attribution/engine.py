"""How attribution computes: gradients of one image in bounded memory, images shared out over processes.

Images are attributed one by one, since the absolute value of FAIG is taken for each. Ways to the weight gradients of
every image of a batch are measured by ``nox -s bench``. On one core of an AMD EPYC (Zen 4), SRResNet, batches of 8, 8
and 2 inputs of 24, 48 and 72 pixels a side, they took (seconds of CPU time an image):

=============================  =====  =====  =====
way                            24     48     72
=============================  =====  =====  =====
one image after the other      0.061  0.220  0.497
batch, weights one by one      0.074  0.242  0.507
unfolding and batched product  0.101  0.479  0.847
grouped convolution            0.102
``torch.func``                 0.083
summed over the batch          0.056  0.284  0.518
=============================  =====  =====  =====

The last one is no way to single gradients but what any of them has to do at least. A single image keeps the
convolutions busy, so there is no batched path. On a GPU nothing was measured.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.errors import FaiglibError, FilterError, ImageError, NetworkError
from faiglib.filters import FilterIndex, FilterScores

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: From output and ground truth, where there is one, to a scalar: a sum over pixels.
Loss = Callable[..., Tensor]
Precision = Literal["32-true", "bf16-mixed"]

#: Tiles are not made smaller than this (input pixels); their margins are what costs then.
LEAST_TILE = 8


class Gradients:
    """Gradients of a network's parameters for one image after the other, in bounded memory.

    An image whose activations do not fit is cut into tiles with a margin as wide as the convolutions reach, and the
    gradients of the tiles are added. This is exact for a network that consists of convolutions and operations on
    single pixels or their neighbours, and for a loss that is a sum over pixels. When the memory runs out all the same,
    the tiles are halved.

    Args:
        network: in evaluation mode.
        memory_limit: bytes that the activations of one gradient may take by :func:`activation_bytes`; None sets no
            bound. Weights, their gradients, the libraries' workspace and what the allocator keeps come on top.
        precision: ``32-true`` as the network is, or ``bf16-mixed`` for convolutions in bfloat16, nearly twice as fast
            where the hardware knows it. Its rounding costs more of the ranking than the published rule of 100 left
            nodes does: 99.14 % of the top 1 % in common with the reference against 99.70 %, measured as for
            ``DEFAULT_NODES`` of faiglib.attribution.faig. So it is for surveys. Untested on GPUs.

    Raises:
        ValueError: the precision is unknown or the limit not positive.
    """

    def __init__(
        self, network: nn.Module, memory_limit: int | None = None, precision: Precision | str = "32-true"
    ) -> None:
        if precision not in get_args(Precision):
            raise ValueError(f"unknown precision {precision!r}; known: {', '.join(get_args(Precision))}")
        if memory_limit is not None and memory_limit <= 0:
            raise ValueError(f"a memory limit is a positive number of bytes, not {memory_limit}")
        self.network = network
        self.memory_limit = memory_limit
        self.precision = precision
        self._tiles: dict[tuple[int, int], int] = {}  # input size → number of tiles

    def __call__(
        self, wanted: Sequence[Tensor], inputs: Tensor, ground_truth: Tensor | None, loss: Loss
    ) -> list[Tensor]:
        """∂L/∂w for every wanted parameter, at the network's present parameters.

        Args:
            wanted: parameters of the network.
            inputs: (1, C, h, w).
            ground_truth: (1, C, scale·h, scale·w), or None for a loss of the output alone.
            loss: scalar function of output and ground truth, a sum over pixels.

        Raises:
            ImageError: there is more than one image, or the output has another shape than the ground truth.
            NetworkError: the image has to be cut, and the network looks further than its convolutions reach.
            FaiglibError: the memory does not suffice for the smallest tiles.
        """
        one_image(inputs)
        size = (inputs.shape[-2], inputs.shape[-1])
        if size not in self._tiles:
            self._tiles[size] = self._tiles_within_limit(inputs)
        while True:
            try:
                return self._sum(wanted, inputs, ground_truth, loss, self._tiles[size])
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
            # Outside the handler, so that the failed attempt's tensors are free.
            self._tiles[size] = self._halved(inputs, self._tiles[size])

    def _sum(
        self, wanted: Sequence[Tensor], inputs: Tensor, ground_truth: Tensor | None, loss: Loss, count: int
    ) -> list[Tensor]:
        if count == 1:
            return self._gradient(wanted, self._forward(inputs), ground_truth, loss)
        total: list[Tensor] = []
        for tile in tiles(inputs.shape[-2], inputs.shape[-1], count):
            output, rows, columns = self._tile_output(inputs, tile, self.reach)
            truth = None if ground_truth is None else ground_truth[..., rows, columns]
            gradients = self._gradient(wanted, output, truth, loss)
            if total:
                torch._foreach_add_(total, gradients)
            else:
                total = gradients
        return total

    def _gradient(
        self, wanted: Sequence[Tensor], output: Tensor, ground_truth: Tensor | None, loss: Loss
    ) -> list[Tensor]:
        if ground_truth is not None and output.shape != ground_truth.shape:
            raise ImageError(
                f"the network's output has shape {tuple(output.shape)}, the ground truth {tuple(ground_truth.shape)}"
            )
        value = loss(output, ground_truth)
        return list(torch.autograd.grad(value, wanted, allow_unused=True, materialize_grads=True))

    def _forward(self, inputs: Tensor) -> Tensor:
        reduced = self.precision == "bf16-mixed"
        with torch.autocast(inputs.device.type, torch.bfloat16) if reduced else nullcontext():
            output = self.network(inputs)
        return output.to(inputs.dtype)

    def _tile_output(self, inputs: Tensor, tile: tuple[slice, slice], margin: int) -> tuple[Tensor, slice, slice]:
        """Output of one tile, and its rows and columns in the output of the image."""
        cut = with_margin(tile, margin, (inputs.shape[-2], inputs.shape[-1]))
        output = self._forward(inputs[..., cut[0], cut[1]])
        inner, place = [], []
        for side, whole, length in zip(tile, cut, output.shape[-2:], strict=True):
            scale = length // (whole.stop - whole.start)
            inner.append(slice((side.start - whole.start) * scale, (side.stop - whole.start) * scale))
            place.append(slice(side.start * scale, side.stop * scale))
        return output[..., inner[0], inner[1]], place[0], place[1]

    @property
    def reach(self) -> int:
        """Input pixels that an output pixel can depend on, to each side, if convolutions decide; two more for resizing.

        Every convolution counts as if it ran at the input's size, which is an upper bound for networks that enlarge.
        """
        return 2 + sum(
            max((kernel - 1) * dilation // 2 for kernel, dilation in zip(one.kernel_size, one.dilation, strict=True))
            for one in self.network.modules()
            if isinstance(one, nn.Conv2d)
        )

    def _tiles_within_limit(self, inputs: Tensor) -> int:
        """The least number of tiles, a power of two, of which each fits into the memory limit."""
        count = 1
        if self.memory_limit is None:
            return count
        size = (inputs.shape[-2], inputs.shape[-1])
        while True:
            cuts = [with_margin(tile, self.reach if count > 1 else 0, size) for tile in tiles(*size, count)]
            sides = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in cuts]
            largest = max(sides, key=lambda side: side[0] * side[1])
            if activation_bytes(self.network, (1, inputs.shape[1], *largest)) <= self.memory_limit:
                return count
            count = self._halved(inputs, count)

    def _halved(self, inputs: Tensor, count: int) -> int:
        """Twice as many tiles, once it is known that cutting is allowed and possible."""
        height, width = inputs.shape[-2:]
        if count == 1:
            self._refuse_unless_local(inputs)
        if min(height, width) < 2 * LEAST_TILE or any(
            min(rows.stop - rows.start, columns.stop - columns.start) < LEAST_TILE
            for rows, columns in tiles(height, width, 2 * count)
        ):
            limit = "" if self.memory_limit is None else f" of {self.memory_limit:,} bytes"
            raise FaiglibError(
                f"the memory{limit} does not suffice for the gradient of a {width}x{height} image, not even in tiles "
                f"of {LEAST_TILE} pixels with the network's reach of {self.reach}; crop the image or allow more"
            )
        return 2 * count

    @torch.no_grad()
    def _refuse_unless_local(self, inputs: Tensor) -> None:
        """Compare a corner of the output for two margins: what lies further than the reach must not matter.

        Raises:
            NetworkError: it does.
        """
        corner = (slice(0, LEAST_TILE), slice(0, LEAST_TILE))
        near, far = (self._tile_output(inputs, corner, margin)[0] for margin in (self.reach, self.reach + 8))
        tolerance = 1e-5 if self.precision == "32-true" else 0.02
        if (near - far).abs().max() > tolerance * far.abs().max():
            raise NetworkError(
                f"{type(self.network).__name__} looks further than its convolutions reach (a mean over the image, "
                "attention?), so that an image cannot be attributed in tiles; crop the image or allow more memory"
            )


def one_image(inputs: Tensor) -> None:
    """Refuse a batch: the absolute value is taken for each image, so images come one by one.

    Raises:
        ImageError: the tensor is not one image (1, C, h, w).
    """
    if inputs.ndim != 4 or len(inputs) != 1:
        raise ImageError(f"images are attributed one by one, as (1, C, h, w); got shape {tuple(inputs.shape)}")


def tiles(height: int, width: int, count: int) -> list[tuple[slice, slice]]:
    """Cut an image into a grid of ``count`` (a power of two) rectangles, halving the longer side each time.

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
        edges = [round(number * length / parts) for number in range(parts + 1)]
        return [slice(*pair) for pair in itertools.pairwise(edges)]

    return [(row, column) for row in cuts(height, rows) for column in cuts(width, columns)]


def with_margin(tile: tuple[slice, slice], margin: int, size: tuple[int, int]) -> tuple[slice, slice]:
    """A tile and ``margin`` pixels around it, as far as the image of that size goes."""
    rows, columns = (
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, length in zip(tile, size, strict=True)
    )
    return rows, columns


def activation_bytes(network: nn.Module, shape: tuple[int, ...]) -> int:
    """Estimate of the memory of one gradient: what is kept for the backward pass, and three of its largest tensors.

    The forward pass runs on the ``meta`` device, which computes shapes and no values.

    Args:
        network: its parameters count not.
        shape: of the input, (1, C, h, w).
    """
    double = copy.deepcopy(network).to("meta")
    for parameter in double.parameters():
        parameter.requires_grad_(True)
    parameters = {parameter.untyped_storage()._cdata for parameter in double.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    dtype = next(double.parameters()).dtype
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = double(torch.empty(shape, device="meta", dtype=dtype))
    sizes = [tensor.untyped_storage().nbytes() for name, tensor in kept.items() if name not in parameters]
    return sum(sizes) + 3 * max([output.numel() * output.element_size(), *sizes])


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that an allocation failed, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


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


def mean_scores(
    index: FilterIndex,
    images: Iterable[tuple[Tensor, Tensor]],
    scores: Callable[[tuple[Tensor, Tensor]], Tensor],
    progress: str | None,
    fabric: Fabric | None = None,
) -> FilterScores:
    """Average the (total,) scores of each pair of tensors, with a progress bar when it has a label.

    Args:
        index: of the network.
        images: the same pairs on every rank.
        scores: of one pair, (total,) float64 on the CPU.
        progress: label of the bar.
        fabric: launched, to share the images out over its ranks; each gets the mean over all of them.

    Raises:
        FilterError: there are no pairs, or a score is not finite.
    """
    pairs: Sequence[tuple[Tensor, Tensor]] = list(images)
    if not pairs:
        raise FilterError("attribution averages over images, and there are none")
    total = torch.zeros(index.total, dtype=torch.float64)
    hidden = progress is None or (fabric is not None and not fabric.is_global_zero)
    results = in_image_order(len(pairs), lambda number: scores(pairs[number]), fabric)
    for one in tqdm(results, desc=progress, unit="image", total=len(pairs), disable=hidden):
        total += one
    return FilterScores(index, total / len(pairs))
