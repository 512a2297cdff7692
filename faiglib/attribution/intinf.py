"""The paper's IG baseline (IntInf, Leino et al. 2018): gradients along a path of inputs, at fixed weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from faiglib.attribution.faig import DEFAULT_NODES, DEFAULT_RULE, mean_scores, one_image
from faiglib.attribution.paths import Rule, quadrature
from faiglib.filters import FilterIndex, FilterScores


def intinf(
    target: nn.Module,
    images: Iterable[tuple[Tensor, Tensor]],
    *,
    rule: Rule | str = DEFAULT_RULE,
    nodes: int = DEFAULT_NODES,
    device: torch.device | str | None = None,
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
        progress: label of a progress bar over images; none without it.

    Raises:
        NetworkError: the network has no convolution.
        ImageError: an input is a batch.
        FilterError: a score is not finite, or there are no images.
    """
    network = copy.deepcopy(target).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device is not None:
        network.to(device)
    index = FilterIndex.of(network)
    parameters = dict(network.named_parameters())
    weights = [parameters[name].requires_grad_(True) for name in index.names]
    points = quadrature(rule, nodes)

    def scores(pair: tuple[Tensor, Tensor]) -> Tensor:
        clean, degraded = (tensor.to(weights[0]) for tensor in pair)
        one_image(degraded)
        total = [torch.zeros_like(weight) for weight in weights]
        for alpha, share in zip(points.nodes, points.weights, strict=True):
            output = network(torch.lerp(clean, degraded, alpha))
            gradients = torch.autograd.grad(output.sum(), weights, allow_unused=True, materialize_grads=True)
            torch._foreach_add_(total, gradients, alpha=share)
        return index.gather(dict(zip(index.names, total, strict=True))).cpu()

    return mean_scores(index, images, scores, progress)
