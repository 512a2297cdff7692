"""Computed artifacts, kept on disk under the fingerprint of everything that made them.

An entry is a payload, ``<root>/<name>/<fingerprint>.safetensors`` or ``.csv``, and a record beside it,
``<fingerprint>.json``, that holds the key, the payload's SHA-256 and the provenance. The record is written
last: a payload without a record that vouches for it is computed anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import filelock
import torch
from torch import Tensor

from faiglib.errors import StoreError
from faiglib.system import provenance
from faiglib.system.documents import parse_json
from faiglib.system.files import atomic_write, write_text_atomic

T = TypeVar("T")


def fingerprint(value: Any) -> str:
    """SHA-256 of a value's canonical form: equal content gives equal fingerprints on every machine.

    Mappings are taken without their order, tuples as lists, tensors by dtype, shape and bytes (on any
    device), dataclasses by class name and fields.

    Args:
        value: Nested mappings with string keys, lists, tuples, strings, numbers, booleans, None, tensors and
            dataclasses.

    Returns:
        64 hexadecimal digits.

    Raises:
        TypeError: Something else is in the value; a path, for instance, does not tell the content behind it.
    """
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        return {
            "$tensor": str(value.dtype).removeprefix("torch."),
            "shape": list(value.shape),
            "sha256": hashlib.sha256(flat.numpy().data).hexdigest(),
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {"$class": type(value).__qualname__, **_plain(fields)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise TypeError(f"key {key!r} cannot be part of a fingerprint: keys are strings without a leading $")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"a value of type {type(value).__qualname__} cannot be part of a fingerprint: {value!r}")


@dataclass(frozen=True)
class Store:
    """A folder of computed artifacts.

    Several processes may use one store at a time: files appear in full or not at all, and of those that want the same
    entry one computes while the others wait. Where the file system has no locks, all of them compute.

    Attributes:
        root: The folder; it is created when the first artifact is written.
    """

    root: Path

    def tensors(
        self, name: str, key: Mapping[str, Any], compute: Callable[[], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Tensors from the store, or computed and then stored.

        Args:
            name: Kind of artifact, such as ``"faig"`` or ``"masking/scores"``; a folder below the root.
            key: Everything that the result depends on (weights, images, seeds, device, ...), as for
                :func:`fingerprint`. faiglib's sources and the version of torch are added to it.
            compute: Makes the tensors.

        Returns:
            The tensors, on the CPU, the same bits whether computed or read.

        Raises:
            StoreError: An entry cannot be read or written.
            TypeError: The key cannot be fingerprinted, or the result is not a mapping of names to tensors.
        """
        return self.entry(
            name,
            key,
            ".safetensors",
            lambda: (_tensors_to_bytes(compute()), []),
            lambda payload, _dtypes: _tensors_from_bytes(payload),
        )

    def entry(
        self,
        name: str,
        key: Mapping[str, Any],
        suffix: str,
        compute: Callable[[], tuple[bytes, list[str]]],
        decode: Callable[[bytes, list[str]], T],
    ) -> T:
        """What an entry holds, computed and written unless a believable one is there.

        Args:
            name: As for :meth:`tensors`.
            key: As for :meth:`tensors`.
            suffix: Ending of the payload's name.
            compute: Makes the payload, and the types of its columns where it has some.
            decode: Makes of both what the entry holds.

        Raises:
            StoreError: An entry cannot be read or written.
        """
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*", name, re.ASCII):
            raise ValueError(f"{name!r} cannot name an artifact")
        whole = {"key": key, "sources": provenance.source_digest(), "torch": torch.__version__}
        identity = fingerprint({"name": name, "kind": suffix, **whole})
        payload_path = self.root / name / f"{identity[:24]}{suffix}"
        record_path = payload_path.with_suffix(".json")

        def stored() -> T | None:
            payload, record = _read(payload_path), _read(record_path)
            if payload is None or record is None:
                return None
            dtypes = _believed(record, identity, payload)
            return None if dtypes is None else _decoded(decode, payload, dtypes)

        found = stored()
        if found is not None:
            return found
        with _alone(payload_path.with_suffix(".lock")):
            found = stored()  # by another one, meanwhile
            if found is not None:
                return found
            if payload_path.exists() or record_path.exists():
                warnings.warn(
                    f"{payload_path} is not what its record says and is computed anew", UserWarning, stacklevel=3
                )
            payload, dtypes = compute()
            with atomic_write(payload_path) as file:
                file.write(payload)
            content = {
                "name": name,
                **_plain(whole),
                "fingerprint": identity,
                "sha256": hashlib.sha256(payload).hexdigest(),
                "dtypes": dtypes,
                "provenance": provenance.collect(),
            }
            write_text_atomic(record_path, json.dumps(content, indent=2) + "\n")
        return decode(payload, dtypes)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps others from computing the same entry meanwhile, where the folder can hold a lock."""
    lock = filelock.FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError):  # a folder that cannot be written says so when the entry is
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # whoever waits for it looks for the entry first
        lock.release()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True)
class Vouched:
    """What the record of an entry says of its payload."""

    fingerprint: str
    sha256: str
    dtypes: list[str]


def _believed(record: bytes, identity: str, payload: bytes) -> list[str] | None:
    """Column types from a record that belongs to this entry and to these bytes, else None."""
    try:
        content = parse_json(record.decode(), Vouched)
    except ValueError:
        return None
    genuine = content.fingerprint == identity and content.sha256 == hashlib.sha256(payload).hexdigest()
    return content.dtypes if genuine else None


def _tensors_to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    from safetensors.torch import save

    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(f"{name!r} is {type(tensor).__qualname__}; names of tensors were expected")
    return save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})


def _tensors_from_bytes(payload: bytes) -> dict[str, Tensor]:
    from safetensors.torch import load

    return load(payload)


def _decoded(decode: Callable[[bytes, list[str]], T], payload: bytes, dtypes: list[str]) -> T | None:
    """What a payload holds, or None: one that vouches for itself may still have been made by others."""
    try:
        return decode(payload, dtypes)
    except Exception:  # foreign bytes fail in every possible way
        return None
