"""Which filters matter: FAIG, and the three methods the paper compares it with."""

from faiglib.attribution.faig import PathIntegral, faig, path_integral
from faiglib.attribution.filter_change import filter_change
from faiglib.attribution.intinf import intinf
from faiglib.attribution.paths import RULES, Quadrature, quadrature
from faiglib.attribution.random import random_scores

__all__ = [
    "RULES",
    "PathIntegral",
    "Quadrature",
    "faig",
    "filter_change",
    "intinf",
    "path_integral",
    "quadrature",
    "random_scores",
]
