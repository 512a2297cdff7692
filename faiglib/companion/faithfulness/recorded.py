"""What trained methods exchange, as a recorded run has it: training them takes minutes a network.

``nox -s masks`` trains them for every network and writes ``results/masks/SET.csv``. A page takes a network's rows from
there where weights, images, seed and budget are the same, and trains those of its smallest network anew, to compare.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from faiglib.companion.places import recorded_results
from faiglib.companion.workbench import Workbench
from faiglib.errors import StoreError
from faiglib.networks.zoo import Pair
from faiglib.system import provenance
from faiglib.system.documents import DocumentError, MadeOn, parse_csv, read_json, read_text
from faiglib.system.files import write_text_atomic
from faiglib.system.store import fingerprint

#: What names a row, and what was measured, with types.
COLUMNS: Mapping[str, type] = {
    "network": str,
    "seed": int,
    "method": str,
    "filters": str,
    "way": str,
    "percent": float,
    "input": str,
    "image": str,
    "psnr": float,
    "drop": float,
}
#: Fields of the profile that these rows depend on.
_BUDGET = ("rule", "nodes", "discovery_images", "discovery_crop", "curve_images", "exchanged_percents", "mask_steps")


@dataclass(frozen=True)
class MadeFrom:
    """What a recorded run was made from, and on.

    Attributes:
        made_from: by network and seed (``srresnet-0``), what :func:`ingredients` says.
        made_on: the machine and the sources.
    """

    made_from: dict[str, dict[str, str]]
    made_on: MadeOn


def folder() -> Path:
    """Where the checkout has its recorded runs of trained methods."""
    return recorded_results() / "masks"


def budget(bench: Workbench) -> str:
    """A digest of what the profile spends on these methods."""
    profile = dataclasses.asdict(bench.profile)
    return fingerprint([profile[name] for name in _BUDGET])


def ingredients(bench: Workbench, pair: Pair) -> dict[str, str]:
    """Digests and numbers that have to be the same for a recorded row to stand for one that is measured."""
    key = bench.key(pair, bench.test_set, budget=budget(bench))
    return {name: str(value) for name, value in key.items()}


def write(bench: Workbench, measured: Callable[[Pair], pd.DataFrame], where: Path) -> Path:
    """Record what trained methods exchange, for the first pair of each network, on the workbench's test set.

    Args:
        bench: what is measured on.
        measured: rows of a pair, with at least :data:`COLUMNS` but ``network`` and ``seed``.
        where: folder of the record.

    Returns:
        The table that was written; a JSON file beside it says what it was made from.

    Raises:
        StoreError: it cannot be written.
    """
    pairs = [bench.pair(*one) for one in bench.first_pairs]
    table = pd.concat([measured(pair).assign(network=pair.network, seed=pair.seed) for pair in pairs])
    made = MadeFrom(
        {f"{pair.network}-{pair.seed}": ingredients(bench, pair) for pair in pairs}, provenance.collect(bench.device)
    )
    path = where / f"{bench.test_set}.csv"
    text = table[list(COLUMNS)].to_csv(index=False, lineterminator="\n", float_format="%.6g")
    write_text_atomic(path, text)
    write_text_atomic(
        path.with_suffix(".json"), json.dumps(dataclasses.asdict(made), indent=1, ensure_ascii=False) + "\n"
    )
    return path


def read(bench: Workbench, pair: Pair, where: Path) -> pd.DataFrame | None:
    """A pair's recorded rows, or None where there are none of these weights, images, seed and budget.

    Raises:
        StoreError: the record cannot be read.
    """
    path = where / f"{bench.test_set}.csv"
    try:
        made = read_json(path.with_suffix(".json"), MadeFrom)
        if made.made_from.get(f"{pair.network}-{pair.seed}") != ingredients(bench, pair):
            return None
        table = pd.DataFrame(parse_csv(read_text(path), COLUMNS), columns=list(COLUMNS))
    except FileNotFoundError:
        return None
    except (OSError, DocumentError) as error:
        raise StoreError(f"the recorded masks {path} cannot be read: {error}") from None
    own = table[(table["network"] == pair.network) & (table["seed"] == pair.seed)]
    return own.drop(columns=["network", "seed"]).reset_index(drop=True)
