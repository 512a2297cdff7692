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

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from faiglib.errors import FaiglibError, ImageError
from faiglib.system.cuts import ROUNDING, noise
from faiglib.system.passes import activation_bytes, forward, one_image, out_of_memory
from faiglib.system.spent import count_gradient
from faiglib.system.tiling import Tiling

#: From output and ground truth, where there is one, to a scalar: a sum over pixels.
Loss = Callable[..., Tensor]
Precision = Literal["32-true", "bf16-mixed"]


class Gradients:
    """Gradients of a network's parameters for one image after the other, in bounded memory.

    An image whose activations do not fit is cut into tiles with a margin as wide as the network reaches, and the
    gradients of the tiles are added. For a network that is local and a loss that is a sum over pixels this is what the
    whole image gives, up to rounding; others are refused. When the memory runs out all the same, the tiles are halved.

    Args:
        network: in evaluation mode.
        memory_limit: bytes that the activations of one gradient may take by
            :func:`faiglib.system.passes.activation_bytes`;
            None sets no bound. Weights, their gradients, the libraries' workspace and what the allocator keeps come on
            top.
        precision: ``32-true`` as the network is, or ``bf16-mixed`` for convolutions in bfloat16, nearly twice as fast
            where the hardware knows it. Its rounding costs more of the ranking than the published rule of 100 left
            nodes does: 99.14 % of the top 1 % in common with the reference against 99.70 %, measured as for
            ``DEFAULT_NODES`` of faiglib.attribution.parameter_path. So it is for surveys. Untested on GPUs.

    Raises:
        ValueError: the precision is unknown or the limit not positive.
    """

    def __init__(
        self, network: nn.Module, memory_limit: int | None = None, precision: Precision | str = "32-true"
    ) -> None:
        if precision not in get_args(Precision):
            raise ValueError(f"unknown precision {precision!r}; known: {', '.join(get_args(Precision))}")
        self.network = network
        self.precision = precision
        rounding = ROUNDING if precision == "32-true" else 0.02
        self.tiling = Tiling(network, self._forward, partial(activation_bytes, network), memory_limit, rounding, True)
        self._sums: set[Loss] = set()  # losses that are known to be sums over pixels

    @torch.enable_grad()
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
            NetworkError: the network fails, or the image has to be cut and cannot be.
            FaiglibError: the memory does not suffice for the smallest tiles, or the image has to be cut and the loss is
                no sum over pixels.
        """
        one_image(inputs)
        count_gradient(inputs)
        while True:
            count = self.tiling.count(inputs)
            try:
                return self._sum(wanted, inputs, ground_truth, loss, count)
            except Exception as error:
                if not out_of_memory(error):
                    raise
            self.tiling.halve(inputs)  # outside the handler, so that the failed attempt's tensors are free

    def _sum(
        self, wanted: Sequence[Tensor], inputs: Tensor, ground_truth: Tensor | None, loss: Loss, count: int
    ) -> list[Tensor]:
        if count == 1:
            return self._gradient(wanted, self._forward(inputs), ground_truth, loss)
        cuts = self.tiling.cuts(inputs)
        total: list[Tensor] = []
        for tile in self.tiling.tiles(inputs):
            output, rows, columns = cuts.output(self._forward, inputs, tile)
            if loss not in self._sums:
                refuse_unless_a_sum(loss, output.detach(), ground_truth is not None)
                self._sums.add(loss)
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
        if ground_truth is not None:
            require_same_shape(output, ground_truth)
        value = loss(output, ground_truth)
        return list(torch.autograd.grad(value, wanted, allow_unused=True, materialize_grads=True))

    def _forward(self, inputs: Tensor) -> Tensor:
        reduced = self.precision == "bf16-mixed"
        with torch.autocast(inputs.device.type, torch.bfloat16) if reduced else nullcontext():
            output = forward(self.network, inputs)
        return output.to(inputs.dtype)


def require_same_shape(output: Tensor, ground_truth: Tensor) -> None:
    """Refuse a ground truth that the network's output cannot be compared with.

    Raises:
        ImageError: it has another shape.
    """
    if output.shape != ground_truth.shape:
        raise ImageError(
            f"the network's output has shape {tuple(output.shape)}, the ground truth {tuple(ground_truth.shape)}"
        )


def refuse_unless_a_sum(loss: Loss, output: Tensor, with_truth: bool) -> None:
    """Compare the gradient of a loss on an image with those on its parts: it must be a sum over pixels.

    Args:
        loss: of output and ground truth.
        output: (1, C, H, W), of which the shape and the scale matter.
        with_truth: whether the loss takes a ground truth.

    Raises:
        FaiglibError: it is none.
    """
    truth = noise(output, max(output.shape[-2:]))[..., : output.shape[-2], : output.shape[-1]] if with_truth else None

    def gradient(rows: slice, columns: slice) -> Tensor:
        part = output[..., rows, columns].clone().requires_grad_(True)
        value = loss(part, None if truth is None else truth[..., rows, columns])
        return torch.autograd.grad(value, part, allow_unused=True, materialize_grads=True)[0]

    height, width = output.shape[-2:]
    whole = gradient(slice(0, height), slice(0, width))
    for rows in (slice(0, height // 3), slice(height // 3, height)):
        for columns in (slice(0, width // 3), slice(width // 3, width)):
            difference = (gradient(rows, columns) - whole[..., rows, columns]).abs()
            if difference.numel() and not bool(difference.max() <= ROUNDING * whole.abs().max()):
                raise FaiglibError(
                    "the loss is no sum over pixels (a mean, or something that couples neighbours?), so that an image "
                    "cannot be attributed in tiles; sum it, crop the image or allow more memory"
                )
