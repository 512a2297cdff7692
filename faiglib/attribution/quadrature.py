"""Quadrature rules on [0, 1], for integrals along a straight line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Rule = Literal["left", "right", "midpoint", "trapezoid", "gauss-legendre"]
RULES: tuple[str, ...] = get_args(Rule)
#: Name of the rule of :func:`moved`, which is for many integrals only.
MOVED = "moved"


@dataclass(frozen=True)
class Quadrature:
    """∫₀¹ f(α) dα ≈ Σ weights[k] · f(nodes[k]).

    Attributes:
        rule: its name.
        nodes: positions α in [0, 1], ascending.
        weights: same length, summing to 1.
    """

    rule: str
    nodes: tuple[float, ...]
    weights: tuple[float, ...]


def quadrature(rule: Rule | str, count: int) -> Quadrature:
    """A rule with ``count`` evaluations of the integrand.

    ``left`` with 100 nodes (α = 0, 0.01, …, 0.99, the target end included) is the released code; the paper's
    text says equidistant points.

    Raises:
        ValueError: the rule is unknown, or has no such number of nodes.
    """
    least = 2 if rule == "trapezoid" else 1
    if rule not in RULES:
        raise ValueError(f"unknown quadrature rule {rule!r}; known: {', '.join(RULES)}")
    if count < least:
        raise ValueError(f"the {rule} rule needs at least {least} node(s), not {count}")
    steps = np.arange(count)
    weights = np.full(count, 1.0 / count)
    if rule == "left":
        nodes = steps / count
    elif rule == "right":
        nodes = (steps + 1) / count
    elif rule == "midpoint":
        nodes = (steps + 0.5) / count
    elif rule == "trapezoid":
        nodes = steps / (count - 1)
        weights = np.full(count, 1.0 / (count - 1))
        weights[[0, -1]] /= 2
    else:
        nodes, weights = np.polynomial.legendre.leggauss(count)
        nodes, weights = (nodes + 1) / 2, weights / 2
    return Quadrature(str(rule), tuple(map(float, nodes)), tuple(map(float, weights)))


def moved(count: int, number: int) -> Quadrature:
    """Equidistant nodes at a place of their own in each of many integrals, which are averaged.

    Every position has the same chance, so that the mean over many numbers has no bias, however few nodes each takes;
    what these few miss varies from one to the next and averages out with the rest (Cranley and Patterson, 1976).

    Args:
        count: nodes.
        number: of the integral, from 0; it decides the place.

    Raises:
        ValueError: there is no such number of nodes.
    """
    if count < 1:
        raise ValueError(f"moved nodes are at least 1, not {count}")
    places = (np.arange(count) + np.random.default_rng([number, count]).random()) / count
    return Quadrature(MOVED, tuple(map(float, places)), (1.0 / count,) * count)
