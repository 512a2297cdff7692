"""A mask that is trained finds the only filter that does anything."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from faiglib.attribution import learned_masks
from faiglib.errors import FilterError, ImageError, NetworkError


def mixer(weights: list[float]) -> nn.Module:
    """One output channel as a sum of weighted inputs."""
    layer = nn.Conv2d(len(weights), 1, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights).view(1, -1, 1, 1))
    return nn.Sequential(layer)


def images(seed: int, weights: list[float], count: int = 3, silent: int = -1) -> list:
    """Noise, in one channel silence, and what a mixer makes of it."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        low = torch.rand(1, len(weights), 6, 6, generator=generator)
        if silent >= 0:
            low[:, silent] = 0
        made.append((low, mixer(weights)(low).detach()))
    return made


def test_the_only_useful_filter_is_found_and_a_harmful_one_is_left_out():
    ideal = [1.0, 1.0, 1.0, 1.0]
    target, baseline = mixer([1.0, 1.0, 1.0, 2.0]), mixer([1.0, 0.0, 1.0, 1.0])
    target[0].weight.data[0, 2] = 1.0  # as in the baseline: nothing to choose
    found = learned_masks(target, baseline, images(0, ideal), steps=60, sparsities=(0.01,))[0.01]
    assert found.ranking()[0] == 1
    share = torch.sigmoid(found.values)
    assert share[1] > 0.9
    assert share[3] < 0.1


def test_a_filter_that_serves_the_other_degradation_as_well_is_given_up():
    ideal = [1.0, 1.0]
    target, baseline = mixer([1.0, 1.0]), mixer([0.0, 0.0])
    own, other = (
        images(0, ideal),
        images(1, ideal, silent=0),
    )  # the second filter brings both back, the first one only own
    alone = learned_masks(target, baseline, own, steps=40, sparsities=(0.01,))[0.01].values
    careful = learned_masks(target, baseline, own, other, steps=40, spill=5.0, sparsities=(0.01,))[0.01].values
    assert torch.sigmoid(alone).min() > 0.9
    assert careful[1] < careful[0]
    assert torch.sigmoid(careful[1]) < 0.5


def test_stages_go_on_from_each_other_and_sparsity_takes_filters_away():
    target, baseline = mixer([1.0, 0.3, 0.1]), mixer([0.0, 0.0, 0.0])
    pairs = images(0, [1.0, 0.3, 0.1])
    found = learned_masks(target, baseline, pairs, steps=40, sparsities=(0.01, 100.0))
    assert list(found) == [0.01, 100.0]
    kept = [torch.sigmoid(one.values).sum() for one in found.values()]
    assert kept[1] < kept[0]
    first = learned_masks(target, baseline, pairs, steps=40, sparsities=(0.01,))
    assert torch.equal(first[0.01].values, found[0.01].values)


def test_what_is_no_filter_stays_the_baselines(small, make_pair, random_pairs, bits):
    target, baseline = make_pair(small)
    pairs = [(low, target(low).detach()) for low, _ in random_pairs(2)]
    before = bits(target), bits(baseline)
    learned_masks(target, baseline, pairs, steps=2)
    assert (bits(target), bits(baseline)) == before


def test_what_is_refused(small, make_pair, random_pairs):
    target, baseline = mixer([1.0, 1.0]), mixer([0.0, 0.0])
    good = images(0, [1.0, 1.0])
    for own, other in (([], []), (good, good[:1])):
        with pytest.raises(FilterError, match=f"not on {len(own)} and {len(other)}"):
            learned_masks(target, baseline, own, other)
    with pytest.raises(FilterError, match="no better than the baseline"):
        learned_masks(baseline, target, good)
    with pytest.raises(FilterError, match="no better than the baseline"):
        learned_masks(target, target, good)
    with pytest.raises(NetworkError, match="one architecture"):
        learned_masks(target, mixer([1.0]), good)
    with pytest.raises(ImageError, match="shape"):
        learned_masks(target, baseline, [(good[0][0], good[0][1][..., :3])])
