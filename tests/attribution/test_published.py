"""FAIG against a plain transcription of the published algorithm, on the networks of the paper.

One process runs this file (see tests/conftest.py): the slow references are made once.
"""

from __future__ import annotations

import copy
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.attribution import faig
from faiglib.networks import build


def published_scores(make, target: dict, baseline: dict, image: Tensor, truth: Tensor, steps: int) -> np.ndarray:
    """One score per filter: gradients at alpha = k / steps, summed layer by layer, times the difference."""
    names = [name for name, tensor in target.items() if tensor.dim() == 4]
    sums = dict.fromkeys(names, 0.0)
    network = make()
    for step in range(steps):
        alpha = step / steps
        network.load_state_dict({name: alpha * baseline[name] + (1 - alpha) * target[name] for name in target})
        network.zero_grad()
        loss = ((network(image) - truth) ** 2).sum()
        loss.backward()
        for name, parameter in network.named_parameters():
            if name in sums:
                sums[name] = sums[name] + parameter.grad
    scores = []
    for name in names:
        attribution = np.abs((sums[name] * (baseline[name] - target[name]) / steps).numpy())
        for output in range(attribution.shape[0]):
            scores.extend(attribution[output].sum(axis=(1, 2)))
    return np.array(scores)


#: Nodes by network: as many as published, but on the slowest a quarter.
NODES = {"srresnet_s": 100, "srresnet": 100, "srcnn_style": 25}


@pytest.fixture(params=NODES, scope="module")
def published(request, make_pair):
    """A network pair, one image in two degradations, the nodes, and what gives the published scores in float64."""
    return published_case(request.param, NODES[request.param], make_pair)


def published_case(name: str, nodes: int, make_pair) -> tuple:
    target, baseline = make_pair(lambda: build(name, seed=0, scale=2), step=0.1, dtype=torch.float32)
    target.double(), baseline.double()  # every value is one of single precision
    generator = torch.Generator().manual_seed(1)
    truth = F.avg_pool2d(torch.rand(1, 3, 18, 18, generator=generator), 3, 1, 0)
    clean = F.avg_pool2d(truth, 2)
    blurry = F.avg_pool2d(F.pad(clean, (1, 1, 1, 1), mode="reflect"), 3, 1)
    noisy = (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    images, truth = {"blurry": blurry.double(), "noisy": noisy.double()}, truth.double()

    def make() -> nn.Module:
        return build(name, scale=2).double()

    @cache
    def expected(kind: str) -> np.ndarray:
        return published_scores(make, target.state_dict(), baseline.state_dict(), images[kind], truth, nodes)

    return target, baseline, images, truth, nodes, expected


@pytest.mark.slow
def test_the_left_rule_is_the_published_algorithm(published):
    target, baseline, images, truth, nodes, slowly = published
    expected = {kind: slowly(kind) for kind in images}
    scores = {
        kind: faig(target, baseline, [(image, truth)], rule="left", nodes=nodes) for kind, image in images.items()
    }
    for kind in images:
        assert np.allclose(scores[kind].values.numpy(), expected[kind], rtol=1e-4, atol=0), kind
        assert (expected[kind] > 0).mean() > 0.9, "dead units are few"
    for one, other in (("blurry", "noisy"), ("noisy", "blurry")):
        ranking = np.argsort(-(expected[one] - expected[other]), kind="stable")
        assert np.array_equal((scores[one] - scores[other]).ranking().numpy(), ranking)
    deblur, denoise = ((scores[a] - scores[b]).top(1) for a, b in (("blurry", "noisy"), ("noisy", "blurry")))
    assert len(deblur) == len(denoise) == len(expected["blurry"]) // 100
    assert deblur.overlap(denoise) < 0.5, "the two rankings are not one and the same"


@pytest.mark.slow
def test_the_left_rule_in_single_precision_agrees_with_the_published_algorithm(published):
    target, baseline, images, truth, nodes, slowly = published
    networks = [copy.deepcopy(network).float() for network in (target, baseline)]
    result = faig(*networks, [(images["noisy"], truth)], rule="left", nodes=nodes)
    scores = slowly("noisy")
    error = np.abs(result.values.numpy() - scores)
    # What single precision can do: a gradient is a sum of terms that may cancel, so that its rounding is that of the
    # largest terms of its layer; and a unit near its kink may come out on the other side, at one pixel of 81 of one
    # node. Both are small beside the largest score of the layer, and on the whole beside all scores.
    largest = np.concatenate([np.full(b - a, scores[a:b].max()) for a, b in pairwise(result.index.offsets)])
    assert (error <= 1e-3 * largest).all(), float((error / largest).max())
    assert error.sum() < 1e-4 * scores.sum()
    # The same best filters, but for those so near the last one that rounding may exchange them.
    top = np.argsort(-scores, kind="stable")[: len(scores) // 100]
    assert len(set(result.top(1).ids.tolist()) & set(top.tolist())) >= 0.99 * len(top)
