"""Put one network's filters into another: masking is strength 1, interpolation by λ is strength 1 − λ."""

from __future__ import annotations

import copy

import torch
from torch import nn

from faiglib.errors import FilterError
from faiglib.filters.index import same_layers
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
    if same_layers([target, source], filters.index.units) != filters.index:
        raise FilterError("the filter set belongs to a network with other convolutions")
    changed = copy.deepcopy(target)
    weights, donors = dict(changed.named_parameters()), dict(source.named_parameters())
    with torch.no_grad():
        for name, mask in filters.masks().items():
            weight = weights[name]
            donor = donors[name].to(weight)
            moved = donor if strength == 1 else torch.lerp(weight, donor, strength)
            weight.copy_(torch.where(mask.to(weight.device), moved, weight))
    return changed
