"""The networks of the paper, behind one function: ``build("srresnet", scale=2)``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from threading import RLock

import torch
from torch import Tensor, nn

from faiglib.errors import NetworkError
from faiglib.networks.common import SCALES
from faiglib.networks.dan import DAN
from faiglib.networks.dasr import DASR
from faiglib.networks.srcnn_style import SRCNNStyle
from faiglib.networks.srresnet import SRResNet
from faiglib.networks.upconv_7 import UpConv7

#: One-branch networks, whose filters are attributed: the two of the paper, and an SRResNet that is small enough to be
#: trained to convergence many times (half the blocks, half the features).
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "srcnn_style": SRCNNStyle,
    "srresnet": SRResNet,
    "srresnet_s": partial(SRResNet, blocks=8, features=32),
}

#: Two-branch networks (supp. Tables 1 and 2). They restore images like the others, but their filters are not
#: attributed: no gradient of the restored image reaches the branch that estimates the degradation (DAN), or that
#: branch is trained with a loss of its own (DASR).
TWO_BRANCH: dict[str, Callable[..., nn.Module]] = {"dan": DAN, "dasr": DASR}

#: One-branch networks of pairs that others trained, see :mod:`faiglib.networks.waifu2x`; of the scale 2 alone.
PUBLIC: dict[str, Callable[..., nn.Module]] = {"upconv_7": UpConv7}

#: Names as they are printed, those of the paper's networks as the paper does.
TITLES = {
    "srcnn_style": "SRCNN-style",
    "srresnet": "SRResNet",
    "srresnet_s": "SRResNet-S",
    "dan": "DAN",
    "dasr": "DASR",
    "upconv_7": "UpConv-7",
}


#: Held while initial weights are drawn, which uses the state that all threads share.
_DRAWING = RLock()


def build(name: str, *, seed: int | None = None, **options: int) -> nn.Module:
    """Build a network by name, freshly initialised, in evaluation mode, float32, on the CPU.

    Args:
        name: a key of :data:`NETWORKS`, :data:`TWO_BRANCH` or :data:`PUBLIC`.
        seed: makes the initial weights reproducible without touching the global random state.
        options: passed on to the constructor, for instance ``scale=2``.

    Raises:
        NetworkError: the name or the scale is unknown.
    """
    known = NETWORKS | TWO_BRANCH | PUBLIC
    if name not in known:
        raise NetworkError(f"unknown network {name!r}; known: {', '.join(sorted(known))}")
    with _DRAWING:
        if seed is None:
            return known[name](**options).eval()
        with seeded(seed):
            return known[name](**options).eval()


@cache
def _known_shapes() -> dict[tuple[str, int], dict[str, tuple[int, ...]]]:
    """Shapes of the parameters of every one-branch network at every scale."""
    found = {}
    every = [(name, make, scale) for name, make in NETWORKS.items() for scale in SCALES]
    with torch.device("meta"):
        for name, make, scale in [*every, *((name, make, 2) for name, make in PUBLIC.items())]:
            state = make(scale=scale).state_dict()
            found[name, scale] = {key: tuple(value.shape) for key, value in state.items()}
    return found


def recognised(state: Mapping[str, Tensor]) -> tuple[str, int] | None:
    """Name and scale of the one-branch network whose parameters have these names and shapes, if there is one."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return next((found for found, known in _known_shapes().items() if known == shapes), None)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let modules that are built in the block draw their weights from a seed; the global random state stays."""
    with _DRAWING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
