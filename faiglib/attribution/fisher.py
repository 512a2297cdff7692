"""The diagonal of the empirical Fisher information: how sharply the loss depends on a filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from faiglib.attribution.gradients import Loss
from faiglib.attribution.parameter_path import squared_error
from faiglib.attribution.slopes import mean_of_slopes
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores


def fisher(
    target: nn.Module,
    images: Iterable[tuple[Tensor, Tensor]],
    *,
    loss: Loss = squared_error,
    progress: str | None = None,
) -> FilterScores:
    """Σ (∂L/∂θ)² over the weights of every filter, averaged over images.

    Each image is one sample, and the loss its negative logarithmic likelihood.

    Args:
        target: θ.
        images: pairs of degraded input (1, C, h, w) and ground truth (1, C, H, W).
        loss: a sum over pixels.
        progress: label of a progress bar over images; none without it.

    Raises:
        NetworkError: the network has no convolution, or fails.
        ImageError: an input is a batch, or does not fit its ground truth.
        FilterError: a score is not finite, or there are no images.
    """
    return mean_of_slopes(target, images, _squares, loss, progress)


def _squares(index: FilterIndex, _: Mapping[str, Tensor], slopes: Mapping[str, Tensor]) -> Tensor:
    return index.gather({name: slope.double().square() for name, slope in slopes.items()})
