"""The corrected path against means and deviations taken apart, layer by layer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from faiglib.attribution import corrected_path, path_profile, profile_along
from faiglib.errors import FilterError, NetworkError


class Two(nn.Module):
    """A convolution, a bend, and a transposed convolution."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, 3, padding=1, bias=bias)
        self.last = nn.ConvTranspose2d(5, 3, 2, stride=2)

    def forward(self, x):
        return self.last(F.leaky_relu(self.first(x), 0.1))


@pytest.fixture
def ends():
    torch.manual_seed(0)
    return [Two().double().eval() for _ in range(2)]


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(1, 3, 6, 7, dtype=torch.float64, generator=generator) for _ in range(3)]


def moments(network, inputs):
    """Mean and deviation of both layers' outputs, image by image put together."""
    inner = torch.cat([network.first(one) for one in inputs]).transpose(0, 1).flatten(1)
    outer = torch.cat([network(one) for one in inputs]).transpose(0, 1).flatten(1)
    return [one for part in (inner, outer) for one in (part.mean(1), part.var(1, correction=0).sqrt())]


@torch.no_grad()
def test_means_and_deviations_lie_between_those_of_the_ends(ends, inputs):
    found = corrected_path(*ends, inputs, points=5)
    assert len(found) == 5
    first, last = (moments(network, inputs) for network in ends)
    for number, network in enumerate(found):
        for own, start, end in zip(moments(network, inputs), first, last, strict=True):
            torch.testing.assert_close(own, start + number / 4 * (end - start), rtol=1e-9, atol=1e-12)
    for network, end in ((found[0], ends[0]), (found[-1], ends[1])):
        for own, expected in zip(network.parameters(), end.parameters(), strict=True):
            assert torch.equal(own, expected)


@torch.no_grad()
def test_directions_of_filters_stay_those_of_the_straight_line(ends, inputs):
    middle = corrected_path(*ends, inputs, points=3)[1]
    straight = (ends[0].first.weight + ends[1].first.weight) / 2
    cosine = F.cosine_similarity(middle.first.weight.flatten(1), straight.flatten(1))
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_a_channel_that_never_changes_keeps_its_weights(ends, inputs):
    for network in ends:
        with torch.no_grad():
            network.first.weight[2] = 0
    middle = corrected_path(*ends, inputs, points=3)[1]
    assert not middle.first.weight[2].any()
    expected = (ends[0].first.bias[2] + ends[1].first.bias[2]) / 2
    torch.testing.assert_close(middle.first.bias[2], expected)


def test_bad_arguments(ends, inputs):
    with pytest.raises(FilterError, match="there are none"):
        corrected_path(*ends, [])
    with pytest.raises(ValueError, match="two ends"):
        corrected_path(*ends, inputs, points=1)
    plain = [Two(bias=False).double() for _ in range(2)]
    with pytest.raises(NetworkError, match="the convolution first has no bias"):
        corrected_path(*plain, inputs)
    with pytest.raises(FilterError, match="two networks at least"):
        profile_along(ends[:1], [])


def test_the_profile_of_pieces_is_theirs_put_together(ends, inputs):
    pairs = [(one, torch.rand(1, 3, 12, 14, dtype=torch.float64)) for one in inputs]
    straight = path_profile(*ends, pairs, points=5)
    assert profile_along(ends, pairs, points=5) == straight
    path = corrected_path(*ends, inputs, points=3)
    whole = profile_along(path, pairs, points=3)
    parts = [path_profile(*piece, pairs, points=3) for piece in (path[:2], path[1:])]
    assert whole.alphas == (0, 0.25, 0.5, 0.75, 1)
    assert whole.psnr == (*parts[0].psnr, *parts[1].psnr[1:])
    assert whole.psnr[2] != pytest.approx(straight.psnr[2])
