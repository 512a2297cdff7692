"""How far this run is from the recorded one: a table for the terminal, and the book's page on it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bookmaker import staleness
from bookmaker.errors import BookError
from bookmaker.layout import Layout
from bookmaker.pages import places
from bookmaker.records import crate
from faiglib.companion.page.escaping import as_markdown
from faiglib.system.files import atomic_write, write_text_atomic

if TYPE_CHECKING:
    import pandas as pd

PAGE = "record.md"
COSTS = "costs.json"
PLACE = "<!-- this run beside the record: book/tools/bookmaker/pages/drift.py -->"


@dataclass(frozen=True)
class Measured:
    """The tables of the notebooks as they were last executed.

    Attributes:
        profile: of the latest execution; others count not.
        chapters: files of each notebook, by its name, with their sha256.
    """

    profile: str
    chapters: Mapping[str, Mapping[str, str]]

    @property
    def files(self) -> dict[str, str]:
        """All files, with their sha256."""
        return {file: digest for files in self.chapters.values() for file, digest in files.items()}


def measured(layout: Layout) -> Measured | None:
    """What the notebooks have measured, or None if none has measured anything."""
    executions = {name: staleness.read_execution(layout, name) for name in layout.notebooks()}
    found = {name: one for name, one in executions.items() if one and one["tables"]}
    if not found:
        return None
    profile = max(found.values(), key=lambda one: one["finished"])["profile"]
    return Measured(profile, {name: one["tables"] for name, one in found.items() if one["profile"] == profile})


def _sound_files(layout: Layout, found: Measured) -> dict[str, str]:
    """The measured files, which must be those that the notebooks wrote.

    Raises:
        BookError: one was changed since, or is gone.
    """
    there = staleness.tables_of(layout, found.profile)
    for name, files in found.chapters.items():
        for file, digest in files.items():
            if there.get(file) != digest:
                raise BookError(
                    f"{layout.measured(found.profile) / file} is not what {name} measured; remove "
                    f"{layout.executed / name}.json to execute that chapter again"
                )
    return found.files


def keep(layout: Layout, profile: str, chapters: Collection[str] | None = None, complete: bool = False) -> Path:
    """Make what notebooks measured the recorded run of a profile; what they did not measure stays as it is.

    Args:
        layout: The project.
        profile: Of the run.
        chapters: Names of the notebooks that belong to the run, all of them by default.
        complete: Whether these are all chapters, so that recorded tables that none of them measures are outdated.

    Raises:
        BookError: If they have measured nothing in this profile, or a table was changed since.
    """
    found = measured(layout)
    if found and chapters is not None:
        found = Measured(found.profile, {name: one for name, one in found.chapters.items() if name in chapters})
    if found is None or found.profile != profile or not found.files:
        raise BookError(f"there is nothing to record: no chapter of this run has measured a table in profile {profile}")
    files = _sound_files(layout, found)
    target = layout.root / "results" / profile
    for file in files:
        with atomic_write(target / file) as copy:
            copy.write((layout.measured(profile) / file).read_bytes())
    costs = {} if complete else _costs_of(target)
    costs |= of_executions(layout, profile, layout.notebooks() if chapters is None else chapters)
    write_text_atomic(target / COSTS, json.dumps(dict(sorted(costs.items())), indent=1) + "\n")
    if complete:
        for old in target.iterdir():
            if old.name not in (*files, COSTS) and not old.name.startswith("."):
                old.unlink()
    crate.write_record(layout, profile)
    return target


def of_executions(layout: Layout, profile: str, names: Collection[str]) -> dict[str, dict[str, Any]]:
    """What the last executions of notebooks with a profile cost, by name, as the record has it."""
    found = {name: staleness.read_execution(layout, name) for name in names}
    fields = [field.name for field in dataclasses.fields(staleness.Cost)]
    return {
        name: {field: execution[field] for field in fields}
        for name, execution in found.items()
        if execution and execution["profile"] == profile
    }


def costs(layout: Layout, profile: str) -> dict[str, dict[str, Any]]:
    """Seconds and memory of the notebooks of the recorded run of a profile, by name, as far as they are known."""
    return _costs_of(layout.root / "results" / profile)


def _costs_of(folder: Path) -> dict[str, dict[str, Any]]:
    """What the notebooks of a recorded run cost, by name; nothing where no sound file says so."""
    try:
        found = json.loads((folder / COSTS).read_text(encoding="utf-8"))
        return {str(name): {"seconds": float(cost["seconds"]), **cost} for name, cost in found.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def numbers(layout: Layout) -> pd.DataFrame | None:
    """The comparison of the notebooks' tables with the record of their profile, or None if nothing was measured."""
    from bookmaker.pages import differs
    from faiglib.companion import record

    found = measured(layout)
    if found is None:
        return None
    tables = {Path(file).stem for file in _sound_files(layout, found)}
    known = layout.root / "results" / found.profile
    return record.compare(layout.measured(found.profile), known, tables, differs.tolerances(layout))


def report(layout: Layout) -> str:
    """What a terminal shows of the comparison."""
    from faiglib.companion import record

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
    from faiglib.companion import record

    found, table = measured(layout), numbers(layout)
    if found is None or table is None:
        return "No chapter has been executed here yet, so that there is nothing to compare."
    if table.empty:
        return (
            f"There is no record of the profile `{found.profile}` with the seed, weights and images of this run, so "
            "that there is nothing to compare."
        )
    rows = record.drift(table)
    parts = [f"Profile `{found.profile}`: {in_words(table)}.", _markdown(rows)]
    drifted = table[~table["within"]]
    if len(drifted):
        parts += ["The numbers out of tolerance:", _markdown(drifted.drop(columns=["within", "difference"]))]
    return "\n\n".join(parts)


def _markdown(table: pd.DataFrame) -> str:
    def cell(value: object) -> str:
        return f"{value:.4g}" if isinstance(value, float) else as_markdown(value)

    words = table.map(cell).rename(columns=as_markdown)
    return words.to_markdown(index=False, disable_numparse=True)
