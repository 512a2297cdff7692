"""The paper's IG baseline (IntInf, Leino et al. 2018): gradients along a path of inputs, at fixed weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from faiglib.attribution.averaging import mean_over_images
from faiglib.attribution.gradients import Gradients, Precision
from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE
from faiglib.attribution.quadrature import Rule, quadrature
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.system.passes import analysed, as_image, differentiating

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@differentiating
def intinf(
    target: nn.Module,
    images: Iterable[tuple[Tensor, Tensor]],
    *,
    rule: Rule | str = DEFAULT_RULE,
    nodes: int = DEFAULT_NODES,
    device: torch.device | str | None = None,
    memory_limit: int | None = None,
    precision: Precision | str = "32-true",
    fabric: Fabric | None = None,
    progress: str | None = None,
) -> FilterScores:
    """|∫₀¹ ∂(Σ F(θ, x(α)))/∂θ dα| per filter, averaged over images.

    x(α) goes straight from the clean to the degraded input. As in the paper the integral is not multiplied by
    the difference of the inputs, since the gradient is taken with respect to weights. The absolute value is
    per weight, after integration; a filter sums its K×K weights.

    Args:
        target: θ.
        images: pairs of clean input and degraded input, both (1, C, h, w).
        rule: quadrature rule; ``"left"`` with ``nodes=100`` is the released code for SRResNet.
        nodes: gradient evaluations per image.
        device: where to compute; by default where the target is.
        memory_limit: as for :func:`faiglib.attribution.parameter_path`, as are ``precision`` and ``fabric``.
        precision: see there.
        fabric: see there.
        progress: label of a progress bar over images; none without it.

    Raises:
        NetworkError: the network has no convolution.
        ImageError: an input is a batch.
        FilterError: a score is not finite, or there are no images.
    """
    index = FilterIndex.of(target)
    network = analysed(target, device)
    parameters = dict(network.named_parameters())
    weights = [parameters[name].requires_grad_(True) for name in index.weights]
    points = quadrature(rule, nodes)
    gradients = Gradients(network, memory_limit, precision)

    def scores(pair: tuple[Tensor, Tensor]) -> Tensor:
        clean, degraded = (as_image(tensor, weights[0]) for tensor in pair)
        total = [torch.zeros_like(weight) for weight in weights]
        for alpha, share in zip(points.nodes, points.weights, strict=True):
            found = gradients(weights, torch.lerp(clean, degraded, alpha), None, output_sum)
            torch._foreach_add_(total, found, alpha=share)
        return index.gather(dict(zip(index.weights, total, strict=True))).cpu()

    return FilterScores(index, mean_over_images(images, scores, progress, fabric))


def output_sum(output: Tensor, _: Tensor | None) -> Tensor:
    """The sum of all output values, whose gradient IntInf integrates; there is no ground truth in it."""
    return output.sum()
