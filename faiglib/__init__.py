"""faiglib finds, in a restoration network, the filters that remove one degradation.

It is the library behind a reproducible companion to "Finding Discriminative Filters for Specific Degradations in Blind
Super-Resolution" (Xie et al., NeurIPS 2021). The most used names can be taken from here; the rest lives in submodules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from faiglib._version import __version__

_WHERE = {
    "FilterIndex": "filters.index",
    "FilterScores": "filters.scores",
    "FilterSet": "filters.scores",
    "build": "networks",
    "faig": "attribution",
    "filter_change": "attribution",
    "intinf": "attribution",
    "load_network": "networks.weights",
    "path_integral": "attribution",
    "path_profile": "attribution.path_profile",
    "random_scores": "attribution",
    "read_image": "images.files",
    "save_image": "images.files",
    "substitute": "filters.substitution",
}
__all__ = ["__version__", *_WHERE]

if TYPE_CHECKING:
    from faiglib.attribution import faig, filter_change, intinf, path_integral, random_scores
    from faiglib.attribution.path_profile import path_profile
    from faiglib.filters.index import FilterIndex
    from faiglib.filters.scores import FilterScores, FilterSet
    from faiglib.filters.substitution import substitute
    from faiglib.images.files import read_image, save_image
    from faiglib.networks import build
    from faiglib.networks.weights import load_network


def __dir__() -> list[str]:
    """The public names, so that they are completed before they are imported."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import faiglib`` loads nothing else."""
    if name in _WHERE:
        return getattr(import_module(f"faiglib.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'faiglib' has no attribute {name!r}")
