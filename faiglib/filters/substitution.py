"""Put one network's filters into another: masking is strength 1, interpolation by λ is strength 1 − λ."""

from __future__ import annotations

import copy

import torch
from torch import nn

from faiglib.errors import FilterError
from faiglib.filters.index import FilterIndex, Units, same_layers
from faiglib.filters.scores import FilterSet


def substitute(target: nn.Module, source: nn.Module, filters: FilterSet, strength: float = 1.0) -> nn.Module:
    """A copy of ``target`` in which some filters are moved towards those of ``source`` at the same locations.

    Every chosen weight becomes (1 − strength) θ + strength θ_source; all others, biases included, stay θ.
    Strength 1 is the paper's masking, strength 1 − λ its controllable restoration. Values outside [0, 1]
    extrapolate.

    Args:
        target: the network to change; it is not modified.
        source: usually the baseline, of the same architecture.
        filters: which filters.
        strength: 0 leaves the target as it is, 1 replaces the filters bit by bit.

    Raises:
        NetworkError: the networks differ in their convolutions.
        FilterError: the filter set belongs to another network.
    """
    return Substitutions(target, source).of(filters, strength)


class Substitutions:
    """Many sets of filters in place of each other in a single copy of ``target``, which takes a fifth of the time.

    Args:
        target: the network to change; it is not modified, and has to stay as it is meanwhile.
        source: usually the baseline, of the same architecture.
    """

    def __init__(self, target: nn.Module, source: nn.Module) -> None:
        self._target, self._source = target, source
        self._copy = copy.deepcopy(target)
        self._own, self._donors = dict(target.named_parameters()), dict(source.named_parameters())
        self._weights = dict(self._copy.named_parameters())
        self._moved: set[str] = set()
        self._indices: dict[Units, FilterIndex] = {}

    @torch.no_grad()
    def of(self, filters: FilterSet, strength: float = 1.0) -> nn.Module:
        """The network that :func:`substitute` returns, until the next call changes it.

        Args:
            filters: which filters.
            strength: 0 leaves the target as it is, 1 replaces the filters bit by bit.

        Raises:
            NetworkError: the networks differ in their convolutions.
            FilterError: the filter set belongs to another network.
        """
        units = filters.index.units
        if units not in self._indices:
            self._indices[units] = same_layers([self._target, self._source], units)
        if self._indices[units] != filters.index:
            raise FilterError("the filter set belongs to a network with other convolutions")
        masks = filters.masks()
        for name in self._moved - masks.keys():
            self._weights[name].copy_(self._own[name])
        for name, mask in masks.items():
            own = self._own[name]
            donor = self._donors[name].to(own)
            moved = donor if strength == 1 else torch.lerp(own, donor, strength)
            self._weights[name].copy_(torch.where(mask.to(own.device), moved, own))
        self._moved = set(masks)
        return self._copy
