"""The other side of every benchmark does what it is compared for."""

from __future__ import annotations

import pytest
import torch

from benchmarks import common, fidelity, per_image, published
from benchmarks.__main__ import lines
from faiglib.attribution import faig, random_scores
from faiglib.companion.discovery import KINDS
from faiglib.companion.masked import Mask, measure
from faiglib.filters.index import FilterIndex
from faiglib.networks import build


def test_the_published_algorithm_gives_the_scores_of_the_library(small, make_pair, random_image):
    target, baseline = make_pair(lambda: small(width=3), dtype=torch.float32)
    low = [random_image(5, 6, seed, torch.float32) for seed in (0, 1)]
    truth = random_image(10, 12, 2, torch.float32)
    plain = published.attribute(
        lambda: small(width=3), dict(target.state_dict()), dict(baseline.state_dict()), *low, truth
    )
    ours = [faig(target, baseline, [(image, truth)], rule="left", nodes=published.STEPS).values for image in low]
    assert torch.allclose(plain.double(), ours[0] - ours[1], rtol=1e-3, atol=1e-5)


def test_the_plain_trainer_trains(random_image):
    network = build("srresnet", seed=0).train()
    before = network.conv_last.weight.detach().clone()
    published.train(network, [random_image(40, 44, 0, torch.float32)], patch=16, batch=2, iterations=2)
    assert not torch.equal(network.conv_last.weight, before)
    assert torch.isfinite(network.conv_last.weight).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_the_plain_trainer_degrades_in_processes_of_its_own(random_image, workers):
    networks = [build("srresnet", seed=0, features=4, blocks=1).train() for _ in range(2)]
    images = [random_image(40, 44, 0, torch.float32)]
    published.train(networks[0], images, patch=16, batch=2, iterations=2)
    published.train(networks[1], images, patch=16, batch=2, iterations=2, workers=workers)
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_naive_masking_gives_the_drops_of_the_library(bench):
    pair = bench.pair("srresnet", 0)
    scores = random_scores(FilterIndex.of(pair.target), 0)
    masks = [Mask("random", "deblurring", percent, scores.top(percent)) for percent in (5, 50)]
    samples = bench.samples("skimage", 2, 24)
    states = [dict(network.state_dict()) for network in (pair.target, pair.baseline)]
    found = torch.tensor(published.mask(lambda: build("srresnet"), *states, masks, samples))
    table = measure(pair, masks, samples, "masking")
    expected = torch.tensor(table[["drop", "psnr", "psnr_target", "psnr_baseline"]].to_numpy())
    assert torch.allclose(found.double(), expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("way", per_image.WAYS[1:])
def test_every_way_gives_the_gradients_of_single_images(small, make_pair, random_image, way):
    network, _ = make_pair(lambda: small(kernels=(5, 3)))
    inputs = torch.cat([random_image(7, 8, seed) for seed in range(3)])
    truth = torch.cat([random_image(14, 16, 10 + seed) for seed in range(3)])
    found = per_image.gradients(network, inputs, truth, way)
    weights = {name: weight for name, weight in network.named_parameters() if weight.dim() == 4}
    assert set(found) == set(weights)
    for number in range(3):
        loss = ((network(inputs[number : number + 1]) - truth[number : number + 1]) ** 2).sum()
        for (name, _), expected in zip(weights.items(), torch.autograd.grad(loss, weights.values()), strict=True):
            assert torch.allclose(found[name][number], expected, rtol=1e-9, atol=1e-12)


def test_exponents_and_operations_are_those_of_known_work():
    assert common.exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    image, weight = torch.rand(1, 3, 10, 10), torch.rand(5, 3, 3, 3)
    assert common.flops(lambda: torch.nn.functional.conv2d(image, weight)) == 2 * 3 * 5 * 9 * 8 * 8


def test_results_are_printed_as_tables():
    text = list(lines({"rows": [{"name": "a", "x": 1.23456}, {"name": "bb", "x": 2}], "best": {"y": 3}}))
    assert text == ["  name  x", "  a     1.235", "  bb    2", "  best", f"    {'y':<22} 3"]


def test_long_tables_are_kept_and_not_printed():
    assert list(lines({"rows": [{"x": 1}] * 41})) == [f"  {'rows':<22} 41 rows, in the JSON"]


def test_fidelity_averages_over_groups_and_functions(small):
    index = FilterIndex.of(small(width=20))
    generator = torch.Generator().manual_seed(0)
    exact = {kind: torch.rand(5, index.total, generator=generator).double() for kind in KINDS}
    rough = {kind: scores + 0.3 * torch.rand(scores.shape, generator=generator) for kind, scores in exact.items()}
    assert fidelity.fidelity(index, exact, exact, 2) == 1
    assert fidelity.counts(5) == [1, 2, 4]
    count = max(1, round(index.total / 100))
    shares = []
    for group in ([0, 1], [2, 3]):  # the fifth image is in no group of two
        for sign in (1, -1):
            chosen = []
            for scores in (exact, rough):
                difference = sign * (scores["blurry"] - scores["noisy"])[group].mean(0)
                chosen.append(set(difference.argsort(descending=True)[:count].tolist()))
            shares.append(len(chosen[0] & chosen[1]) / count)
    assert fidelity.fidelity(index, rough, exact, 2) == pytest.approx(sum(shares) / 4)
