"""The |θ − θ̄| and random baselines against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from faiglib.attribution import filter_change, random_scores
from faiglib.errors import FilterError, NetworkError
from faiglib.filters.index import FilterIndex
from faiglib.networks import build


def kernels(network) -> list[np.ndarray]:
    weights = [tensor.numpy() for tensor in network.state_dict().values() if tensor.dim() == 4]
    return [weight[o, i] for weight in weights for o in range(weight.shape[0]) for i in range(weight.shape[1])]


@pytest.mark.parametrize("variant", ["as_published", "as_released"])
@pytest.mark.parametrize(
    "options", [{}, {"kernels": (5, 1, 3)}, {"kernels": (3, 3), "groups": 2}, {"scale": 4}], ids=str
)
def test_change_of_each_kernel(small, make_pair, options, variant):
    target, baseline = make_pair(lambda: small(**options), step=0.3)
    expected = []
    for new, old in zip(kernels(target), kernels(baseline), strict=True):
        change = sum(abs(a - b) for a, b in zip(new.ravel(), old.ravel(), strict=True))
        expected.append(change / sum(abs(b) for b in old.ravel()) if variant == "as_released" else change)
    assert filter_change(target, baseline, variant).values.numpy() == pytest.approx(np.array(expected), rel=1e-12)


def test_published_is_the_default(small, make_pair):
    pair = make_pair(small)
    assert torch.equal(filter_change(*pair).values, filter_change(*pair, "as_published").values)
    assert not torch.equal(filter_change(*pair).ranking(), filter_change(*pair, "as_released").ranking())


def test_full_network_in_single_precision(make_pair):
    target, baseline = make_pair(lambda: build("srresnet", seed=0), dtype=torch.float32)
    expected = [
        np.abs(new - old).sum(dtype=np.float64) for new, old in zip(kernels(target), kernels(baseline), strict=True)
    ]
    assert filter_change(target, baseline).values.numpy() == pytest.approx(np.array(expected), rel=1e-12)


def test_a_kernel_that_was_zero_has_no_relative_change(small, make_pair):
    target, baseline = make_pair(small)
    with torch.no_grad():
        baseline.layers[0].weight[1, 2] = 0
    filter_change(target, baseline)
    with pytest.raises(FilterError, match="NaN or infinite"):
        filter_change(target, baseline, "as_released")


def test_what_is_refused(small, make_pair):
    pair = make_pair(small)
    with pytest.raises(ValueError, match="'as_published' or 'as_released', not 'relative'"):
        filter_change(*pair, "relative")
    with pytest.raises(NetworkError, match="one architecture"):
        filter_change(small(), small(width=5))


def test_the_networks_are_not_modified(small, make_pair, bits):
    target, baseline = make_pair(small)
    before = bits(target), bits(baseline)
    filter_change(target, baseline)
    assert (bits(target), bits(baseline)) == before


def test_random_scores_are_uniform_and_fixed_by_the_seed():
    index = FilterIndex.of(build("srcnn_style", seed=0))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, again, other = (random_scores(index, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.values, again.values)
    assert stats.kstest(first.values.numpy(), "uniform").pvalue > 1e-4
    assert len(first.values.unique()) == index.total
    assert abs(first.top(10).overlap(other.top(10)) - 0.1) < 0.02


def test_random_filters_are_spread_over_the_layers_by_their_size():
    index = FilterIndex.of(build("srresnet", seed=0))
    numbers = index.layer_numbers()[random_scores(index, 0).top(10).ids]
    counts = np.bincount(numbers, minlength=len(index.layers))
    expected = np.array([layer.filters for layer in index.layers]) * counts.sum() / index.total
    assert stats.chisquare(counts, expected).pvalue > 1e-4
