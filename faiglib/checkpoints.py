"""Weight files: safetensors of our own, and the released ``.pth`` dictionaries, read without running code."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from faiglib.errors import WeightsError
from faiglib.files import atomic_write
from faiglib.networks import build

State = dict[str, Tensor]


def save_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a state dict as safetensors, under a temporary name first.

    Args:
        path: the file to write.
        state: parameters by name.
        metadata: strings kept in the file's header.

    Raises:
        StoreError: the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with atomic_write(path) as file:
        file.write(to_safetensors(tensors, metadata=dict(metadata or {})))


def load_weights(path: Path) -> State:
    """Read the parameters of a network as float32 tensors on the CPU.

    Accepts safetensors, and ``.pth``/``.pt`` files that hold either a state dict or a dictionary with
    ``params_ema`` (preferred) or ``params``, as released with the paper. Nothing in a pickle is executed.

    Raises:
        WeightsError: the file is missing, is not a weight file, or holds values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"weight file {path} does not exist")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"weight file {path} holds NaN or infinite values in {name}")
    return {name: tensor.float() for name, tensor in state.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """The strings kept in the header of a safetensors file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weight file {path} is not a readable safetensors file: {error}") from None


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
    kind = type(network).__name__
    for name, tensor in expected.items():
        if name not in state:
            raise WeightsError(f"{source} does not fit {kind}: it has no {name}")
        if state[name].shape != tensor.shape:
            raise WeightsError(
                f"{source} does not fit {kind}: {name} has shape {tuple(state[name].shape)}, "
                f"expected {tuple(tensor.shape)}"
            )
    for name in state:
        if name not in expected:
            raise WeightsError(f"{source} does not fit {kind}: the network has no {name}")
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


def _read_safetensors(path: Path) -> State:
    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"weight file {path} is not a readable safetensors file: {error}") from None


def _read_pickle(path: Path) -> State:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about the pickle's protocol, just before it is refused
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the unpickler fail in every possible way
        raise WeightsError(f"weight file {path} cannot be read as weights only: {_reason(error)}") from None
    if isinstance(loaded, Mapping):
        for key in ("params_ema", "params", "state_dict"):
            if isinstance(loaded.get(key), Mapping):
                loaded = loaded[key]
                break
        state = {str(name).removeprefix("module."): tensor for name, tensor in loaded.items()}
        if state and all(isinstance(tensor, Tensor) for tensor in state.values()):
            return state
    raise WeightsError(f"weight file {path} holds no dictionary of tensors")


def _reason(error: Exception) -> str:
    """Why a pickle was refused, in one clause, without torch's advice on how to run the code in it."""
    text = str(error)
    if asked := re.search(r"GLOBAL (\S+)", text):
        return f"it asks for {asked[1]}, and no code of a file is run"
    if isinstance(error, EOFError) or text.startswith("Weights only load failed"):
        return "it is no whole pickle of tensors"
    return text.split("\n")[0].rstrip(" .?!") or type(error).__name__
