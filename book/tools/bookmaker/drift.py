"""How far this run is from the recorded one: a table for the terminal, and the book's page on it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from bookmaker import places
from bookmaker.errors import BookError
from bookmaker.layout import Layout

if TYPE_CHECKING:
    import pandas as pd

PAGE = "record.md"
PLACE = "<!-- this run beside the record: book/tools/bookmaker/drift.py -->"


def measured(layout: Layout) -> Path | None:
    """The folder of the tables of the latest run, or None if no notebook has written one."""
    folders = [folder for folder in (layout.build / "results").glob("*") if any(folder.glob("*.json"))]
    return max(folders, key=lambda folder: max(file.stat().st_mtime_ns for file in folder.iterdir()), default=None)


def keep(layout: Layout, profile: str) -> Path:
    """Make the run of a profile the recorded one.

    Raises:
        BookError: If there is none.
    """
    source, target = layout.build / "results" / profile, layout.root / "results" / profile
    if not source.is_dir():
        raise BookError(f"there is nothing to record: {source} does not exist")
    new = target.with_name(f".{profile}.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(source, new)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    return target


def numbers(layout: Layout) -> pd.DataFrame | None:
    """The comparison of the latest run with the record of its profile, or None if nothing has been measured."""
    from faiglib import record

    folder = measured(layout)
    return None if folder is None else record.compare(folder, layout.root / "results" / folder.name)


def report(layout: Layout) -> str:
    """What a terminal shows of the comparison."""
    from faiglib import record

    table = numbers(layout)
    if table is None:
        return "record: nothing to compare"
    if table.empty:
        return "record: there is none of this profile, seed, weights and images"
    shown = record.drift(table).drop(columns="where").to_string(index=False, float_format="{:.2g}".format)
    return f"This run beside the recorded one: {in_words(table)}\n{shown}"


def in_words(table: pd.DataFrame) -> str:
    """How many numbers agree."""
    drifted = int((~table["within"]).sum())
    agree = f"{len(table) - drifted} of {len(table)} numbers are within their tolerance"
    return agree if drifted else agree.replace(f"{len(table)} of ", "all ")


def fill(layout: Layout) -> None:
    """Replaces the marked place in the staged page, if the book has one, by the comparison."""
    places.fill(layout, PAGE, PLACE, lambda: section(layout))


def section(layout: Layout) -> str:
    """The comparison in Markdown."""
    from faiglib import record

    folder, table = measured(layout), numbers(layout)
    if folder is None or table is None:
        return "No chapter has been executed here yet, so that there is nothing to compare."
    if table.empty:
        return (
            f"There is no record of the profile `{folder.name}` with the seed, weights and images of this run, so that "
            "there is nothing to compare."
        )
    rows = record.drift(table)
    parts = [f"Profile `{folder.name}`: {in_words(table)}.", _markdown(rows)]
    drifted = table[~table["within"]]
    if len(drifted):
        parts += ["The numbers out of tolerance:", _markdown(drifted.drop(columns=["within", "difference"]))]
    return "\n\n".join(parts)


def _markdown(table: pd.DataFrame) -> str:
    def cell(value: object) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    lines = [list(table.columns), ["---"] * len(table.columns)]
    lines += [[cell(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
