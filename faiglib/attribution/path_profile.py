"""How good the networks on the straight path between target and baseline are: the ground that FAIG walks on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from faiglib.attribution.averaging import mean_over_images
from faiglib.attribution.gradients import require_same_shape
from faiglib.attribution.parameter_path import ParameterPath, squared_error
from faiglib.errors import FilterError
from faiglib.system.passes import as_image, forward

#: Points on the path, both ends among them.
DEFAULT_POINTS = 11

#: Largest barrier in dB of a path that counts as sound: half of what fine-tuning gains at least where it is of use, so
#: that no network on the way is nearer to a broken one than to its ends. Declared before selectivity was related to it.
SOUND = 1.0

Soundness = Literal["sound", "shifted brightness", "broken"]


@dataclass(frozen=True)
class PathProfile:
    """Means over images along the path γ(α) = α θ̄ + (1 − α) θ, one value per point.

    Attributes:
        alphas: from 0, the target, to 1, the baseline.
        loss: ‖F(γ(α), x) − x_gt‖², summed over pixels and channels (paper, eq. 3).
        psnr: dB, whole output, neither clipped nor rounded.
        psnr_level: dB, likewise, of the output with the mean of each colour channel put right.
    """

    alphas: tuple[float, ...]
    loss: tuple[float, ...]
    psnr: tuple[float, ...]
    psnr_level: tuple[float, ...]

    @property
    def barrier(self) -> float:
        """Largest depth of the PSNR below the straight line between its ends in dB; 0 where it is never below.

        With the sign turned, the barrier of linear mode connectivity (Frankle et al., ICML 2020), in PSNR.
        """
        return self._depth(self.psnr)

    @property
    def barrier_level(self) -> float:
        """The barrier in dB with the means of the channels put right."""
        return self._depth(self.psnr_level)

    @property
    def verdict(self) -> Soundness:
        """``sound`` up to a barrier of :data:`SOUND`; beyond, whether putting the channels' means right mends it."""
        if self.barrier <= SOUND:
            return "sound"
        return "shifted brightness" if self.barrier_level <= SOUND else "broken"

    def in_words(self) -> str:
        """What the path is like, and what that means for attributions along it."""
        depth = f"its PSNR falls {self.barrier:.1f} dB below the line between its ends"
        if self.verdict == "sound":
            return f"the straight path between the networks is sound: {depth} at most"
        if self.verdict == "shifted brightness":
            return (
                f"the straight path between the networks shifts the brightness: {depth}, {self.barrier_level:.1f} dB "
                "with the means of the channels put right; judge masked networks by what does not see brightness"
            )
        return (
            f"the straight path between the networks is broken: {depth}, {self.barrier_level:.1f} dB with the means of "
            "the channels put right; filters found along it, and masked networks, may say little of either end"
        )

    def _depth(self, values: tuple[float, ...]) -> float:
        line = [values[0] + alpha * (values[-1] - values[0]) for alpha in self.alphas]
        return max(0.0, *(straight - value for straight, value in zip(line, values, strict=True)))


@torch.no_grad()
def path_profile(
    target: nn.Module,
    baseline: nn.Module,
    images: Iterable[tuple[Tensor, Tensor]],
    *,
    points: int = DEFAULT_POINTS,
    device: torch.device | str | None = None,
    progress: str | None = None,
) -> PathProfile:
    """Loss and PSNR at equidistant points of the straight path from target to baseline.

    Args:
        target: θ.
        baseline: θ̄, of the same architecture.
        images: pairs of input (1, C, h, w) and ground truth (1, C, H, W) in [0, 1].
        points: on the path, both ends included.
        device: where to compute; by default where the target is.
        progress: label of a progress bar over images; none without it.

    Raises:
        ValueError: there are fewer than two points.
        NetworkError: the networks differ in their parameters or buffers.
        ImageError: an output has another shape than its ground truth.
        FilterError: there are no images.
    """
    if points < 2:
        raise ValueError(f"the path has two ends, so that {points} point(s) do not show it")
    path = ParameterPath(target, baseline, device)
    alphas = tuple(number / (points - 1) for number in range(points))

    def values(pair: tuple[Tensor, Tensor]) -> Tensor:
        """Loss, PSNR and PSNR with the means put right: (3 · points,)."""
        inputs, truth = (as_image(image, path.parameters[0]) for image in pair)
        return torch.stack([_judged(forward(path.move_to(alpha), inputs), truth) for alpha in alphas]).T.flatten().cpu()

    means = mean_over_images(images, values, progress).view(3, points)
    return PathProfile(alphas, *(tuple(row.tolist()) for row in means))


def profile_along(
    waypoints: Sequence[nn.Module], images: Sequence[tuple[Tensor, Tensor]], *, points: int = 4
) -> PathProfile:
    """The profile of a path in straight pieces, see :func:`path_profile`.

    Args:
        waypoints: networks from the target to the baseline, which stand at equal distances on the axis of α.
        images: pairs of input and ground truth.
        points: on every piece, both of its ends included.

    Raises:
        FilterError: there are fewer than two waypoints, or no images.
        ValueError: see :func:`path_profile`.
        NetworkError: see :func:`path_profile`.
        ImageError: see :func:`path_profile`.
    """
    if len(waypoints) < 2:
        raise FilterError("a path needs two networks at least, its ends")
    pieces = [path_profile(*ends, images, points=points) for ends in itertools.pairwise(waypoints)]

    def joined(values: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
        first, *others = values
        return (*first, *itertools.chain.from_iterable(piece[1:] for piece in others))

    alphas = [tuple((number + alpha) / len(pieces) for alpha in piece.alphas) for number, piece in enumerate(pieces)]
    return PathProfile(
        joined(alphas),
        joined(piece.loss for piece in pieces),
        joined(piece.psnr for piece in pieces),
        joined(piece.psnr_level for piece in pieces),
    )


def _judged(output: Tensor, truth: Tensor) -> Tensor:
    """Loss, PSNR in dB and the same with the mean of each channel put right, (3,) float64."""
    require_same_shape(output, truth)
    error = output.double() - truth.double()
    levelled = error - error.mean(dim=(-2, -1), keepdim=True)
    powers = torch.stack([error.square().mean(), levelled.square().mean()])
    return torch.cat([squared_error(output.double(), truth.double())[None], -10 * torch.log10(powers)])
