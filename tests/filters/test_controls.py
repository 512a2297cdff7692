"""Matched controls: the layers and the changes of what was chosen, and by chance otherwise."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from faiglib.errors import FilterError
from faiglib.filters.controls import MatchedControls
from faiglib.filters.index import FilterIndex, Layer
from faiglib.filters.scores import FilterScores, FilterSet

INDEX = FilterIndex((Layer("a", 20, 10, (3, 3)), Layer("b", 10, 5, (3, 3)), Layer("c", 4, 1, (1, 1))))


def scores(seed: int) -> FilterScores:
    return FilterScores(INDEX, torch.rand(INDEX.total, generator=torch.Generator().manual_seed(seed)).double())


def tenths(change: FilterScores) -> np.ndarray:
    """The tenth of every filter in its layer, by pandas."""
    table = pd.Series(change.values.numpy()).groupby(INDEX.layer_numbers().numpy())
    return (10 * (table.rank(method="first") - 1) // table.transform("size")).to_numpy(int)


@pytest.mark.parametrize("seed", range(5))
def test_controls_have_the_layers_and_tenths_of_the_chosen_and_none_of_them(seed):
    change = scores(seed)
    chosen = scores(seed + 100).top(9)
    drawn = MatchedControls(chosen, change).draw(seed)
    assert not (drawn.member() & chosen.member()).any()
    layers = INDEX.layer_numbers()
    assert Counter(layers[drawn.ids].tolist()) == Counter(layers[chosen.ids].tolist())
    cells = [Counter(tenths(change)[one.ids[layers[one.ids] == 0]].tolist()) for one in (drawn, chosen)]
    assert cells[0] == cells[1], "the first layer, whose tenths have more filters than were chosen of any"


def test_another_seed_draws_others_and_the_same_seed_the_same():
    change, chosen = scores(0), scores(1).top(9)
    first, again, other = (MatchedControls(chosen, change).draw(seed).ids for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_filter_of_a_tenth_is_as_likely():
    index = FilterIndex((Layer("a", 10, 10, (3, 3)),))
    change = FilterScores(index, torch.arange(100).double())
    chosen = FilterSet(index, torch.tensor([3, 57]))
    drawn = torch.cat([MatchedControls(chosen, change).draw(seed).ids for seed in range(900)])
    counts = torch.bincount(drawn, minlength=100)
    assert set(counts.nonzero().flatten().tolist()) == {*range(10), *range(50, 60)} - {3, 57}
    for first in (0, 50):
        there = counts[first : first + 10]
        assert stats.chisquare(there[there > 0].numpy()).pvalue > 1e-3


def test_where_a_tenth_is_used_up_the_nearest_fills_in():
    index = FilterIndex((Layer("a", 10, 10, (3, 3)),))
    change = FilterScores(index, torch.arange(100).double())
    drawn = MatchedControls(FilterSet(index, torch.arange(20, 28)), change).draw(0)
    assert torch.equal(drawn.ids[(drawn.ids >= 20) & (drawn.ids < 30)], torch.tensor([28, 29]))
    assert ((drawn.ids >= 10) & (drawn.ids < 40)).all()


def test_of_a_layer_that_was_chosen_for_the_most_part_control_and_choice_share_some():
    chosen = FilterSet(INDEX, torch.tensor([250, 251, 252]))
    drawn = MatchedControls(chosen, scores(0)).draw(0)
    assert len(drawn) == 3
    assert 253 in drawn.ids
    assert int((drawn.member() & chosen.member()).sum()) == 2


def test_changes_of_another_network_are_refused():
    other = FilterIndex((Layer("a", 2, 2, (3, 3)),))
    with pytest.raises(FilterError, match="different convolutions"):
        MatchedControls(scores(0).top(5), FilterScores(other, torch.rand(4).double()))
