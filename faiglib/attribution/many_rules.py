"""One path integral by many quadrature rules at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from faiglib.attribution.parameter_path import ParameterPath, squared_error
from faiglib.attribution.quadrature import Quadrature


@dataclass(frozen=True, eq=False)
class Integrals:
    """∫₀¹ ∂L/∂γ(α) dα of one image by several rules, and ∫₀¹ |∂L/∂γ(α)| dα by one of them.

    Attributes:
        signed: by rule, one tensor per parameter of the path.
        absolute: one tensor per parameter of the path.
        change: L(θ̄, x) − L(θ, x).
    """

    signed: list[list[Tensor]]
    absolute: list[Tensor]
    change: float


def shared_nodes(rules: Sequence[Quadrature]) -> dict[float, list[tuple[int, float]]]:
    """The positions of some rules, each once: {α: (number of a rule, its weight there) for every rule that has it}."""
    uses: dict[float, list[tuple[int, float]]] = {}
    for number, rule in enumerate(rules):
        for alpha, weight in zip(rule.nodes, rule.weights, strict=True):
            uses.setdefault(alpha, []).append((number, weight))
    return uses


def integrate_rules(
    path: ParameterPath,
    inputs: Tensor,
    ground_truth: Tensor,
    rules: Sequence[Quadrature],
    absolute: Quadrature,
    progress: str | None = None,
) -> Integrals:
    """Integrate the gradient of one image by many rules at once; a position that rules share is evaluated once.

    Args:
        path: from target to baseline.
        inputs: (1, 3, h, w).
        ground_truth: (1, 3, H, W).
        rules: for the signed integrals.
        absolute: for the integral of the absolute value.
        progress: label of a progress bar over gradients; none without it.
    """
    uses = shared_nodes((*rules, absolute))
    totals = [[torch.zeros_like(parameter) for parameter in path.parameters] for _ in range(len(rules) + 1)]
    for alpha, users in tqdm(sorted(uses.items()), desc=progress, unit="gradient", disable=progress is None):
        path.move_to(alpha)
        gradients = path.gradients(path.parameters, inputs, ground_truth, squared_error)
        for number, weight in users:
            values = gradients if number < len(rules) else torch._foreach_abs(gradients)
            torch._foreach_add_(totals[number], values, alpha=weight)
    change = path.loss(1.0, inputs, ground_truth) - path.loss(0.0, inputs, ground_truth)
    return Integrals(totals[:-1], totals[-1], change)
