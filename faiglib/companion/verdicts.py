"""Verdicts on the way from the chapter that reaches them to the front page, and into the recorded run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from faiglib.companion.criteria import Verdict
from faiglib.companion.page.glue import glue
from faiglib.companion.places import recorded_results
from faiglib.companion.workbench import Workbench
from faiglib.errors import StoreError
from faiglib.system.documents import DocumentError, read_json
from faiglib.system.files import write_text_atomic


@dataclass(frozen=True)
class Kept(Verdict):
    """A verdict with what it was reached on.

    Attributes:
        profile: of the run.
        image_sets: titles.
        pairs: how many pairs of each network share nothing, by its title.
    """

    profile: str
    image_sets: list[str]
    pairs: dict[str, int] = field(default_factory=dict)


def keep(bench: Workbench, verdict: Verdict) -> None:
    """Write a verdict beside the measured tables, and let the chapter speak of it.

    The prose gets ``paper_X`` and ``beyond_X``, grades with the numbers behind them, X being the letter of the claim.

    Raises:
        StoreError: it cannot be written.
    """
    titles = [one.title for one in bench.image_sets.values()]
    kept = Kept(verdict.claim, verdict.paper, verdict.beyond, bench.profile.name, titles, bench.independent_pairs)
    text = json.dumps(asdict(kept), indent=1, ensure_ascii=False)
    write_text_atomic(bench.places.measured(bench.profile.name) / _file(verdict.claim), f"{text}\n")
    for setup, part in (("paper", verdict.paper), ("beyond", verdict.beyond)):
        glue(**{f"{setup}_{verdict.claim}": part.in_words})


def read(folder: Path, letter: str) -> Kept | None:
    """The verdict on a claim among the tables of a run, or None if there is none.

    Raises:
        StoreError: it cannot be read.
    """
    path = folder / _file(letter)
    try:
        return read_json(path, Kept) if path.is_file() else None
    except (OSError, DocumentError) as error:
        raise StoreError(f"the verdict {path} cannot be read: {error}") from None


def of_record(letter: str) -> Kept | None:
    """The verdict of the recorded run of the profile standard in this checkout, or None if there is none.

    Raises:
        StoreError: it cannot be read.
    """
    return read(recorded_results() / "standard", letter)


def _file(letter: str) -> str:
    return f"verdict_{letter}.json"
