"""The random baseline: every filter equally likely."""

from __future__ import annotations

import torch

from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores


def random_scores(index: FilterIndex, seed: int) -> FilterScores:
    """Independent uniform scores, so that the ranking is a uniformly random permutation fixed by ``seed``."""
    generator = torch.Generator().manual_seed(seed)
    return FilterScores(index, torch.rand(index.total, generator=generator, dtype=torch.float64))
