"""Tables among the stored results: as CSV, with every bit of a float and the type of every column."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from faiglib.system.store import Store

if TYPE_CHECKING:
    import pandas as pd


_MISSING = r"\N"


class Cache(Store):
    """A store that also keeps tables."""

    def table(self, name: str, key: Mapping[str, Any], compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A table from the store, or computed and then stored; floats keep every bit, columns their dtype.

        Args:
            name: As for :meth:`faiglib.system.store.Store.tensors`.
            key: As for :meth:`faiglib.system.store.Store.tensors`.
            compute: Makes the table: columns of booleans, integers, floats, or strings that may be missing.
                An index without a name is replaced by 0, 1, 2, ...

        Raises:
            StoreError: An entry cannot be read or written.
            TypeError: The key cannot be fingerprinted, or the table has other contents.
        """
        return self.entry(name, key, ".csv", lambda: _table_to_bytes(compute()), _table_from_bytes)


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
