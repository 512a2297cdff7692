"""The chapter's tables: measured where the networks are on the machine, and otherwise those of the recorded run."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from faiglib.companion.public_pairs import measure, paths
from faiglib.companion.public_pairs.pairs import here
from faiglib.companion.workbench import Workbench
from faiglib.errors import StoreError
from faiglib.networks import waifu2x
from faiglib.system import provenance
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
#: The file that says what made them.
MADE_BY = "public_pairs.json"
#: Profile whose record stands in where that of the profile is missing.
RECORDED = "standard"


@dataclass(frozen=True)
class MadeBy:
    """What the tables were made with.

    Attributes:
        profile: of the run.
        seed: of test noise.
        image_set: title of the set that was measured on.
        images: its digest.
        wheel: sha256 of the wheel.
        made_on: provenance.
    """

    profile: str
    seed: int
    image_set: str
    images: str
    wheel: str
    made_on: dict[str, object]


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
        image_set = bench.image_set(bench.test_set)
        made_by = MadeBy(
            bench.profile.name,
            bench.seed,
            image_set.title,
            image_set.digest,
            waifu2x.WHEEL.sha256,
            provenance.collect(bench.device),
        )
        found = Found({name: compute(bench) for name, compute in TABLES.items()}, made_by, recorded=False)
    else:
        found = _recorded(records or Path(__file__).resolve().parents[3] / "results", bench.profile.name)
    _write(bench.places.measured(bench.profile.name), found)
    return found


def _recorded(records: Path, profile: str) -> Found:
    """The tables of a recorded run: of the profile, else of :data:`RECORDED`.

    Raises:
        StoreError: there are none, or they cannot be read.
    """
    for folder in (records / profile, records / RECORDED):
        if (folder / MADE_BY).is_file():
            try:
                made_by = read_json(folder / MADE_BY, MadeBy)
                return Found({name: _read(folder / _file(name)) for name in TABLES}, made_by, recorded=True)
            except (OSError, DocumentError, ValueError) as error:
                raise StoreError(f"the recorded results in {folder} cannot be read: {error}") from None
    raise StoreError(
        f"the networks of waifu2x are not here, and {records} has no recorded run with them; `faiglib fetch "
        f"{waifu2x.FOLDER}` downloads them"
    )


def _write(folder: Path, found: Found) -> None:
    for name, table in found.tables.items():
        text = table.to_csv(index=False, lineterminator="\n", float_format="%.6g")
        write_text_atomic(folder / _file(name), text)
    text = json.dumps(vars(found.made_by), indent=1, ensure_ascii=False)
    write_text_atomic(folder / MADE_BY, f"{text}\n")


def _read(path: Path) -> pd.DataFrame:
    """A table as it was written; what is empty is NaN.

    Raises:
        DocumentError: it is no table.
    """
    return pd.read_csv(io.StringIO(read_text(path)))


def _file(name: str) -> str:
    return f"public_{name}.csv"
