"""What matters for one degradation and not for the others (paper, eq. 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor

from faiglib.errors import FilterError
from faiglib.filters.scores import FilterScores

Scores = TypeVar("Scores", FilterScores, Tensor)

#: What is taken of the scores on several other degradations.
Minus = Literal["mean", "largest"]


def eliminate(own: Scores, other: Scores) -> Scores:
    """Scores on the degradation that is wanted, less those on the other one (paper, eq. 7).

    Args:
        own: FAIG on images with the degradation that the filters remove.
        other: FAIG on the same images with the other one, of the same form: scores, or a tensor of them.

    Raises:
        FilterError: they belong to other networks.
    """
    return own - other


def eliminate_each(scores: Mapping[str, FilterScores], minus: Minus = "mean") -> dict[str, FilterScores]:
    """Scores on each of any number of degradations, less those on all others.

    With two, this is eq. 7 of the paper both ways; with one, nothing is subtracted. To subtract the scores on clean
    inputs, let these be one of the degradations.

    Args:
        scores: FAIG by name of the degradation, nothing eliminated.
        minus: what of the others' scores is subtracted, filter by filter.

    Raises:
        FilterError: they belong to other networks, or there are none.
        ValueError: ``minus`` is neither ``mean`` nor ``largest``.
    """
    if minus not in get_args(Minus):
        raise ValueError(f"minus must be one of {', '.join(get_args(Minus))}, not {minus!r}")
    if not scores:
        raise FilterError("there are no scores of which others could be subtracted")
    if len(scores) == 1:
        return dict(scores)
    (index, *others) = dict.fromkeys(one.index for one in scores.values())
    if others:
        raise FilterError("the filter scores belong to networks with different convolutions")

    def subtracted(name: str) -> FilterScores:
        rest = torch.stack([other.values for one, other in scores.items() if one != name])
        return FilterScores(index, rest.mean(0) if minus == "mean" else rest.amax(0))

    return {name: eliminate(own, subtracted(name)) for name, own in scores.items()}
