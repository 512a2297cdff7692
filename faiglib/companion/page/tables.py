"""The tables of the book: measured values beside the paper's, as styled HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
from pandas.io.formats.style import Styler

from faiglib.companion.page.escaping import as_html
from faiglib.companion.page.source import with_source
from faiglib.companion.page.words import DASH, number, printed
from faiglib.images import registry
from faiglib.networks import TITLES

#: How columns are headed whose names in code are no words for readers; others have to be words as they are.
HEADS = {
    "image_set": "image set",
    "title": "network",
    "pflop": "operations (10¹⁵ FLOP)",
    "largest_difference": "largest difference",
    "peak_lr": "peak learning rate",
    "baseline_seed": "baseline of seed",
    "cpu": "CPU",
    "mib": "MiB",
}
#: Of a table with fewer, all columns are shown.
FEW_ROWS = 3


def spread(mean: float, deviation: float, digits: int = 2) -> str:
    """``mean ± deviation``; the deviation is left out where there is none, a dash stands for no value."""
    text = number(mean, f".{digits}f")
    known = text != DASH and deviation is not None and not math.isnan(deviation)
    return f"{text} ± {number(deviation, f'.{digits}f')}" if known else text


def interval(low: float, high: float, digits: int = 2) -> str:
    """``low to high``, or a dash where there is no interval."""
    return DASH if math.isnan(low) else f"{number(low, f'.{digits}f')} to {number(high, f'.{digits}f')}"


def styled(
    table: pd.DataFrame,
    formats: dict[str, str] | None = None,
    caption: str = "",
    uuid: str = "t",
    keep: Sequence[str] = (),
) -> Styler:
    """A table without row numbers in which words are words: cells, heads and caption are printed, and escaped.

    Columns that say nothing are left out, and the caption says what they would have said: see :func:`told_apart`.
    Scopes, row heads and the number of the table are added where the book is built
    (``bookmaker.finish.tables``), for all tables alike.

    Args:
        table: what to show.
        formats: by column.
        caption: above the table.
        uuid: of its style.
        keep: columns, or groups of columns, that are shown in any case.
    """
    shown, note = told_apart(table, formats or {}, keep)
    forms = {name: "{:g}" if shown[name].dtype.kind == "f" else "{}" for name in shown.columns}
    forms |= {name: form for name, form in (formats or {}).items() if name in shown}
    cells = {name: partial(_cell, form) for name, form in forms.items()}
    made = shown.style.hide(axis="index").format(cells, na_rep=DASH).set_uuid(uuid)
    made = made.format_index(partial(_cell, "{}"), axis=1)
    words = " ".join(filter(None, (caption and caption.rstrip(".") + ".", note)))
    return made.set_caption(_cell("{}", words)) if words else made


def _cell(form: str, value: object) -> str:
    return as_html(printed(form.format(value)))


def told_apart(table: pd.DataFrame, formats: Mapping[str, str], keep: Sequence[str] = ()) -> tuple[pd.DataFrame, str]:
    """The columns in which rows differ, and a sentence on the others; a table of few rows stays as it is."""
    same, empty, left = [], [], []
    for place, column in enumerate(table.columns):
        name = " ".join(filter(None, column)) if isinstance(column, tuple) else str(column)
        kept = column in keep or (isinstance(column, tuple) and column[0] in keep)
        values = table.iloc[:, place]
        if kept or values.nunique(dropna=False) > 1:
            left.append(place)
        elif _is_nothing(first := values.iloc[0]):
            empty.append(name)
        else:
            same.append(f"{name} {formats.get(column, '{}').format(first)}")
    if len(table) < FEW_ROWS or not left:
        return table, ""
    told = f"The same in all rows: {'; '.join(same)}." if same else ""
    return table.iloc[:, left], " ".join(filter(None, (told, f"Without values: {', '.join(empty)}." if empty else "")))


def _is_nothing(value: object) -> bool:
    return value is None or value in ("", "–") or (isinstance(value, float) and math.isnan(value))


@with_source
def plain(table: pd.DataFrame, formats: dict[str, str] | None = None, caption: str = "") -> Styler:
    """A table as it is, with number formats by column, without row numbers, and with printed names for keys.

    Raises:
        ValueError: a column is headed by a name in code, which :data:`HEADS` does not translate.
    """
    titles = {"network": TITLES.get, "image_set": registry.title}
    for column, title in titles.items():
        if column in table:
            table = table.assign(**{column: table[column].map(lambda key, title=title: title(key) or key)})
    table = table.rename(columns=HEADS)
    raw = [name for name in table.columns if "_" in str(name)]
    if raw:
        raise ValueError(f"columns headed by names in code: {', '.join(map(str, raw))}")
    formats = {HEADS.get(name, name): text for name, text in (formats or {}).items()}
    return styled(table, formats, caption)


@with_source
def nodes_needed(needed: pd.DataFrame, caption: str = "") -> Styler:
    """Points that a quadrature rule needs, from :func:`faiglib.companion.beyond.report.nodes_needed`."""
    titles = {
        "nodes": "points needed",
        "overlap": "top 1 % in common",
        "spearman": "rank correlation",
        "error_percent": "completeness error (%)",
    }
    formats = dict(zip(titles.values(), ("{:.0f}", "{:.2%}", "{:.5f}", "{:.3f}"), strict=True))
    unmet = f"{DASH}: with none of the numbers of points tried" if needed.isna().any(axis=None) else ""
    return plain(needed.rename(columns=titles), formats, ". ".join(filter(None, (caption, unmet))))
