"""Computed artifacts, kept on disk under the fingerprint of everything that made them.

An entry is a payload, ``<root>/<name>/<fingerprint>.safetensors`` or ``.csv``, and a record beside it,
``<fingerprint>.json``, that holds the key, the payload's SHA-256 and the provenance. The record is written
last: a payload without a record that vouches for it is computed anew.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from faiglib import provenance
from faiglib.documents import parse_json
from faiglib.errors import StoreError
from faiglib.files import atomic_write, write_text_atomic

if TYPE_CHECKING:
    import pandas as pd

_MISSING = r"\N"


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

    Several processes may use one store at a time: files appear in full or not at all, and the worst case of
    two writers is that both compute.

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
        payload, _ = self._entry(name, key, ".safetensors", lambda: (_tensors_to_bytes(compute()), []))
        return _tensors_from_bytes(payload)

    def table(self, name: str, key: Mapping[str, Any], compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A table from the store, or computed and then stored; floats keep every bit, columns their dtype.

        Args:
            name: As for :meth:`tensors`.
            key: As for :meth:`tensors`.
            compute: Makes the table: columns of booleans, integers, floats, or strings that may be missing.
                An index without a name is replaced by 0, 1, 2, ...

        Raises:
            StoreError: An entry cannot be read or written.
            TypeError: The key cannot be fingerprinted, or the table has other contents.
        """
        payload, dtypes = self._entry(name, key, ".csv", lambda: _table_to_bytes(compute()))
        return _table_from_bytes(payload, dtypes)

    def _entry(
        self, name: str, key: Mapping[str, Any], suffix: str, compute: Callable[[], tuple[bytes, list[str]]]
    ) -> tuple[bytes, list[str]]:
        """Payload and column types of an entry, computed and written unless a believable one is there."""
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*", name, re.ASCII):
            raise ValueError(f"{name!r} cannot name an artifact")
        whole = {"key": key, "sources": provenance.source_digest(), "torch": torch.__version__}
        identity = fingerprint({"name": name, "kind": suffix, **whole})
        payload_path = self.root / name / f"{identity[:24]}{suffix}"
        record_path = payload_path.with_suffix(".json")
        payload, record = _read(payload_path), _read(record_path)
        if payload is not None and record is not None:
            dtypes = _believed(record, identity, payload)
            if dtypes is not None and _decodes(payload, suffix, dtypes):
                return payload, dtypes
        if payload is not None or record is not None:
            warnings.warn(f"{payload_path} is not what its record says and is computed anew", UserWarning, stacklevel=3)
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
        return payload, dtypes


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


def _decodes(payload: bytes, suffix: str, dtypes: list[str]) -> bool:
    """Whether a payload is what its ending says; one that vouches for itself may still have been made by others."""
    try:
        if suffix == ".csv":
            _table_from_bytes(payload, dtypes)
        else:
            _tensors_from_bytes(payload)
    except Exception:  # foreign bytes fail in every possible way
        return False
    return True


def _table_to_bytes(table: pd.DataFrame) -> tuple[bytes, list[str]]:
    """A table as CSV, and the dtypes of its columns."""
    if any(name is not None for name in table.index.names):
        raise TypeError(f"the index {list(table.index.names)} has a name; make it a column with reset_index()")
    names = list(table.columns)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise TypeError(f"the columns {names} are not different strings")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*(_column_to_text(table[name]) for name in names), strict=True))
    return text.getvalue().encode(), [str(table[name].dtype) for name in names]


def _column_to_text(column: pd.Series) -> list[str]:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
        return [repr(value) for value in column.tolist()]
    texts = []
    for value in column.tolist():
        if isinstance(value, str):
            texts.append(f"\\{value}" if value.startswith("\\") else value)
        elif value is None or value != value:
            texts.append(_MISSING)
        else:
            raise TypeError(f"column {column.name!r} ({column.dtype}) holds {value!r}; strings were expected")
    return texts


def _table_from_bytes(payload: bytes, dtypes: list[str]) -> pd.DataFrame:
    import pandas as pd

    names, *rows = csv.reader(io.StringIO(payload.decode(), newline=""))
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pd.DataFrame(
        {name: _column_from_text(texts, dtype) for name, dtype, texts in zip(names, dtypes, columns, strict=True)}
    )


def _column_from_text(texts: Iterable[str], dtype: str) -> pd.Series:
    import pandas as pd

    convert: Callable[[str], Any]
    if dtype == "bool":
        convert = "True".__eq__
    elif dtype.startswith(("int", "uint")):
        convert = int
    elif dtype.startswith("float"):
        convert = float
    else:

        def convert(text: str) -> str | None:
            return None if text == _MISSING else text.removeprefix("\\")

    return pd.Series([convert(text) for text in texts], dtype=dtype)
