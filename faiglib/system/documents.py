"""JSON and CSV that others wrote: read into declared types, or refused in one sentence.

Manifests, descriptions of runs, records: whoever reads one says of what types it is, and gets them or an error that
names the place. Pydantic does the comparing; what JSON leaves open is closed here.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Hashable, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, TypeVar, cast

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

T = TypeVar("T")

#: A document is not longer than that, in bytes; the longest of this project has half a megabyte.
LONGEST = 64 * 1024**2

Scalar = str | int | float | bool | None
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,199}", name):
        raise ValueError(f"{name[:60]!r} names no file of this folder")
    return name


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    nested = [key for key, one in value.items() if not isinstance(one, Scalar)]
    if nested:
        raise ValueError(f"{nested[0][:60]!r} is neither a number nor words")
    return value


def _of_a_machine(value: dict[str, Any]) -> dict[str, Any]:
    words, perhaps = (str,), (str, NoneType)
    kinds: dict[str, tuple[type, ...]] = dict.fromkeys(("faiglib", "torch", "cpu", "time_utc"), words)
    kinds |= dict.fromkeys(("commit", "gpu"), perhaps) | dict.fromkeys(("cores", "torch_threads"), (int,))
    kinds["dirty"] = (bool, NoneType)
    wrong = [key for key, kind in kinds.items() if not isinstance(value.get(key, math.nan), kind)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is missing or of another kind")
    return value


#: Of a file in the folder of its document: no folder, nothing hidden, nothing that moves a cursor.
FileName = Annotated[str, AfterValidator(_plain)]
#: Names with numbers or words.
Flat = Annotated[dict[str, Any], AfterValidator(_flat)]
#: What :func:`faiglib.system.provenance.collect` says, as far as sentences are made of it.
MadeOn = Annotated[dict[str, Any], AfterValidator(_flat), AfterValidator(_of_a_machine)]


class DocumentError(ValueError):
    """A document is not of the types that its reader asked for; the message says where and what."""


def read_text(path: Path) -> str:
    """The text of a document.

    Raises:
        OSError: it cannot be read.
        DocumentError: it is longer than :data:`LONGEST`, or is not UTF-8.
    """
    if path.stat().st_size > LONGEST:
        raise DocumentError(f"it has {path.stat().st_size:,} bytes, which no such file has")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentError(f"it is no text in UTF-8 (byte {error.start})") from None


def read_json(path: Path, kind: type[T]) -> T:
    """The content of a JSON file as an instance of a type.

    Raises:
        OSError: it cannot be read.
        DocumentError: it is not JSON, or not of that type.
    """
    return parse_json(read_text(path), kind)


def parse_json(text: str, kind: type[T]) -> T:
    """JSON as an instance of a type: a dataclass, a ``TypedDict``, or what they are made of.

    Numbers are not made of words nor of booleans, nor integers of fractions; no key may occur twice, and every number
    is finite.

    Raises:
        DocumentError: it is not JSON, or not of that type.
    """
    try:
        json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        return _adapter(cast(Hashable, kind)).validate_json(text, strict=True)
    except RecursionError:
        raise DocumentError("it is nested too deeply") from None
    except ValidationError as error:
        raise DocumentError(_first(error)) from None
    except DocumentError:
        raise
    except ValueError as error:
        raise DocumentError(f"it is no JSON: {error}") from None


def conform(value: object, kind: type[T]) -> T:
    """What :func:`parse_json` makes of a value that was read from JSON, or is of its kind.

    Raises:
        DocumentError: it is not of that type.
    """
    return parse_json(json.dumps(value), kind)


def parse_csv(text: str, columns: Mapping[str, type] | None = None) -> list[dict[str, Any]]:
    """The rows of a CSV file; its other columns are left out.

    Args:
        text: with a line of names.
        columns: what is wanted, and as what: ``str``, ``int`` or ``float``; without it, all columns as ``float``. An
            empty field is NaN as a ``float``.

    Raises:
        DocumentError: a column is missing or there twice, a row is too short or too long, or a field is no such number.
    """
    try:
        names, *lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (ValueError, csv.Error) as error:
        raise DocumentError(f"it is no CSV with a line of names: {error}") from None
    columns = dict.fromkeys(names, float) if columns is None else columns
    wrong = [name for name in columns if names.count(name) != 1]
    if wrong:
        raise DocumentError(f"it has not one column {wrong[0]!r}")
    rows = []
    for number, line in enumerate(lines, start=2):
        if len(line) != len(names):
            raise DocumentError(f"line {number} has {len(line)} fields, the first has {len(names)}")
        fields = dict(zip(names, line, strict=True))
        try:
            rows.append({name: _value(fields[name], kind) for name, kind in columns.items()})
        except ValueError:
            raise DocumentError(f"line {number} holds something else than numbers where numbers belong") from None
    return rows


def _value(field: str, kind: type) -> Any:
    return math.nan if kind is float and not field else kind(field)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DocumentError(f"the key {key[:60]!r} is there twice")
        found[key] = value
    return found


def _no_constant(name: str) -> float:
    raise DocumentError(f"{name} is no number in JSON")


def _first(error: ValidationError) -> str:
    """The first complaint, with its place."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(step)[:60] for step in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
