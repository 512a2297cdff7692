"""The recorded study of where gradients are spent best: ``nox -s passes`` writes it, the page on speed shows it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from faiglib.companion.places import recorded_results
from faiglib.companion.speed.passes import STUDIES, Measured, Study
from faiglib.companion.workbench import Workbench
from faiglib.errors import StoreError
from faiglib.networks.zoo import Pair
from faiglib.system import provenance
from faiglib.system.documents import DocumentError, MadeOn, parse_csv, read_json, read_text
from faiglib.system.files import write_text_atomic

#: What names a row, and what was measured, with types.
COLUMNS: Mapping[str, type] = {
    "network": str,
    "filters": str,
    "side": int,
    "rule": str,
    "nodes": int,
    "crops": int,
    "groups": int,
    "overlap": float,
    "missed": float,
}


@dataclass(frozen=True)
class Facts:
    """What goes with the table.

    Attributes:
        study: what was tried.
        sets: names of the image sets.
        published_pixels: from :func:`faiglib.companion.speed.passes.published_pixels`.
        ceiling: overlap of the two halves, by network and function.
        whole: the same of as many images as the paper has, likewise.
        pairs: seed and digest of the weights, by network.
        made_on: the machine and the sources.
    """

    study: dict[str, Any]
    sets: list[str]
    published_pixels: int
    ceiling: dict[str, dict[str, float]]
    whole: dict[str, dict[str, float]]
    pairs: dict[str, list[Any]]
    made_on: MadeOn

    @property
    def held_against(self) -> tuple[object, ...]:
        """What the reference was made of and how far its halves agree, and what costs are shares of."""
        reference = [self.study.get(name) for name in ("images", "side", "nodes", "draws")]
        return self.sets, self.published_pixels, self.pairs, reference, self.ceiling, self.whole


@dataclass(frozen=True, eq=False)
class RecordedStudy:
    """The recorded study.

    Attributes:
        facts: what goes with the table.
        table: columns :data:`COLUMNS`, and ``cost``: pixels of ground truth that are differentiated for one input, as a
            share of the published program's.
    """

    facts: Facts
    table: pd.DataFrame


def folder() -> Path:
    """Where the checkout has its recorded study."""
    return recorded_results() / "passes"


def write(bench: Workbench, study: Study, found: Mapping[Pair, Measured], pixels: int, where: Path) -> Path:
    """Record what pairs say.

    Args:
        bench: what was measured on.
        study: what was tried.
        found: by pair, one of each network.
        pixels: that the published program differentiates.
        where: folder of the record.

    Returns:
        The table that was written; a JSON file beside it says what it was made from.

    Raises:
        StoreError: it cannot be written.
    """
    table = pd.concat([measured.table.assign(network=pair.network) for pair, measured in found.items()])
    facts = Facts(
        dataclasses.asdict(study),
        [*bench.image_sets],
        pixels,
        {pair.network: measured.ceiling for pair, measured in found.items()},
        {pair.network: measured.whole for pair, measured in found.items()},
        {pair.network: [pair.seed, pair.digest] for pair in found},
        provenance.collect(bench.device),
    )
    path = where / "passes.csv"
    write_text_atomic(path, table[list(COLUMNS)].to_csv(index=False, lineterminator="\n", float_format="%.5g"))
    text = json.dumps(dataclasses.asdict(facts), indent=1, ensure_ascii=False) + "\n"
    write_text_atomic(path.with_suffix(".json"), text)
    return path


def load(where: Path | None = None) -> RecordedStudy:
    """The recorded studies in one table, by default the checkout's; the facts are those of the first.

    Args:
        where: folder of the first of :data:`faiglib.companion.speed.passes.STUDIES`; the others are below it.

    Raises:
        StoreError: one is missing or cannot be read, or they were held against different references.
    """
    folders = [(where or folder()) / name for name in STUDIES]
    first, *others = found = [_one(path) for path in folders]
    for path, other in zip(folders[1:], others, strict=True):
        if other.facts.held_against != first.facts.held_against:
            raise StoreError(f"the recorded studies {folders[0]} and {path} were held against different references")
    return RecordedStudy(first.facts, pd.concat([study.table for study in found], ignore_index=True))


def _one(where: Path) -> RecordedStudy:
    path = where / "passes.csv"
    try:
        facts = read_json(path.with_suffix(".json"), Facts)
        table = pd.DataFrame(parse_csv(read_text(path), COLUMNS), columns=list(COLUMNS))
    except (OSError, DocumentError) as error:
        raise StoreError(f"the recorded study {path} cannot be read: {error}; nox -s passes makes it") from None
    pixels = table["crops"] * table["nodes"] * table["side"] ** 2
    return RecordedStudy(facts, table.assign(cost=pixels / facts.published_pixels))


#: What names a way to spend.
WAY = ["rule", "nodes", "side"]


def fitted(table: pd.DataFrame) -> pd.DataFrame:
    """Bias and variance of every way to spend: missed ≈ bias + variance ÷ crops, both at least 0.

    Least squares of the relative residuals, over the numbers of crops.

    Args:
        table: of :class:`RecordedStudy`.

    Returns:
        One row per ``network``, ``filters`` and :data:`WAY`: ``bias`` and ``variance`` (of one crop).
    """
    rows = []
    for names, part in table.groupby(["network", "filters", *WAY], sort=False):
        wanted = part["missed"].to_numpy()
        terms = np.stack([np.ones(len(part)), 1 / part["crops"].to_numpy()], axis=1)
        (bias, variance), _ = nnls(terms / wanted[:, None], np.ones(len(part)))
        rows.append((*names, float(bias), float(variance)))
    return pd.DataFrame(rows, columns=["network", "filters", *WAY, "bias", "variance"])


def misfit(table: pd.DataFrame) -> float:
    """How far :func:`fitted` is from what was measured, relative to this, median of a :class:`RecordedStudy`'s rows."""
    both = table.merge(fitted(table), on=["network", "filters", *WAY])
    return float((1 - (both["bias"] + both["variance"] / both["crops"]) / both["missed"]).abs().median())
