"""Tables about runs beside the weights: rows of a dataclass as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from faiglib.errors import WeightsError
from faiglib.images.degradations import FUNCTIONS
from faiglib.system.documents import DocumentError, parse_csv, read_text

T = TypeVar("T")

_KINDS = {"int": int, "str": str, "float": float}


def as_csv(rows: Sequence[Any]) -> str:
    """The rows, of one dataclass, as CSV with a line of names; numbers with six digits.

    Raises:
        ValueError: there are none.
    """
    if not rows:
        raise ValueError("a table without rows has no names of columns")
    lines = [",".join(field.name for field in fields(rows[0]))]
    for row in rows:
        values = asdict(row).values()
        lines.append(",".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in values))
    return "\n".join(lines) + "\n"


def read(path: Path, kind: type[T]) -> list[T]:
    """The rows of a file that :func:`as_csv` made.

    Args:
        path: of the file.
        kind: dataclass of int, str and float, one of its fields the ``function``.

    Raises:
        WeightsError: it cannot be read.
    """
    try:
        columns = {field.name: _KINDS[str(field.type)] for field in fields(kind)}  # type: ignore[arg-type]
        found = parse_csv(read_text(path), columns)
        if strange := {row["function"] for row in found} - set(FUNCTIONS):
            raise DocumentError(f"no function is called {min(strange)[:60]!r}")
    except (OSError, DocumentError) as error:
        raise WeightsError(f"the table {path} cannot be read: {error}") from None
    return [kind(**row) for row in found]
