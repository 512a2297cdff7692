"""The tables of the book: measured values beside the paper's, as styled HTML."""

from __future__ import annotations

import math

import pandas as pd
from pandas.io.formats.style import Styler

from faiglib.companion.page.escaping import as_html
from faiglib.companion.page.source import with_source
from faiglib.images import registry
from faiglib.networks import TITLES


def spread(mean: float, deviation: float, digits: int = 2) -> str:
    """``mean ± deviation``; the deviation is left out where there is none, a dash stands for no value."""
    if mean is None or math.isnan(mean):
        return "–"
    text = f"{mean:.{digits}f}"
    return text if deviation is None or math.isnan(deviation) else f"{text} ± {deviation:.{digits}f}"


def interval(low: float, high: float, digits: int = 2) -> str:
    """``low to high``, or a dash where there is no interval."""
    return "–" if math.isnan(low) else f"{low:.{digits}f} to {high:.{digits}f}"


def styled(table: pd.DataFrame, formats: dict[str, str] | None = None, caption: str = "", uuid: str = "t") -> Styler:
    """A table without row numbers in which words are words: cells, heads and caption are escaped."""
    made = table.style.hide(axis="index").format(formats or {}, na_rep="–", escape="html").set_uuid(uuid)
    made = made.format_index(escape="html", axis=1)
    return made.set_caption(as_html(caption)) if caption else made


@with_source
def plain(table: pd.DataFrame, formats: dict[str, str] | None = None, caption: str = "") -> Styler:
    """A table as it is, with number formats by column, without row numbers, and with printed names for keys."""
    titles = {"network": TITLES.get, "image_set": registry.title}
    for column, title in titles.items():
        if column in table:
            table = table.assign(**{column: table[column].map(lambda key, title=title: title(key) or key)})
    table = table.rename(columns=lambda name: str(name).replace("_", " "))
    formats = {name.replace("_", " "): text for name, text in (formats or {}).items()}
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
    return plain(needed.rename(columns=titles), formats, caption)
