"""What a race leaves behind: its description and the rows of its tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faiglib.errors import FaiglibError
from faiglib.race.presets import Preset
from faiglib.system.documents import DocumentError, MadeOn, parse_csv, read_text

Row = dict[str, Any]


@dataclass(frozen=True)
class Description:
    """What ``race.json`` says of a race: sets are name, digest, number of images; seconds by training run."""

    preset: Preset
    complete: bool
    training_set: tuple[str, str, int]
    test_set: tuple[str, str, int]
    seconds: dict[str, float]
    made_on: MadeOn


def read_csv(path: Path) -> list[Row]:
    """The rows of a file of the record; numbers are numbers, an empty field is left out."""
    kinds = {"entrant": str, "phase": str, "image": str, "seed": int, "step": int}
    try:
        text = read_text(path)
        names = text.partition("\n")[0].strip().split(",")
        rows = parse_csv(text, {name: kinds.get(name, float) for name in names})
        return [{name: cell for name, cell in row.items() if cell == cell and cell != ""} for row in rows]
    except (OSError, DocumentError) as error:
        raise FaiglibError(f"the record {path} of the race cannot be read: {error}") from None
