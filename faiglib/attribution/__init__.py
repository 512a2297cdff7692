"""Which filters matter: FAIG, and the three methods the paper compares it with."""

from faiglib.attribution.chance import random_scores
from faiglib.attribution.input_path import intinf
from faiglib.attribution.parameter_path import PathIntegral, faig, path_integral
from faiglib.attribution.quadrature import RULES, Quadrature, quadrature
from faiglib.attribution.weight_change import filter_change

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
