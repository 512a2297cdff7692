"""Importance at the target against gradients by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from faiglib.attribution import faig, fisher, magnitude, taylor
from faiglib.errors import FilterError, NetworkError


def by_hand(target: nn.Module, images: list, of) -> np.ndarray:
    """Mean over images of a function of each kernel and its gradient, kernel by kernel."""
    values = []
    for low, truth in images:
        target.zero_grad()
        (target(low) - truth).pow(2).sum().backward()
        kernels = [(p.detach().numpy(), p.grad.numpy()) for p in target.parameters() if p.dim() == 4]
        values.append([of(w[o, i], g[o, i]) for w, g in kernels for o in range(len(w)) for i in range(w.shape[1])])
    return np.mean(values, axis=0)


@pytest.fixture
def case(small, make_pair, random_pairs):
    target, baseline = make_pair(lambda: small(kernels=(3, 1)))
    return target, baseline, random_pairs(3)


def test_taylor_is_the_absolute_sum_of_weight_times_slope(case):
    target, _, images = case
    expected = by_hand(target, images, lambda weight, slope: abs((weight * slope).sum()))
    assert taylor(target, images).values.numpy() == pytest.approx(expected, rel=1e-10)


def test_fisher_is_the_sum_of_squared_slopes(case):
    target, _, images = case
    expected = by_hand(target, images, lambda _, slope: (slope**2).sum())
    assert fisher(target, images).values.numpy() == pytest.approx(expected, rel=1e-10)


def test_magnitude_is_the_sum_of_sizes(case):
    target, _, images = case
    expected = by_hand(target, images[:1], lambda weight, _: abs(weight).sum())
    assert magnitude(target).values.numpy() == pytest.approx(expected, rel=1e-12)


def test_one_left_node_of_faig_is_the_first_order_in_the_difference(case):
    target, baseline, images = case
    steps = [
        b.detach().numpy() - t.detach().numpy() for t, b in zip(target.parameters(), baseline.parameters(), strict=True)
    ]
    steps = iter([step for step in steps if step.ndim == 4] * len(images))
    values = []
    for low, truth in images:
        target.zero_grad()
        (target(low) - truth).pow(2).sum().backward()
        kernels = [np.abs(p.grad.numpy() * next(steps)) for p in target.parameters() if p.dim() == 4]
        values.append(np.concatenate([kernel.sum(axis=(2, 3)).ravel() for kernel in kernels]))
    found = faig(target, baseline, images, rule="left", nodes=1).values.numpy()
    assert found == pytest.approx(np.mean(values, axis=0), rel=1e-10)


@pytest.mark.parametrize("method", [taylor, fisher])
def test_another_loss_is_followed(case, method):
    target, _, images = case
    twice = method(target, images, loss=lambda output, truth: 2 * (output - truth).square().sum())
    assert torch.allclose(twice.values, {taylor: 2, fisher: 4}[method] * method(target, images).values)


@pytest.mark.parametrize("method", [taylor, fisher])
def test_what_is_refused(case, method):
    target, _, images = case
    with pytest.raises(FilterError, match="there are none"):
        method(target, [])
    with pytest.raises(NetworkError, match="no convolution"):
        method(nn.Linear(3, 3), images)
