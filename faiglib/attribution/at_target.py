"""Importance from the target alone, without a path: magnitude, Taylor expansion, Fisher information.

Rivals of FAIG that cost one gradient an image, or none. FAIG with ``rule="left", nodes=1`` is the first order in the
difference of the networks (attribution patching), with ``rule="trapezoid", nodes=2`` the mean of both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from faiglib.attribution.averaging import mean_over_images
from faiglib.attribution.gradients import Gradients, Loss
from faiglib.attribution.parameter_path import squared_error
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.system.passes import analysed, as_image, differentiating


def magnitude(target: nn.Module) -> FilterScores:
    """Σ|θ| over the weights of every filter, the oldest criterion of pruning.

    Args:
        target: θ.

    Raises:
        NetworkError: the network has no convolution.
    """
    index, weights = FilterIndex.of(target), dict(target.named_parameters())
    return FilterScores(index, index.gather({name: weights[name].detach() for name in index.weights}).cpu())


def taylor(
    target: nn.Module,
    images: Iterable[tuple[Tensor, Tensor]],
    *,
    loss: Loss = squared_error,
    progress: str | None = None,
) -> FilterScores:
    """|Σ θ · ∂L/∂θ| over the weights of every filter, averaged over images.

    To first order, the change of the loss when the filter is set to zero (Molchanov et al., CVPR 2019).

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
    return _over_images(
        target,
        images,
        loss,
        progress,
        lambda index, weights, slopes: index.add_up(
            {name: weights[name].detach() * slope for name, slope in slopes.items()}
        ).abs(),
    )


def fisher(
    target: nn.Module,
    images: Iterable[tuple[Tensor, Tensor]],
    *,
    loss: Loss = squared_error,
    progress: str | None = None,
) -> FilterScores:
    """Σ (∂L/∂θ)² over the weights of every filter, averaged over images.

    The diagonal of the empirical Fisher information, each image taken as one sample and the loss as its negative
    logarithmic likelihood. Arguments and errors as for :func:`taylor`.
    """
    return _over_images(
        target,
        images,
        loss,
        progress,
        lambda index, _, slopes: index.gather({name: slope.double().square() for name, slope in slopes.items()}),
    )


@differentiating
def _over_images(
    target: nn.Module,
    images: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    progress: str | None,
    values: Callable[[FilterIndex, dict[str, nn.Parameter], dict[str, Tensor]], Tensor],
) -> FilterScores:
    """The mean over images of what is made of weights and gradients."""
    index, network = FilterIndex.of(target), analysed(target)
    parameters = dict(network.named_parameters())
    weights = [parameters[name].requires_grad_(True) for name in index.weights]
    gradients = Gradients(network)

    def of(pair: tuple[Tensor, Tensor]) -> Tensor:
        low, truth = (as_image(tensor, weights[0]) for tensor in pair)
        slopes = gradients(weights, low, truth, loss)
        return values(index, parameters, dict(zip(index.weights, slopes, strict=True))).cpu()

    return FilterScores(index, mean_over_images(images, of, progress))
