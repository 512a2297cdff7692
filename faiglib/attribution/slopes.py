"""Scores that gradients at the target give, without a path: what several rivals of FAIG share.

They cost one gradient an image. FAIG with ``rule="left", nodes=1`` is the first order in the difference of the networks
(attribution patching), with ``rule="trapezoid", nodes=2`` the mean of both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor, nn

from faiglib.attribution.averaging import mean_over_images
from faiglib.attribution.gradients import Gradients, Loss
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.system.passes import analysed, as_image, differentiating

#: From the index, weights and gradients by name to a value for every filter.
Values = Callable[[FilterIndex, Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]


@differentiating
def mean_of_slopes(
    target: nn.Module,
    images: Iterable[tuple[Tensor, Tensor]],
    values: Values,
    loss: Loss,
    progress: str | None,
) -> FilterScores:
    """The mean over images of what is made of the weights and their gradients.

    Args:
        target: θ.
        images: pairs of degraded input (1, C, h, w) and ground truth (1, C, H, W).
        values: what is made of them.
        loss: a sum over pixels.
        progress: label of a progress bar over images; none without it.

    Raises:
        NetworkError: the network has no convolution, or fails.
        ImageError: an input is a batch, or does not fit its ground truth.
        FilterError: a score is not finite, or there are no images.
    """
    index, network = FilterIndex.of(target), analysed(target)
    parameters = dict(network.named_parameters())
    weights = {name: parameters[name].requires_grad_(True) for name in index.weights}
    gradients = Gradients(network)

    def of(pair: tuple[Tensor, Tensor]) -> Tensor:
        low, truth = (as_image(tensor, next(iter(weights.values()))) for tensor in pair)
        slopes = gradients(list(weights.values()), low, truth, loss)
        held = {name: weight.detach() for name, weight in weights.items()}
        return values(index, held, dict(zip(weights, slopes, strict=True))).cpu()

    return FilterScores(index, mean_over_images(images, of, progress))
