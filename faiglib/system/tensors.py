"""Weight files: safetensors of our own, and the dictionaries that others save, read without running code."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from faiglib.errors import WeightsError
from faiglib.system.files import atomic_write
from faiglib.system.weight_kinds import what_is

State = dict[str, Tensor]
Result = TypeVar("Result")

#: Under which the header of a file of our own keeps the digest of all that the file holds besides it.
DIGEST = "faiglib_sha256"

#: Keys under which trainers save a network's parameters, the average of a run's weights before the weights.
WRAPPERS = (
    "params_ema", "state_dict_ema", "model_ema", "ema_state_dict", "ema", "params", "state_dict", "model_state_dict",
    "model", "net", "net_g", "netG", "network", "generator", "weights", "module", "shadow",
)  # fmt: skip

#: What wrappers of networks put before all names.
PREFIXES = (
    "module.",
    "model.",
    "_orig_mod.",
    "net_g.",
    "netG.",
    "net.",
    "network.",
    "generator.",
    "ema_model.",
    "ema.",
)


def halved(state: Mapping[str, Tensor], least_dimensions: int = 0) -> State:
    """Weights in half precision.

    Args:
        state: tensors by name; integers stay as they are.
        least_dimensions: tensors of fewer stay as they are, too: 2 spares biases and the statistics of normalisation.
    """
    return {
        name: tensor.half() if tensor.is_floating_point() and tensor.dim() >= least_dimensions else tensor
        for name, tensor in state.items()
    }


def save_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a state dict as safetensors, under a temporary name first, with a digest by which damage shows.

    Args:
        path: the file to write.
        state: parameters by name.
        metadata: strings kept in the file's header.

    Raises:
        StoreError: the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    strings = {name: value for name, value in (metadata or {}).items() if name != DIGEST}
    content = to_safetensors(tensors, metadata={**strings, DIGEST: _digest(tensors, strings)})
    start = 8 + int.from_bytes(content[:8], "little")
    # Strings come in an order of their own each time; the same weights are to be the same file.
    header = json.dumps(json.loads(content[8:start]), sort_keys=True, ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    with atomic_write(path) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.write(memoryview(content)[start:])


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), *tensor.shape]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_weights(path: Path) -> State:
    """Read the parameters of a network, on the CPU, floating-point ones as float32.

    Accepts safetensors and what ``torch.save`` writes, whatever the file's ending: a state dict, also below one of
    :data:`WRAPPERS`, its names behind any of :data:`PREFIXES` if these are common to all. Numbers, strings and NumPy
    values beside the weights are left out. Nothing in a pickle is executed.

    Raises:
        WeightsError: the file is missing, is not a weight file, or holds what cannot be a weight (values that are not
            finite, codes of a quantised network, sparse tensors, two weights of one name, ...).
    """
    path = Path(path)
    kind = what_is(path)
    if kind == "pickle":
        found = _read_pickle(path)
    elif kind == "safetensors":
        found = read_tensors(path)[0]
    else:
        raise WeightsError(f"weight file {path} is {kind}")
    state = _without_prefixes(found, path)
    for name, tensor in state.items():
        _require_weight(name, tensor, path)
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def read_tensors(path: Path) -> tuple[State, dict[str, str]]:
    """The tensors of a safetensors file, in memory of their own, and the strings in its header but its digest.

    Raises:
        WeightsError: the file is missing, no sound safetensors file, or not as :func:`save_weights` wrote it.
    """
    # Copies, so that no tensor outlives the file that it is mapped from.
    metadata, tensors = _opened(path, lambda file: {name: file.get_tensor(name).clone() for name in file.keys()})  # noqa: SIM118
    written = metadata.pop(DIGEST, None)
    if written is not None and written != _digest(tensors, metadata):
        raise WeightsError(f"weight file {path} is damaged: it does not hold what was written")
    return tensors, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """The strings kept in the header of a safetensors file, but its digest, which is not looked at.

    Raises:
        WeightsError: the file is missing or no sound safetensors file.
    """
    metadata, _ = _opened(path, lambda _file: None)
    return {name: value for name, value in metadata.items() if name != DIGEST}


def _opened(path: Path, read: Callable[[Any], Result]) -> tuple[dict[str, str], Result]:
    """The strings in the header of a safetensors file, and what is read from the same opened file."""
    kind = what_is(path)
    if kind != "safetensors":
        what = "a pickle" if kind == "pickle" else kind
        raise WeightsError(f"weight file {path} is not a readable safetensors file: it is {what}")
    try:
        with safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {}), read(file)
    except Exception as error:  # types that this torch does not know end as AttributeError, for instance
        raise WeightsError(f"weight file {path} is not a readable safetensors file: {_first_line(error)}") from None


def _require_weight(name: str, tensor: Tensor, path: Path) -> None:
    """Refuse what cannot be a network's weight, by its layout, type and size before any value is looked at.

    Raises:
        WeightsError: it cannot.
    """
    what = None
    if tensor.layout != torch.strided or tensor.is_nested:
        what = f"a sparse or nested tensor ({tensor.layout})"
    elif tensor.is_quantized or tensor.dtype in (torch.int8, torch.uint8):
        what = f"codes of a quantised network ({tensor.dtype})"
    elif tensor.is_meta:
        what = "no values (a tensor on the meta device)"
    elif tensor.is_complex() or (tensor.is_floating_point() and tensor.element_size() == 1):
        what = f"values of type {tensor.dtype}"
    elif tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        what = f"a tensor of shape {tuple(tensor.shape)} of which the file has not every value"
    elif not torch.isfinite(tensor).all():
        what = "NaN or infinite values"
    if what:
        raise WeightsError(f"weight file {path} holds {what} in {name}")


def _without_prefixes(state: State, path: Path) -> State:
    """The weights under their names in the network.

    Raises:
        WeightsError: two weights have one name.
    """
    state = {name: tensor for name, tensor in state.items() if name != "n_averaged"}  # AveragedModel counts in it
    while state:
        first = next(iter(state))
        prefix = next((one for one in PREFIXES if first.startswith(one)), None)
        if prefix is None or not all(name.startswith(prefix) for name in state):
            break
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    for name in state:
        for prefix in PREFIXES:
            if prefix + name in state:
                raise WeightsError(f"weight file {path} holds two weights for one name, {name} and {prefix + name}")
    return state


def _numpy_globals() -> list[Any]:
    """What NumPy's arrays and numbers are made of in a pickle; none of it runs code of the file."""
    import numpy.dtypes

    core: Any = np._core if hasattr(np, "_core") else np.core
    made: list[Any] = [np.ndarray, np.dtype]
    for name in ("_reconstruct", "scalar"):
        made += [
            (getattr(core.multiarray, name), f"{module}.multiarray.{name}") for module in ("numpy.core", "numpy._core")
        ]
    return made + [getattr(numpy.dtypes, name) for name in numpy.dtypes.__all__]


def _read_pickle(path: Path) -> State:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numpy_globals()):
            warnings.simplefilter("ignore")  # about the pickle's protocol, just before it is refused
            with open(path, "rb") as file:  # a name would let torch judge by the ending
                loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the unpickler fail in every possible way
        raise WeightsError(f"weight file {path} cannot be read as weights only: {_reason(error)}") from None
    state = _tensors_in(loaded)
    if not state:
        raise WeightsError(f"weight file {path} holds no dictionary of tensors")
    return state


def _tensors_in(content: object, depth: int = 0) -> State | None:
    """The weights in a dictionary or below it, None where there are none."""
    if not isinstance(content, Mapping) or depth > len(WRAPPERS):
        return None
    for key in WRAPPERS:
        if (inner := _tensors_in(content.get(key), depth + 1)) is not None:
            return inner
    own = {str(name): _as_tensor(value) for name, value in content.items()}
    tensors = {name: tensor for name, tensor in own.items() if tensor is not None}
    # Numbers of a trainer may stand among the parameters of a network, which have a dot in their names.
    is_state = len(tensors) == len(own) or any("." in name for name in tensors)
    return tensors if tensors and is_state else None


def _as_tensor(value: object) -> Tensor | None:
    """A tensor, or an array of numbers as one; None for everything else, which is no weight."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "biuf":
        return torch.from_numpy(np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="))))
    return None


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0].rstrip(" .?!") or type(error).__name__


def _reason(error: Exception) -> str:
    """Why a pickle was refused, in one clause, without torch's advice on how to run the code in it."""
    text = str(error)
    if asked := re.search(r"GLOBAL (\S+)", text):
        return f"it asks for {asked[1]}, and no code of a file is run; save the weights alone (a state dict)"
    if isinstance(error, EOFError) or text.startswith("Weights only load failed") or "weights_only" in text:
        return "it is no whole pickle of tensors"
    return _first_line(error)
