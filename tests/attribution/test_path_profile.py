"""Profiles of the path against a network rebuilt at every point and scikit-image's PSNR."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from faiglib.attribution import PathProfile, path_profile
from faiglib.errors import FilterError, ImageError, NetworkError


def network(weight: float, bias: float = 0.0) -> nn.Module:
    """Multiplies every pixel and adds a constant."""
    layer = nn.Conv2d(3, 3, 1)
    with torch.no_grad():
        layer.weight.copy_(weight * torch.eye(3)[..., None, None])
        layer.bias.fill_(bias)
    return nn.Sequential(layer)


@pytest.fixture
def images() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [tuple(torch.rand(2, 1, 3, 6, 5 + n, generator=generator)) for n in range(3)]


def test_it_is_that_of_networks_rebuilt_at_every_point(images):
    profile = path_profile(network(0.8, 0.1), network(0.3, -0.2), images, points=5)
    assert profile.alphas == (0.0, 0.25, 0.5, 0.75, 1.0)
    for alpha, loss, psnr, level in zip(profile.alphas, profile.loss, profile.psnr, profile.psnr_level, strict=True):
        losses, decibels, levels = [], [], []
        for low, truth in images:
            output = (0.8 - 0.5 * alpha) * low.double().numpy() + 0.1 - 0.3 * alpha
            truth = truth.double().numpy()
            losses.append(((output - truth) ** 2).sum())
            decibels.append(peak_signal_noise_ratio(truth, output, data_range=1))
            shift = (truth - output).mean(axis=(2, 3), keepdims=True)
            levels.append(peak_signal_noise_ratio(truth, output + shift, data_range=1))
        # A float32 sum of three products: relative rounding of some 1e-7, in dB 4.34 times as much.
        assert loss == pytest.approx(np.mean(losses), rel=1e-5)
        assert psnr == pytest.approx(np.mean(decibels), abs=1e-4)
        assert level == pytest.approx(np.mean(levels), abs=1e-4)


def test_a_path_that_rises_in_the_middle_has_no_barrier():
    """Errors of 0.2, 0 and 0.2 along a single layer, seen at the ends alone or with points between them."""
    low, truth = torch.ones(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.9)
    assert path_profile(network(1.1), network(0.7), [(low, truth)], points=4).barrier == 0


def test_the_barrier_is_the_depth_below_the_line_between_the_ends():
    """Weights 1 · 1 and ½ · 2 multiply to 1 at both ends and to ¾ · 3/2 in the middle."""
    low, truth = torch.ones(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.9)
    ends = [nn.Sequential(network(1.0), network(1.0)), nn.Sequential(network(0.5), network(2.0))]
    profile = path_profile(*ends, [(low, truth)], points=3)
    end, middle = (-20 * np.log10(error) for error in (0.1, 0.75 * 1.5 - 0.9))
    assert profile.psnr == pytest.approx([end, middle, end], abs=1e-4)
    assert profile.barrier == pytest.approx(end - middle, abs=1e-4)


def test_a_constant_added_on_the_way_is_no_barrier_once_it_is_put_right():
    """Two layers that pass everything on; their biases cancel at both ends and not between them."""
    generator = torch.Generator().manual_seed(3)
    low = torch.rand(1, 3, 8, 8, generator=generator)
    truth = low + 0.01 * torch.randn(low.shape, generator=generator)
    ends = [nn.Sequential(network(1.0, 0.4), network(1.0, -0.4)), nn.Sequential(network(0.5), network(2.0))]
    profile = path_profile(*ends, [(low, truth)], points=3)
    same = [nn.Sequential(network(1.0), network(1.0)), nn.Sequential(network(0.5), network(2.0))]
    assert profile.barrier > profile.barrier_level
    assert profile.barrier_level == pytest.approx(path_profile(*same, [(low, truth)], points=3).barrier_level, abs=1e-4)


def test_what_cannot_be_profiled_is_refused(images):
    with pytest.raises(ValueError, match=r"two ends, so that 1 point"):
        path_profile(network(1.0), network(0.5), images, points=1)
    with pytest.raises(FilterError, match="there are none"):
        path_profile(network(1.0), network(0.5), [])
    with pytest.raises(ImageError, match="the ground truth"):
        path_profile(network(1.0), network(0.5), [(images[0][0], torch.rand(1, 3, 4, 4))])


def test_the_networks_stay_as_they_are(images):
    ends = network(0.8), network(0.3)
    before = [[p.clone() for p in one.parameters()] for one in ends]
    path_profile(*ends, images)
    for one, kept in zip(ends, before, strict=True):
        assert all(torch.equal(*both) for both in zip(one.parameters(), kept, strict=True))


@pytest.mark.parametrize(
    ("psnr", "level", "verdict", "words"),
    [
        ((32.0, 31.5, 33.0), (32.0, 31.6, 33.0), "sound", r"is sound: its PSNR falls 1\.0 dB below"),
        (
            (32.0, 31.4, 33.0),
            (32.0, 31.6, 33.0),
            "shifted brightness",
            r"1\.1 dB below .*, 0\.9 dB with",
        ),
        (
            (36.0, 19.5, 35.0),
            (36.0, 22.5, 35.0),
            "broken",
            r"is broken: its PSNR falls 16\.0 dB .* 13\.0 dB",
        ),
        ((32.0, 34.0, 33.0), (32.0, 34.0, 33.0), "sound", r"falls 0\.0 dB below"),
    ],
)
def test_the_verdict_follows_the_barrier(psnr, level, verdict, words):
    profile = PathProfile((0.0, 0.5, 1.0), (1.0, 1.0, 1.0), psnr, level)
    assert profile.verdict == verdict
    assert re.search(words, profile.in_words())


def test_a_network_that_fails_is_told_in_a_sentence(images):
    class Failing(nn.Sequential):
        def forward(self, x):
            raise RuntimeError("no such size\nat all")

    pair = [Failing(nn.Conv2d(3, 3, 1)) for _ in range(2)]
    with pytest.raises(NetworkError, match="Failing fails on an input of shape"):
        path_profile(*pair, images)
