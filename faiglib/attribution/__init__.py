"""Which filters matter: FAIG, and the three methods the paper compares it with."""

from faiglib.attribution.averaging import per_image
from faiglib.attribution.chance import random_scores
from faiglib.attribution.completeness import PathIntegral, path_integral
from faiglib.attribution.elimination import eliminate, eliminate_each
from faiglib.attribution.input_path import intinf
from faiglib.attribution.parameter_path import faig
from faiglib.attribution.path_profile import PathProfile, path_profile
from faiglib.attribution.quadrature import RULES, Quadrature, quadrature
from faiglib.attribution.weight_change import filter_change

__all__ = [
    "RULES",
    "PathIntegral",
    "PathProfile",
    "Quadrature",
    "eliminate",
    "eliminate_each",
    "faig",
    "filter_change",
    "intinf",
    "path_integral",
    "path_profile",
    "per_image",
    "quadrature",
    "random_scores",
]
