"""Which filters matter: FAIG, the three methods the paper compares it with, and rivals that it does not."""

from faiglib.attribution.averaging import per_image
from faiglib.attribution.chance import random_scores
from faiglib.attribution.completeness import PathIntegral, path_integral
from faiglib.attribution.corrected import corrected_path
from faiglib.attribution.elimination import eliminate, eliminate_each
from faiglib.attribution.fisher import fisher
from faiglib.attribution.input_path import intinf
from faiglib.attribution.learned_mask import learned_masks
from faiglib.attribution.magnitude import magnitude
from faiglib.attribution.parameter_path import faig
from faiglib.attribution.path_profile import PathProfile, path_profile, profile_along
from faiglib.attribution.quadrature import RULES, Quadrature, quadrature
from faiglib.attribution.taylor import taylor
from faiglib.attribution.waypoints import contributions_along, low_loss_waypoint
from faiglib.attribution.weight_change import filter_change

__all__ = [
    "RULES",
    "PathIntegral",
    "PathProfile",
    "Quadrature",
    "contributions_along",
    "corrected_path",
    "eliminate",
    "eliminate_each",
    "faig",
    "filter_change",
    "fisher",
    "intinf",
    "learned_masks",
    "low_loss_waypoint",
    "magnitude",
    "path_integral",
    "path_profile",
    "per_image",
    "profile_along",
    "quadrature",
    "random_scores",
    "taylor",
]
