"""IG in input space against a plain slow loop."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from faiglib.attribution import faig, intinf
from faiglib.errors import FilterError, NetworkError
from faiglib.networks import build


def slow_scores(network: nn.Module, clean, degraded, alphas) -> np.ndarray:
    """The mean gradient of the summed output at each point between the inputs; |.| per weight; summed per kernel."""
    network = copy.deepcopy(network)
    total = {name: np.zeros(p.shape) for name, p in network.named_parameters() if p.dim() == 4}
    for alpha in alphas:
        network.zero_grad()
        network((1 - alpha) * clean + alpha * degraded).sum().backward()
        for name, parameter in network.named_parameters():
            if name in total:
                total[name] += parameter.grad.numpy() / len(alphas)
    return np.concatenate([np.abs(values).sum(axis=(2, 3)).ravel() for values in total.values()])


@pytest.mark.parametrize(
    ("rule", "nodes", "alphas"),
    [
        ("left", 10, [k / 10 for k in range(10)]),
        ("right", 10, [k / 10 for k in range(1, 11)]),
        ("midpoint", 5, [0.1, 0.3, 0.5, 0.7, 0.9]),
    ],
)
@pytest.mark.parametrize("options", [{}, {"kernels": (5, 1)}, {"scale": 3}, {"kernels": (3, 3), "groups": 4}], ids=str)
def test_scores_are_those_of_the_slow_loop(small, make_pair, random_image, options, rule, nodes, alphas):
    network, _ = make_pair(lambda: small(**options))
    clean, degraded = random_image(6, 7, 1), random_image(6, 7, 2)
    scores = intinf(network, [(clean, degraded)], rule=rule, nodes=nodes)
    assert np.allclose(scores.values.numpy(), slow_scores(network, clean, degraded, alphas), rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", ["srresnet", "srcnn_style"])
def test_full_networks(random_image, name):
    network = build(name, seed=0).double()
    clean, degraded = random_image(6, 6, 1), random_image(6, 6, 2)
    scores = intinf(network, [(clean, degraded)], rule="left", nodes=4)
    expected = slow_scores(network, clean, degraded, [0, 0.25, 0.5, 0.75])
    assert np.allclose(scores.values.numpy(), expected, rtol=1e-8, atol=1e-12)
    assert np.array_equal(scores.top(1).ids, np.sort(np.argsort(-expected, kind="stable")[: len(expected) // 100]))


def test_a_linear_network_has_a_closed_form(random_image):
    """For one 1x1 convolution the gradient is the sum of the input, linear in α: exact with one midpoint."""
    network = nn.Conv2d(3, 2, 1, dtype=torch.float64)
    clean, degraded = random_image(4, 5, 1), random_image(4, 5, 2)
    expected = ((clean + degraded) / 2).sum(dim=(0, 2, 3)).abs().numpy()
    scores = intinf(network, [(clean, degraded)], rule="midpoint", nodes=1)
    assert scores.values.view(2, 3).numpy() == pytest.approx(np.stack([expected, expected]), rel=1e-12)


def test_the_path_starts_at_the_clean_input(random_image):
    network = nn.Conv2d(3, 1, 1, dtype=torch.float64)
    clean, degraded = random_image(4, 5, 1), random_image(4, 5, 2)
    scores = intinf(network, [(clean, degraded)], rule="left", nodes=1)
    assert scores.values.numpy() == pytest.approx(clean.sum(dim=(0, 2, 3)).numpy(), rel=1e-12)


def test_integration_precedes_the_absolute_value():
    network = nn.Conv2d(1, 1, 1, dtype=torch.float64)
    image = torch.ones(1, 1, 3, 3, dtype=torch.float64)
    assert float(intinf(network, [(-image, image)]).values) == pytest.approx(0, abs=1e-12)


def test_scores_are_the_mean_over_images(small, make_pair, random_image):
    network, _ = make_pair(small)
    pairs = [(random_image(6, 6 + k, k), random_image(6, 6 + k, 10 + k)) for k in range(3)]
    singles = np.mean([intinf(network, [pair]).values.numpy() for pair in pairs], axis=0)
    assert intinf(network, iter(pairs)).values.numpy() == pytest.approx(singles, rel=1e-12)


def test_the_network_is_not_modified(small, make_pair, random_image, bits):
    network, _ = make_pair(small)
    network.train()
    network.layers[0].weight.requires_grad_(False)
    before = bits(network)
    scores = intinf(network, [(random_image(6, 6, 1), random_image(6, 6, 2))])
    assert bits(network) == before
    assert network.training
    assert not network.layers[0].weight.requires_grad
    assert all(p.grad is None for p in network.parameters())
    assert (scores.values > 0).all(), "frozen layers are scored too"


def test_an_unused_layer_scores_zero(small, make_pair, random_image):
    def make() -> nn.Module:
        network = small()
        network.idle = nn.Conv2d(3, 2, 3)
        return network

    network, _ = make_pair(make)
    scores = intinf(network, [(random_image(6, 6, 1), random_image(6, 6, 2))])
    by_layer = {layer.name: piece for layer, piece in scores.index.split(scores.values)}
    assert torch.count_nonzero(by_layer["idle.weight"]) == 0
    assert torch.count_nonzero(by_layer["layers.0.weight"]) > 0


def test_it_is_not_faig(small, make_pair, random_pairs, random_image):
    target, baseline = make_pair(small)
    ((inputs, truth),) = random_pairs()
    other = intinf(target, [(random_image(6, 6, 8), inputs)])
    assert not torch.equal(faig(target, baseline, [(inputs, truth)]).ranking(), other.ranking())


def test_nothing_to_analyse_is_refused(small, random_image):
    with pytest.raises(NetworkError, match="no convolution"):
        intinf(nn.Linear(3, 3), [(random_image(4, 4), random_image(4, 4))])
    with pytest.raises(FilterError, match="there are none"):
        intinf(small(), [])
