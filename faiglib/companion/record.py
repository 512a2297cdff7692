"""The recorded run: the book's main tables as they once came out, and how far a new run is from them.

A run of the notebooks writes its tables, with all that made them, below ``build/results/PROFILE``. The recorded run
lies in the same form below ``results/PROFILE``. Rows are compared where weights, images and seed are the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faiglib.companion.places import recorded_results
from faiglib.errors import StoreError
from faiglib.networks import NETWORKS, zoo
from faiglib.system import provenance
from faiglib.system.documents import DocumentError, parse_csv, read_json, read_text
from faiglib.system.files import write_text_atomic

if TYPE_CHECKING:
    import pandas as pd

    from faiglib.companion.workbench import Workbench


@dataclass(frozen=True)
class Quantity:
    """What a number is, and by how much it may differ between machines.

    Attributes:
        title: as printed, with the unit.
        absolute: difference that is allowed.
        relative: difference that is allowed as a share of the recorded number; the larger allowance counts.
    """

    title: str
    absolute: float
    relative: float = 0.0


#: Other processors and versions of PyTorch round differently, which moves a few filters across the edge of a top 1 %.
#: Where that was measured (``results/rounding``), the book compares by what was found instead; these are for the rest.
#: Re-training amplifies rounding step by step; accuracies and shares move by whole images and filters.
QUANTITIES: Mapping[str, Quantity] = {
    "drop": Quantity("drop ×10³", 0.05, 0.03),
    "psnr": Quantity("PSNR (dB)", 0.02),
    "retrained": Quantity("PSNR after re-training (dB)", 0.05),
    "share": Quantity("share of filters", 0.01),
    "depth": Quantity("mean depth", 0.005),
    "accuracy": Quantity("accuracy", 0.05),
    "auc": Quantity("AUC", 0.02),
    "brightness": Quantity("brightness shift (8-bit levels)", 0.1, 0.03),
    "area": Quantity("mean height of a curve", 0.05),
}


@dataclass(frozen=True)
class Table:
    """A recorded table.

    Attributes:
        keys: columns that name a row.
        values: measured columns and what they are, a key of :data:`QUANTITIES`.
        all_sets: whether a row depends on more image sets than the one that it names.
    """

    keys: tuple[str, ...]
    values: Mapping[str, str]
    all_sets: bool = False


TABLES: Mapping[str, Table] = {
    "masking": Table(("network", "image_set", "input", "percent", "method"), {"measured": "drop"}),
    "selectivity": Table(
        ("network", "image_set", "percent", "input", "filters"),
        {"psnr": "psnr", "psnr_target": "psnr", "psnr_baseline": "psnr", "luminance_shift": "brightness"},
    ),
    "retraining": Table(("network", "task", "filters", "method"), {"measured": "retrained"}),
    "centroids": Table(("network", "method", "filters"), {"centroid": "depth"}),
    "layers": Table(("network", "method", "filters"), {"uneven": "share", "last_share": "share"}),
    "prediction": Table(("network", "predictor", "degradation", "image_set"), {"accuracy": "accuracy"}, all_sets=True),
    "areas": Table(("network", "predictor", "degradation", "image_set", "inputs"), {"auc": "auc"}),
    "baselines": Table(("network", "found_with", "replaced_by", "filters"), {"drop_own": "drop"}),
    "elimination": Table(("network", "method", "percent", "filters"), {"drop_own": "drop", "drop_other": "drop"}),
    "control": Table(("network", "filters"), {"gained": "psnr", "other_moved": "psnr"}),
    "controls": Table(("network", "seed", "filters"), {"faig": "drop", "matched": "drop"}),
    "controls_retrained": Table(("network", "filters"), {"faig": "retrained", "matched": "retrained"}),
    "faithfulness": Table(("network", "filters", "method"), {"left": "area", "brought": "area"}),
}


@dataclass(frozen=True)
class MadeBy:
    """What a recorded table depends on, from the JSON file beside it.

    Attributes:
        seed: of the run.
        weights: sha256 of the targets, by network and seed.
        image_sets: digests, by name.
    """

    seed: int
    weights: dict[str, dict[str, str]]
    image_sets: dict[str, str]


def keep(bench: Workbench, name: str, table: pd.DataFrame) -> None:
    """Write one of :data:`TABLES` of this run, with what made it.

    Args:
        bench: that measured it.
        name: key of :data:`TABLES`.
        table: with at least the columns that the record holds.

    Raises:
        StoreError: it cannot be written.
    """
    kind = TABLES[name]
    folder = bench.places.measured(bench.profile.name)
    text = table[[*kind.keys, *kind.values]].to_csv(index=False, lineterminator="\n", float_format="%.6g")
    write_text_atomic(folder / f"{name}.csv", text)
    write_text_atomic(folder / f"{name}.json", json.dumps(made_by(bench), indent=1, ensure_ascii=False) + "\n")


def made_by(bench: Workbench) -> dict[str, Any]:
    """What a run depends on and where it was made, as stands in the JSON file beside a recorded table."""
    return {
        "profile": bench.profile.name,
        "seed": bench.seed,
        "weights": {
            network: {
                str(seed): zoo.pair_entries(bench.models, network, seed)["target"].sha256
                for one, seed in bench.pair_names
                if one == network
            }
            for network, _ in bench.pair_names
        },
        "image_sets": {key: image_set.digest for key, image_set in bench.image_sets.items()},
        "made_on": provenance.collect(bench.device),
    }


def compare(
    measured: Path,
    recorded: Path,
    tables: Collection[str] = tuple(TABLES),
    quantities: Mapping[str, Quantity] = QUANTITIES,
) -> pd.DataFrame:
    """Every number of a run beside the record's, as far as both come from the same weights, images and seed.

    Args:
        measured: folder of the run.
        recorded: folder of the record, of the same profile.
        tables: which of :data:`TABLES`.
        quantities: how far numbers may differ, by the keys of :data:`QUANTITIES`.

    Returns:
        One row per number: ``table``, ``quantity`` (title), ``where`` (its keys in words), ``measured``, ``recorded``
        (NaN where the run has no such number), ``difference``, ``allowed`` and ``within``. Empty without a record.

    Raises:
        StoreError: a file cannot be read.
    """
    import pandas as pd

    rows: list[dict[str, object]] = []
    for name, kind in TABLES.items():
        if name not in tables:
            continue
        ours, theirs = _read(measured, name), _read(recorded, name)
        if ours is None or theirs is None or ours[1].seed != theirs[1].seed:
            continue
        (table, made_by), (reference, recorded_by) = ours, theirs
        found = table.set_index(list(kind.keys))
        for keys, row in reference.set_index(list(kind.keys)).iterrows():
            cell = dict(zip(kind.keys, keys, strict=True))
            if not _comparable(cell, kind.all_sets, made_by, recorded_by):
                continue
            for column, quantity in kind.values.items():
                now = float(found.loc[keys, column]) if keys in found.index else math.nan
                rows.append(_difference(name, cell, column, quantities[quantity], now, float(row[column])))
    columns = ["table", "quantity", "where", "measured", "recorded", "difference", "allowed", "within"]
    return pd.DataFrame(rows, columns=columns)


def _comparable(cell: Mapping[str, Any], all_sets: bool, ours: MadeBy, theirs: MadeBy) -> bool:
    """Whether a row comes from the same weights and images in both runs."""
    networks = ours.weights if cell["network"] == "none" else [cell["network"]]
    sets = theirs.image_sets if all_sets or "image_set" not in cell else [cell["image_set"]]
    return all(ours.weights.get(one) == theirs.weights.get(one) for one in networks) and all(
        ours.image_sets.get(one) == theirs.image_sets.get(one) for one in sets
    )


def _difference(
    name: str, cell: Mapping[str, Any], column: str, quantity: Quantity, now: float, then: float
) -> dict[str, object]:
    allowed = max(quantity.absolute, quantity.relative * abs(then))
    same = math.isnan(now) and math.isnan(then)
    difference = 0.0 if same else abs(now - then)
    return {
        "table": name,
        "quantity": quantity.title,
        "where": ", ".join(
            f"{value:g}" if isinstance(value, float) else str(value) for value in [*cell.values(), column]
        ),
        "measured": now,
        "recorded": then,
        "difference": difference,
        "allowed": allowed,
        "within": difference <= allowed,
    }


def known(name: str) -> pd.DataFrame | None:
    """A table of the recorded run of the profile standard in this checkout, or None if there is none.

    Args:
        name: key of :data:`TABLES`.

    Raises:
        StoreError: it cannot be read.
    """
    found = _read(recorded_results() / "standard", name)
    return None if found is None else found[0]


def drift(numbers: pd.DataFrame) -> pd.DataFrame:
    """The table of :func:`compare` in a row per table and quantity.

    Returns:
        ``table``, ``quantity``, ``numbers`` (how many), ``drifted`` (how many are out of tolerance), ``largest``
        difference in relation to what is allowed (1 is the limit), and ``where`` that is.
    """
    import pandas as pd

    rows = []
    for (table, quantity), group in numbers.groupby(["table", "quantity"], sort=False):
        ratio = (group["difference"] / group["allowed"]).fillna(math.inf)
        rows.append(
            {
                "table": table,
                "quantity": quantity,
                "numbers": len(group),
                "drifted": int((~group["within"]).sum()),
                "largest ÷ allowed": float(ratio.max()),
                "where": group.loc[ratio.idxmax(), "where"] if ratio.max() > 0 else "",
            }
        )
    return pd.DataFrame(rows, columns=["table", "quantity", "numbers", "drifted", "largest ÷ allowed", "where"])


def _read(folder: Path, name: str) -> tuple[pd.DataFrame, MadeBy] | None:
    """A recorded table and what made it, or None if there is none."""
    import pandas as pd

    paths = folder / f"{name}.csv", folder / f"{name}.json"
    try:
        kind = TABLES[name]
        columns = {key: float if key == "percent" else str for key in kind.keys} | dict.fromkeys(kind.values, float)
        table = pd.DataFrame(parse_csv(read_text(paths[0]), columns), columns=list(columns))
        made_by = read_json(paths[1], MadeBy)
        if table.duplicated(list(kind.keys)).any():
            raise DocumentError("two rows have the same keys")
        unknown = set(table["network"]) - {*NETWORKS, "none"}
        if unknown:
            raise DocumentError(f"no network is called {min(unknown)[:60]!r}")
    except FileNotFoundError:
        return None
    except (OSError, DocumentError) as error:
        raise StoreError(f"the results {paths[0]} cannot be read: {error}") from None
    return table, made_by
