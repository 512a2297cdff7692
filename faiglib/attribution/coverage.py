"""What the filters hold of a path integral, and how well it converged."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from faiglib.filters.index import Units

#: What is ranked, in words, by the units' name.
_RANKED = {
    "filters": "filters of the convolutions (nn.Conv2d)",
    "channels": "output channels of the convolutions and rows of nn.Linear",
    "all": "filters of the convolutions and rows of nn.Linear",
    "heads": "heads of attention",
}

#: Share of the path integral outside all filters from which on it is told.
LEFT_OUT = 0.1


@dataclass(frozen=True)
class Coverage:
    """How the absolute contributions to a path integral divide between filters and other parameters.

    Attributes:
        filters: sum over all filters, that is of their scores.
        others: sum by parameter that belongs to no filter.
        units: what a filter is, see :class:`faiglib.filters.index.FilterIndex`.
    """

    filters: float
    others: Mapping[str, float]
    units: Units = "filters"

    @property
    def left_out(self) -> float:
        """Share of the parameters that belong to no filter; 0 where nothing contributes."""
        outside = sum(self.others.values())
        return outside / (self.filters + outside) if outside else 0.0

    def in_words(self) -> str:
        """What the filters hold, and which other parameters hold most of the rest."""
        largest = sorted(self.others, key=self.others.__getitem__, reverse=True)[:3]
        told = f"the {_RANKED[self.units]} hold {1 - self.left_out:.0%} of the path integral"
        if self.left_out < LEFT_OUT or not largest:
            return told
        return f"{told}; {self.left_out:.0%} lie in parameters that are not ranked, most in {', '.join(largest)}"

    def warn(self) -> None:
        """Warn if parameters that belong to no filter hold more than :data:`LEFT_OUT`."""
        if self.left_out > LEFT_OUT:
            warnings.warn(self.in_words(), UserWarning, stacklevel=6)
