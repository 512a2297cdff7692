"""How a table becomes a verdict: network by network, in the paper's setup or beyond it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from faiglib.companion import paper
from faiglib.companion.criteria import NOT_THEIRS, RARE, Grade, Part
from faiglib.companion.page.words import counted, number, printed
from faiglib.networks import TITLES

if TYPE_CHECKING:
    import pandas as pd


def by_network(table: pd.DataFrame, judge: Callable[[pd.DataFrame], tuple[Grade, str]], why: str = NOT_THEIRS) -> Part:
    """A verdict for each network of a table.

    Args:
        table: with a column ``network``.
        judge: from a network's rows to its grade and the numbers behind it in words.
        why: what to say where the table is empty.
    """
    found = {TITLES[str(name)]: judge(rows) for name, rows in table.groupby("network", sort=False)}
    if not found:
        return Part(why=why)
    told = "; ".join(f"{name}: {words}" for name, (_, words) in found.items())
    return Part({name: grade for name, (grade, _) in found.items()}, printed(told))


def theirs(table: pd.DataFrame, image_set: str = "", networks: tuple[str, ...] = paper.NETWORKS) -> pd.DataFrame:
    """The rows on networks and image sets of the paper.

    Args:
        table: with a column ``network``.
        image_set: that all of it was measured on; without it, the column ``image_set`` says so.
        networks: that count as the paper's.
    """
    on = table["image_set"].isin(paper.IMAGE_SETS) if not image_set else image_set in paper.IMAGE_SETS
    return table[table["network"].isin(networks) & on]


def with_words(part: Part, words: str) -> Part:
    """The part with more words, where it was tested."""
    return Part(part.grades, printed(f"{part.measured}; {words}"), part.why) if part.grades else part


def at_least(value: float, held: float, partly: float) -> Grade:
    """The grade of a value that should be large."""
    return "held" if value >= held else "partly" if value >= partly else "did not hold"


def at_most(value: float, held: float, partly: float) -> Grade:
    """The grade of a value that should be small."""
    return "held" if value <= held else "partly" if value <= partly else "did not hold"


def against_controls(table: pd.DataFrame, words: str) -> tuple[Grade, str]:
    """The grade of question (l): a rank test against controls, which takes enough of them.

    Args:
        table: with ``reached``, share of the controls that do at least as well, and ``draws``, their number.
        words: what came out.
    """
    draws = int(table["draws"].min())
    if 1 / (1 + draws) > RARE:
        least = number(1 / (1 + draws), ".2f")
        return "not tested", f"{counted(draws, 'control')} cannot tell: the rank test gives p = {least} at the least"
    return at_least(float(beaten(table).mean()), 1, 0.5), words


def beaten(table: pd.DataFrame) -> pd.Series:
    """Whether controls are told from FAIG's filters: the one-sided rank test's p is at most :data:`RARE`.

    Args:
        table: with ``reached``, share of the controls that do at least as well, and ``draws``, their number.
    """
    return (1 + table["reached"] * table["draws"]) / (1 + table["draws"]) <= RARE + 1e-12
