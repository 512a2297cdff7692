"""Weights into networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from faiglib.errors import WeightsError
from faiglib.networks import build, recognised
from faiglib.system.tensors import load_weights


def fit(network: nn.Module, state: Mapping[str, Tensor], source: str) -> nn.Module:
    """Load ``state`` into ``network`` (in place) and return it.

    Args:
        network: receives the parameters.
        state: must have exactly the names and shapes of the network.
        source: where the weights come from, for the error message.

    Raises:
        WeightsError: a parameter is missing, superfluous or of another shape.
    """
    expected = network.state_dict()

    def misfit(what: str) -> WeightsError:
        known = recognised(state)
        hint = "; they look like weights of {} at scale {}".format(*known) if known else ""
        return WeightsError(f"{source} does not fit {type(network).__name__}: {what}{hint}")

    for name, tensor in expected.items():
        if name not in state:
            raise misfit(f"it has no {name}")
        if state[name].shape != tensor.shape:
            raise misfit(f"{name} has shape {tuple(state[name].shape)}, expected {tuple(tensor.shape)}")
        if tensor.is_floating_point() and not state[name].is_floating_point():
            raise misfit(f"{name} has values of type {state[name].dtype}, expected {tensor.dtype}")
    for name in state:
        if name not in expected:
            raise misfit(f"the network has no {name}")
    network.load_state_dict(state)
    return network


def load_network(path: Path, name: str, *, scale: int = 2) -> nn.Module:
    """Build the network ``name`` and load the weights at ``path`` into it, in evaluation mode.

    Raises:
        NetworkError: the network is unknown.
        WeightsError: see :func:`load_weights` and :func:`fit`.
    """
    network = build(name, scale=scale)
    return fit(network, load_weights(path), f"weight file {path}")
