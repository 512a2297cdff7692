"""Paths by way of waypoints: complete, equal to FAIG where they are straight, and lower where they are trained."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from faiglib.attribution import contributions_along, faig, low_loss_waypoint, path_integral
from faiglib.errors import FilterError, NetworkError


@pytest.fixture
def three(small, make_pair):
    """Target, another network, baseline."""
    target, baseline = make_pair(small)
    middle, _ = make_pair(small, step=0.7)
    return target, middle, baseline


def loss(network: nn.Module, images: list) -> float:
    return sum(float((network(low) - truth).detach().square().sum()) for low, truth in images) / len(images)


def test_between_two_networks_it_is_faig(three, random_pairs):
    target, _, baseline = three
    images = random_pairs(2)
    scores, signed, _ = contributions_along([target, baseline], images, rule="left", nodes=5)
    assert torch.equal(scores.values, faig(target, baseline, images, rule="left", nodes=5).values)
    found = [path_integral(target, baseline, *pair, rule="left", nodes=5).contributions for pair in images]
    expected = torch.stack([scores.index.add_up(one) for one in found]).mean(0)
    assert torch.allclose(signed.values, expected, rtol=1e-12, atol=1e-14)


def test_all_contributions_make_up_the_change_of_the_loss(three, random_pairs):
    images = random_pairs(2)
    change = loss(three[2], images) - loss(three[0], images)
    errors = [abs(contributions_along(three, images, nodes=nodes)[2] - change) for nodes in (1, 10, 100)]
    assert errors[2] < errors[1] < errors[0]
    size = float(contributions_along(three, images)[0].values.sum())
    assert errors[2] < 1e-3 * size, "the slope has steps where a unit switches"


def test_a_waypoint_on_the_straight_line_changes_nothing(three, random_pairs):
    target, _, baseline = three
    halfway = copy.deepcopy(target)
    with torch.no_grad():
        for one, first, last in zip(halfway.parameters(), target.parameters(), baseline.parameters(), strict=True):
            one.copy_((first + last) / 2)
    images = random_pairs(2)
    bent = contributions_along([target, halfway, baseline], images, rule="midpoint", nodes=8)
    straight = contributions_along([target, baseline], images, rule="midpoint", nodes=16)  # the very same points
    for one, other in zip(bent[:2], straight[:2], strict=True):
        assert torch.allclose(one.values, other.values, rtol=1e-9, atol=1e-12)


def test_a_loss_that_does_not_see_a_weight_gives_it_nothing():
    def line(first: float, second: float) -> nn.Module:
        layer = nn.Conv2d(2, 1, 1, bias=False).double()
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([first, second]).view(1, 2, 1, 1))
        return nn.Sequential(layer)

    image = torch.cat([torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)], 1).double()
    ends = [line(0, 0), line(3, 5), line(1, 2)]
    scores, signed, total = contributions_along(ends, [(image, torch.zeros(1, 1, 4, 4).double())], nodes=1)
    assert scores.values.tolist() == pytest.approx([16.0, 0.0])  # 16 pixels of 1²: the way there and back cancels
    assert signed.values.tolist() == pytest.approx([16.0, 0.0])
    assert total == pytest.approx(16.0)


def test_a_trained_waypoint_lowers_the_loss_of_the_way(three, random_pairs):
    target, _, baseline = three
    images = random_pairs(2)
    before = low_loss_waypoint(target, baseline, images, steps=1, rate=1e-12)
    after = low_loss_waypoint(target, baseline, images, steps=200, rate=1e-3)
    halves = [(one + other) / 2 for one, other in zip(target.parameters(), baseline.parameters(), strict=True)]
    assert all(torch.allclose(one, half, atol=1e-9) for one, half in zip(before.parameters(), halves, strict=True))
    assert loss(after, images) < loss(before, images)
    assert not any(parameter.requires_grad for parameter in after.parameters())


def test_the_ends_stay_as_they_are(three, random_pairs, bits):
    before = [bits(one) for one in three]
    low_loss_waypoint(three[0], three[2], random_pairs(1), steps=2)
    contributions_along(three, random_pairs(1), nodes=1)
    assert [bits(one) for one in three] == before


def test_what_is_refused(three, random_pairs, small):
    target, _, baseline = three
    with pytest.raises(FilterError, match="two networks at least"):
        contributions_along([target], random_pairs(1))
    with pytest.raises(FilterError, match="there are none"):
        low_loss_waypoint(target, baseline, [])
    with pytest.raises(NetworkError, match="one architecture"):
        contributions_along([target, small(width=5), baseline], random_pairs(1))
