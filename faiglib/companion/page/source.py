"""Figures and tables that know what they were made of: the function, and the tables it was given.

A notebook that shows one keeps this in the output, under :data:`MIME`; the book makes links of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import pandas as pd

MIME = "application/vnd.faiglib.companion.page.source+json"

P = ParamSpec("P")
R = TypeVar("R")


def with_source(make: Callable[P, R]) -> Callable[P, R]:
    """Let what a function returns say, when a notebook shows it, which function made it from which tables.

    The entry under :data:`MIME` is ``{"function": dotted name, "tables": {argument: CSV}}``, with every argument that
    is a table, or a mapping to tables of the same columns; their keys become the first column, ``key``.

    Args:
        make: returns a new object that IPython can show.
    """
    signature = inspect.signature(make)

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> R:
        result: Any = make(*args, **kwargs)
        arguments = signature.bind(*args, **kwargs).arguments
        tables = {name: table for name, value in arguments.items() if (table := _table(value)) is not None}

        def bundle(**_wanted: object) -> dict[str, object]:
            return {
                MIME: {
                    "function": f"{make.__module__}.{make.__qualname__}",
                    "tables": {name: _csv(table) for name, table in tables.items()},
                }
            }

        result._repr_mimebundle_ = bundle
        return result

    return made


def _table(value: object) -> pd.DataFrame | None:
    if isinstance(value, pd.DataFrame):
        return value
    if isinstance(value, Mapping) and value and all(isinstance(one, pd.DataFrame) for one in value.values()):
        return pd.concat(value, names=["key"]).reset_index(level="key")
    return None


def _csv(table: pd.DataFrame) -> str:
    named = any(name is not None for name in table.index.names)
    return table.to_csv(index=named, float_format="%.8g")
