"""Magnitude, the oldest criterion of pruning."""

from __future__ import annotations

from torch import nn

from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores


def magnitude(target: nn.Module) -> FilterScores:
    """Σ|θ| over the weights of every filter.

    Args:
        target: θ.

    Raises:
        NetworkError: the network has no convolution.
    """
    index, weights = FilterIndex.of(target), dict(target.named_parameters())
    return FilterScores(index, index.gather({name: weights[name].detach() for name in index.weights}).cpu())
