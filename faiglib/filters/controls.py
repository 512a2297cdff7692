"""Controls that share with found filters what might explain them: their layers, and how much training moved them."""

from __future__ import annotations

import torch
from torch import Tensor

from faiglib.errors import FilterError
from faiglib.filters.scores import FilterScores, FilterSet

#: Parts of equal size that a layer's filters are divided into by how much they have changed.
TENTHS = 10


def matched_controls(filters: FilterSet, change: FilterScores, seed: int) -> FilterSet:
    """For each chosen filter, one at random that was not chosen, of the same layer and the same tenth of its changes.

    Where a tenth has fewer filters left than were chosen of it, the nearest one with some left fills in. Of a layer
    more than half of which was chosen, all others are taken, and as many of the chosen ones as are still wanted: what
    control and choice have in common counts for the control.

    Args:
        filters: that were chosen.
        change: of every filter, |θ − θ̄|, see
            :func:`faiglib.attribution.weight_change.filter_change`.
        seed: of the draw.

    Returns:
        As many filters in every layer as were chosen of it.

    Raises:
        FilterError: the change is of another network.
    """
    if filters.index != change.index:
        raise FilterError("the filter set and the changes belong to networks with different convolutions")
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    start = 0
    members, changes = filters.index.split(filters.member()), filters.index.split(change.values)
    for (layer, member), (_, moved) in zip(members, changes, strict=True):
        drawn.append(start + _of_layer(member.flatten(), _tenths(moved.flatten()), generator))
        start += layer.filters
    return FilterSet(filters.index, torch.cat(drawn))


def _tenths(values: Tensor) -> Tensor:
    """The tenth of every value, from 0 for the smallest, (n,) int64; ties go by their place."""
    ranks = torch.empty(len(values), dtype=torch.int64)
    ranks[values.sort(stable=True).indices] = torch.arange(len(values))
    return TENTHS * ranks // len(values)


def _of_layer(chosen: Tensor, tenths: Tensor, generator: torch.Generator) -> Tensor:
    """Places of controls in one layer, (number of chosen,) int64."""
    places = torch.randperm(len(chosen), generator=generator)
    others = places[~chosen[places]]
    free: list[list[int]] = [others[tenths[others] == tenth].tolist() for tenth in range(TENTHS)]
    wanted = torch.bincount(tenths[chosen], minlength=TENTHS).tolist()
    found: list[int] = []
    for away in range(TENTHS):
        for tenth in range(TENTHS):
            for near in dict.fromkeys((tenth - away, tenth + away)):
                if 0 <= near < TENTHS:
                    taken = min(wanted[tenth], len(free[near]))
                    found += [free[near].pop() for _ in range(taken)]
                    wanted[tenth] -= taken
    shared = places[chosen[places]][: sum(wanted)]
    return torch.cat([torch.tensor(found, dtype=torch.int64), shared])
