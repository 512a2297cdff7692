"""The |θ − θ̄| baseline: how much fine-tuning moved each filter."""

from __future__ import annotations

from typing import Literal

from torch import nn

from faiglib.filters.index import Units, same_layers
from faiglib.filters.scores import FilterScores

Variant = Literal["as_published", "as_released"]


def filter_change(
    target: nn.Module, baseline: nn.Module, variant: Variant = "as_published", units: Units = "filters"
) -> FilterScores:
    """Change of each filter between baseline and target; one ranking serves every degradation.

    Args:
        target: θ.
        baseline: θ̄, of the same architecture.
        variant: ``as_published`` is Σ|θ − θ̄| over the K×K weights, ``as_released`` divides it by Σ|θ̄|.
        units: what is ranked, see :class:`faiglib.filters.index.FilterIndex`.

    Raises:
        NetworkError: the networks differ in their convolutions.
    """
    index = same_layers([target, baseline], units)
    new, old = dict(target.named_parameters()), dict(baseline.named_parameters())
    change = index.gather({name: new[name].detach() - old[name].detach() for name in index.weights})
    if variant == "as_published":
        return FilterScores(index, change)
    if variant == "as_released":
        return FilterScores(index, change / index.gather({name: old[name].detach() for name in index.weights}))
    raise ValueError(f"variant must be 'as_published' or 'as_released', not {variant!r}")
