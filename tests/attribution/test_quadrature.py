"""Quadrature rules: what each integrates exactly, how fast it converges, and the nodes of the released code."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from faiglib.attribution import RULES, quadrature
from faiglib.attribution.quadrature import moved


def integrate(rule: str, nodes: int, function) -> float:
    points = quadrature(rule, nodes)
    return math.fsum(w * function(x) for x, w in zip(points.nodes, points.weights, strict=True))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("nodes", [2, 3, 16, 100])
def test_weights_sum_to_one_and_nodes_ascend_in_the_interval(rule, nodes):
    points = quadrature(rule, nodes)
    assert points.rule == rule
    assert len(points.nodes) == len(points.weights) == nodes
    assert math.fsum(points.weights) == pytest.approx(1, abs=1e-14)
    assert all(weight > 0 for weight in points.weights)
    assert list(points.nodes) == sorted(set(points.nodes))
    assert points.nodes[0] >= 0
    assert points.nodes[-1] <= 1
    assert {type(value) for value in points.nodes + points.weights} == {float}


def test_released_nodes():
    points = quadrature("left", 100)
    assert points.nodes == pytest.approx([k * 0.01 for k in range(100)], abs=1e-15)
    assert points.nodes[0] == 0
    assert points.nodes[-1] == 0.99
    assert set(points.weights) == {0.01}


@pytest.mark.parametrize("nodes", [1, 2, 7])
def test_left_and_right_differ_from_the_linear_integral_by_half_a_step(nodes):
    assert integrate("left", nodes, lambda x: 3 * x + 1) == pytest.approx(2.5 - 1.5 / nodes)
    assert integrate("right", nodes, lambda x: 3 * x + 1) == pytest.approx(2.5 + 1.5 / nodes)


@pytest.mark.parametrize(("rule", "nodes"), [("midpoint", 1), ("midpoint", 5), ("trapezoid", 2), ("trapezoid", 6)])
def test_midpoint_and_trapezoid_are_exact_on_lines_only(rule, nodes):
    assert integrate(rule, nodes, lambda x: 3 * x + 1) == pytest.approx(2.5, abs=1e-14)
    assert abs(integrate(rule, nodes, lambda x: x**2) - 1 / 3) > 1e-3


@pytest.mark.parametrize("nodes", [1, 2, 3, 5, 8])
def test_gauss_legendre_is_exact_to_degree_2n_minus_1(nodes):
    for degree in range(2 * nodes):
        assert integrate("gauss-legendre", nodes, lambda x, d=degree: x**d) == pytest.approx(
            1 / (degree + 1), abs=1e-14
        )
    error = abs(integrate("gauss-legendre", nodes, lambda x: x ** (2 * nodes)) - 1 / (2 * nodes + 1))
    remainder = math.factorial(nodes) ** 4 / ((2 * nodes + 1) * math.factorial(2 * nodes) ** 2)
    assert error == pytest.approx(remainder, rel=1e-3, abs=1e-14)


@pytest.mark.parametrize(("rule", "order"), [("left", 1), ("right", 1), ("midpoint", 2), ("trapezoid", 2)])
def test_order_of_convergence(rule, order):
    counts = np.array([8, 16, 32, 64, 128])
    errors = [abs(integrate(rule, int(count), math.exp) - (math.e - 1)) for count in counts]
    steps = counts - (rule == "trapezoid")
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(-order, abs=0.03)


def test_gauss_legendre_converges_geometrically():
    errors = [abs(integrate("gauss-legendre", count, math.exp) - (math.e - 1)) for count in (1, 2, 3, 4)]
    assert all(later < earlier / 50 for earlier, later in pairwise(errors))


@pytest.mark.parametrize("rule", [*RULES])
@pytest.mark.parametrize("nodes", [0, -3])
def test_too_few_nodes_are_refused(rule, nodes):
    with pytest.raises(ValueError, match=f"the {rule} rule needs at least"):
        quadrature(rule, nodes)


def test_a_trapezoid_needs_two_ends():
    with pytest.raises(ValueError, match="at least 2"):
        quadrature("trapezoid", 1)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="unknown quadrature rule 'simpson'; known: left, right"):
        quadrature("simpson", 4)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_moved_nodes_are_equidistant_and_anywhere(count):
    rules = [moved(count, number) for number in range(400)]
    for rule in rules:
        assert np.allclose(np.diff(rule.nodes), 1 / count)
        assert rule.weights == (1 / count,) * count
    offsets = np.array([rule.nodes[0] for rule in rules]) * count
    # Uniform in [0, 1): the largest distance between the two distribution functions (Kolmogorov), at a risk of 1e-4.
    assert np.abs(np.sort(offsets) - np.arange(1, 401) / 400).max() < 2.23 / math.sqrt(400) + 1 / 400
    assert moved(count, 7) == rules[7] != rules[8]


def test_moved_nodes_have_no_bias():
    exact, numbers = math.e - 1, 4000
    found = np.array([np.exp(moved(1, number).nodes[0]) for number in range(numbers)])
    spread = math.sqrt((math.e**2 - 1) / 2 - exact**2)  # of exp at a uniform place
    assert abs(found.mean() - exact) < 4 * spread / math.sqrt(numbers)
    assert abs(integrate("left", 1, math.exp) - exact) > 20 * spread / math.sqrt(numbers), "which a fixed node has"


def test_no_moved_nodes_are_refused():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        moved(0, 3)
