"""The networks of the paper, behind one registry: ``build("srresnet", scale=2)``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from faiglib.errors import NetworkError
from faiglib.networks.srcnn_style import SRCNNStyle
from faiglib.networks.srresnet import SRResNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {"srcnn_style": SRCNNStyle, "srresnet": SRResNet}

#: Names as the paper prints them.
TITLES = {"srcnn_style": "SRCNN-style", "srresnet": "SRResNet"}


def build(name: str, *, seed: int | None = None, **options: int) -> nn.Module:
    """Build a network by name, freshly initialised, in evaluation mode, float32, on the CPU.

    Args:
        name: a key of :data:`NETWORKS`.
        seed: makes the initial weights reproducible without touching the global random state.
        options: passed on to the constructor, for instance ``scale=2``.

    Raises:
        NetworkError: the name or the scale is unknown.
    """
    if name not in NETWORKS:
        raise NetworkError(f"unknown network {name!r}; known: {', '.join(sorted(NETWORKS))}")
    if seed is None:
        return NETWORKS[name](**options).eval()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return NETWORKS[name](**options).eval()
