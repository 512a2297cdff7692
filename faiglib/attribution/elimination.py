"""What matters for one degradation and not for the other (paper, eq. 7)."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

from faiglib.filters.scores import FilterScores

Scores = TypeVar("Scores", FilterScores, Tensor)


def eliminate(own: Scores, other: Scores) -> Scores:
    """Scores on the degradation that is wanted, less those on the other one (paper, eq. 7).

    Args:
        own: FAIG on images with the degradation that the filters remove.
        other: FAIG on the same images with the other one, of the same form: scores, or a tensor of them.

    Raises:
        FilterError: they belong to other networks.
    """
    return own - other
