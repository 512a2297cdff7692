"""Measures the same tables with other kernels and arithmetic, and records how far numbers and rankings move.

Every setting of :mod:`bookmaker.records.kernels` is measured by a process of :mod:`bookmaker.records.remeasure`, below
``build/rounding``; what is there already is kept. ``results/rounding`` gets ``numbers.csv`` (a row for each number, a
column for each setting), ``rankings.csv`` and ``run.json``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bookmaker.errors import BookError
from bookmaker.layout import Layout
from bookmaker.records import kernels
from bookmaker.records.kernels import FOLDER, NUMBERS, PERCENTS, RANKINGS, RUN, Setting
from bookmaker.records.remeasure import PROFILE, SCORES, bench_of
from faiglib.companion import record
from faiglib.companion.places import Places
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.networks import NETWORKS, build
from faiglib.system import provenance
from faiglib.system.documents import DocumentError, read_json
from faiglib.system.files import write_text_atomic
from faiglib.system.tensors import read_tensors

DONE = "done.json"


@dataclass(frozen=True)
class Measured:
    """A setting that was measured.

    Attributes:
        setting: Which.
        folder: With its tables and scores.
    """

    setting: Setting
    folder: Path


def make(layout: Layout, settings: Sequence[Setting] = kernels.SETTINGS) -> Path:
    """Measures every setting that this processor has and writes the record.

    Raises:
        BookError: A setting could not be measured.
        FaiglibError: Images or weights are not here, or something cannot be written.
    """
    bench, able = bench_of(), kernels.abilities()
    missing = {one.name: kernels.lacking(one, able) for one in settings}
    measured = [_measured(layout, one) for one in settings if not missing[one.name]]
    folder = layout.root / "results" / FOLDER
    run = {
        "profile": PROFILE,
        "image_sets": {name: one.digest for name, one in bench.image_sets.items()},
        "pairs": [[network, seed] for network, seed in bench.pair_names],
        "settings": [asdict(one.setting) for one in measured],
        "lacking": {name: list(abilities) for name, abilities in missing.items() if abilities},
        "made_on": provenance.collect(bench.device),
    }
    write_text_atomic(folder / NUMBERS, _text(numbers(measured)))
    write_text_atomic(folder / RANKINGS, _text(rankings(measured)))
    write_text_atomic(folder / RUN, json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    return folder


def _measured(layout: Layout, setting: Setting) -> Measured:
    """A setting's tables, measured now unless these sources have measured them before."""
    build = layout.build / FOLDER / re.sub(r"\W+", "-", setting.name)
    folder = Places(build, build / "store").measured(PROFILE)
    made_by = asdict(setting) | {"sources": provenance.source_digest()}
    if _known(folder / DONE) != json.loads(json.dumps(made_by)):
        print(f"rounding: {setting.name}", flush=True)
        networks = "smallest" if kernels.on_smallest(setting, kernels.abilities()) else "all"
        done = subprocess.run(
            [sys.executable, "-m", "bookmaker.records.remeasure", setting.arithmetic, networks],
            env=_environment(setting, build),
            check=False,
        )
        if done.returncode:
            raise BookError(f"the setting '{setting.name}' could not be measured")
        write_text_atomic(folder / DONE, json.dumps(made_by, indent=1) + "\n")
    return Measured(setting, folder)


def _known(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, dict[str, Any])
    except (OSError, DocumentError):
        return {}


def _environment(setting: Setting, build: Path) -> dict[str, str]:
    """Variables of a setting's process, without those of other settings."""
    chosen = {name for one in kernels.SETTINGS for name in one.variables}
    usual = {name: value for name, value in os.environ.items() if name not in chosen}
    tools = str(Path(__file__).resolve().parents[2])
    return {
        **usual,
        **setting.variables,
        "OMP_NUM_THREADS": str(setting.threads),
        "MKL_NUM_THREADS": str(setting.threads),
        "OMP_WAIT_POLICY": "PASSIVE",  # two threads that wait for each other leave the cores to other programs
        "FAIGLIB_BUILD": str(build),
        "FAIGLIB_STORE": str(build / "store"),
        "PYTHONPATH": os.pathsep.join(filter(None, [tools, os.environ.get("PYTHONPATH")])),
    }


def numbers(measured: Sequence[Measured]) -> pd.DataFrame:
    """Every number of the tables in every setting.

    Returns:
        One row per number: ``table``, ``quantity`` (title), ``where``, and a column for each setting.
    """
    keys = ["table", "quantity", "where"]
    columns = []
    for one in measured:
        compared = record.compare(one.folder, measured[0].folder)
        columns.append(compared.set_index(keys)["measured"].rename(one.setting.name))
    return pd.concat(columns, axis=1).reset_index()


def rankings(measured: Sequence[Measured]) -> pd.DataFrame:
    """How much of the rankings of the first setting is left in the others.

    Returns:
        One row per setting but the first, network, method and function: ``common_P``, the share of the best P % that
        are the same filters; ``spearman``, the rank correlation over all filters; ``moved``, the largest change of a
        score as a share of the largest score.
    """
    usual = _scores(measured[0].folder)
    rows = []
    for one in measured[1:]:
        for name, scores in _scores(one.folder).items():
            network, method, filters = name.split("/")
            rows.append(
                {"setting": one.setting.name, "network": network, "method": method, "filters": filters}
                | dict(_compared(usual[name], scores))
            )
    return pd.DataFrame(rows)


def _compared(usual: FilterScores, other: FilterScores) -> Iterator[tuple[str, float]]:
    for percent in PERCENTS:
        yield f"common_{percent}", usual.top(percent).overlap(other.top(percent))
    both = pd.DataFrame({"usual": usual.values.numpy(), "other": other.values.numpy()})
    yield "spearman", float(both.corr(method="spearman").loc["usual", "other"])
    yield "moved", float((both["usual"] - both["other"]).abs().max() / both["usual"].abs().max())


def _scores(folder: Path) -> Mapping[str, FilterScores]:
    tensors, _ = read_tensors(folder / SCORES)
    indices = {
        name: FilterIndex.of(build(name)) for name in NETWORKS if any(one.startswith(f"{name}/") for one in tensors)
    }
    return {name: FilterScores(indices[name.split("/")[0]], values) for name, values in tensors.items()}


def _text(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n", float_format="%.9g")
