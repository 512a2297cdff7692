"""The other side of every benchmark does what it is compared for."""

from __future__ import annotations

import torch

from benchmarks import published
from faiglib.attribution import faig
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
