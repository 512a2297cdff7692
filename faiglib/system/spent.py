"""What attribution spends in this process. Whoever only reads such a count does without torch, which takes seconds."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Spent:
    """What attribution has spent.

    Attributes:
        gradients: of one image each, by forward and backward pass.
        pixels: of their network inputs, added up.
    """

    gradients: int = 0
    pixels: int = 0


_spent = Spent()
_counting = threading.Lock()


def spent() -> Spent:
    """The gradients that attribution has taken in this process, those that masks and waypoints are trained with too."""
    return _spent


def count_gradient(inputs: Tensor) -> None:
    """Count a gradient of one image, (1, C, h, w), for :func:`spent`."""
    global _spent
    with _counting:
        _spent = Spent(_spent.gradients + 1, _spent.pixels + inputs.shape[-2] * inputs.shape[-1])
