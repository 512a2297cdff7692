"""The filters of one image and their overlap with discovered ones (paper, section 4.4)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from faiglib.attribution.parameter_path import ParameterPath, image_scores
from faiglib.attribution.quadrature import Rule, quadrature
from faiglib.filters.scores import FilterScores, FilterSet


def pseudo_ground_truth(path: ParameterPath, image: Tensor) -> Tensor:
    """The target network's own output (1, 3, H, W), in place of the ground truth that a user's image does not have.

    With it the loss is 0 at the target's end of the path, where its gradient vanishes, and grows towards the baseline
    by what the target does to the image and the baseline does not.

    Args:
        path: from target to baseline.
        image: (1, 3, h, w) in [0, 1].
    """
    with torch.no_grad():
        return path.move_to(0.0)(image.to(path.parameters[0])).clone()


def filters_of_image(
    path: ParameterPath,
    image: Tensor,
    ground_truth: Tensor | None = None,
    *,
    percent: float = 1,
    rule: Rule | str = "gauss-legendre",
    nodes: int = 4,
) -> FilterSet:
    """filter^x: the filters that FAIG ranks highest on one image, nothing eliminated.

    Args:
        path: from target to baseline.
        image: (1, 3, h, w) in [0, 1], degraded in an unknown way.
        ground_truth: (1, 3, H, W); by default the :func:`pseudo_ground_truth`, so that nothing but the image is needed.
        percent: size of the set in % of all filters.
        rule: quadrature rule, see :func:`faiglib.attribution.quadrature.quadrature`.
        nodes: gradient evaluations.

    Raises:
        FilterError: a score is not finite, or the percentage is not between 0 and 100.
    """
    truth = pseudo_ground_truth(path, image) if ground_truth is None else ground_truth
    return FilterScores(path.index, image_scores(path, image, truth, quadrature(rule, nodes))).top(percent)


def overlap_scores(own: FilterSet, discovered: Mapping[str, FilterSet]) -> dict[str, float]:
    """OS(x, D) in [0, 1] of one image with the filter set of each degradation: {D: score}.

    Args:
        own: filter^x.
        discovered: filter^D by degradation.

    Raises:
        FilterError: ``own`` is empty, or the sets belong to different networks.
    """
    return {degradation: own.overlap(filters) for degradation, filters in discovered.items()}
