"""Controls that share with found filters what might explain them: their layers, and how much training moved them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faiglib.errors import FilterError
from faiglib.filters.scores import FilterScores, FilterSet

#: Parts of equal size that a layer's filters are divided into by how much they have changed.
TENTHS = 10


class MatchedControls:
    """Draws for each chosen filter one that was not chosen, of the same layer and the same tenth of its changes.

    Where a tenth has fewer filters left than were chosen of it, the nearest one with some left fills in. Of a layer
    more than half of which was chosen, all others are taken, and as many of the chosen ones as are still wanted: what
    control and choice have in common counts for the control.

    Args:
        filters: that were chosen.
        change: of every filter, |θ − θ̄|, see
            :func:`faiglib.attribution.weight_change.filter_change`.

    Raises:
        FilterError: the change is of another network.
    """

    def __init__(self, filters: FilterSet, change: FilterScores) -> None:
        if filters.index != change.index:
            raise FilterError("the filter set and the changes belong to networks with different convolutions")
        self.index = filters.index
        members, changes = filters.index.split(filters.member()), filters.index.split(change.values)
        self._layers = [
            (member.flatten().numpy(), _tenths(moved.flatten()).numpy())
            for (_, member), (_, moved) in zip(members, changes, strict=True)
        ]

    def draw(self, seed: int) -> FilterSet:
        """As many filters in every layer as were chosen of it, at random by the seed."""
        generator = torch.Generator().manual_seed(seed)
        drawn = [
            start + _of_layer(chosen, tenths, generator)
            for start, (chosen, tenths) in zip(self.index.offsets, self._layers, strict=False)
        ]
        return FilterSet(self.index, torch.cat(drawn))


def _tenths(values: Tensor) -> Tensor:
    """The tenth of every value, from 0 for the smallest, (n,) uint8; ties go by their place."""
    ranks = torch.empty(len(values), dtype=torch.int64)
    ranks[values.sort(stable=True).indices] = torch.arange(len(values))
    return (TENTHS * ranks // len(values)).to(torch.uint8)


def _of_layer(chosen: NDArray[np.bool_], tenths: NDArray[np.uint8], generator: torch.Generator) -> Tensor:
    """Places of controls in one layer, (number of chosen,) int64."""
    places = torch.randperm(len(chosen), generator=generator).numpy()
    picked = chosen[places]
    others = places[~picked]
    of_tenth = tenths[others]
    wanted = np.bincount(tenths[chosen], minlength=TENTHS).tolist()
    ends = np.cumsum(np.bincount(of_tenth, minlength=TENTHS))
    by_tenth = others[of_tenth.argsort(kind="stable")]
    free = [by_tenth[start:end] for start, end in pairwise((0, *ends.tolist()))]
    found: list[NDArray[np.int64]] = []
    for away in range(TENTHS):
        for tenth in (tenth for tenth in range(TENTHS) if wanted[tenth]):
            for near in dict.fromkeys((tenth - away, tenth + away)):
                if wanted[tenth] and 0 <= near < TENTHS:
                    left = len(free[near]) - min(wanted[tenth], len(free[near]))
                    found.append(free[near][left:])
                    wanted[tenth] -= len(free[near]) - left
                    free[near] = free[near][:left]
    return torch.from_numpy(np.concatenate([*found, places[picked][: sum(wanted)]]))
