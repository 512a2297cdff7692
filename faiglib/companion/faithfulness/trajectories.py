"""Whether filters found along the way that training took mask better than those of the straight line, over pairs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd
from pandas.io.formats.style import Styler

from faiglib.companion.intervals import t_interval
from faiglib.companion.page.source import with_source
from faiglib.companion.page.tables import interval, plain
from faiglib.companion.page.words import counted, listed, number, percent, typeset
from faiglib.networks import TITLES, zoo
from faiglib.training import rows, trajectories


def compared(folder: Path) -> pd.DataFrame:
    """What was recorded when the targets were published, for those whose runs kept snapshots.

    Args:
        folder: of the weights.

    Returns:
        Columns of :class:`faiglib.training.trajectories.Along` after ``network``, ``seed`` and ``baseline`` (seed).

    Raises:
        WeightsError: a recorded table cannot be read.
    """
    found = []
    for network, seed in zoo.pairs_available(folder):
        path = trajectories.path_of(folder, network, seed)
        if path.is_file():
            named = {
                "network": network,
                "seed": seed,
                "baseline": zoo.pair_entries(folder, network, seed)["baseline"].seed,
            }
            found += [named | asdict(row) for row in rows.read(path, trajectories.Along)]
    return pd.DataFrame(found)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Trajectory less straight line, mean over pairs that share nothing.

    Args:
        table: from :func:`compared`.

    Returns:
        One row per ``network``, ``function`` and ``side`` (``own`` or ``other``): ``straight``, ``trajectory``,
        ``difference`` with ``low`` and ``high`` (95 %, Student's t over pairs; NaN for one), ``shared`` and ``pairs``.
    """
    found = []
    for (network, function), cell in table.groupby(["network", "function"], sort=False):
        alone = cell[cell["seed"].isin(cell.drop_duplicates("baseline")["seed"])]
        by_path = {path: one.set_index("seed") for path, one in alone.groupby("path")}
        for side in ("own", "other"):
            straight, bent = (by_path[path][side] for path in ("straight", "trajectory"))
            change = (bent - straight).to_numpy()
            ends = t_interval(change)
            shared = by_path["trajectory"]["shared"].mean()
            row = (network, function, side, straight.mean(), bent.mean(), change.mean(), *ends, shared, len(change))
            found.append(row)
    columns = ["network", "function", "side", "straight", "trajectory", "difference", "low", "high", "shared", "pairs"]
    return pd.DataFrame(found, columns=columns)


@typeset
def in_words(table: pd.DataFrame) -> str:
    """Whether the trajectory's filters mask better, in a sentence; one that says so where nothing was recorded.

    Args:
        table: from :func:`differences`.
    """
    if table.empty:
        return "No target here kept what it was on the way, so that there is nothing to compare."
    told = []
    for row in table.to_dict("records"):
        clear = row["low"] > 0 or row["high"] < 0
        word = ("more" if row["difference"] > 0 else "less") if clear else "neither clearly more nor less"
        by = f"{number(row['difference'], '+.0%')}, 95 % {number(row['low'], '+.0%')} to {number(row['high'], '+.0%')}"
        told.append(f"{word} on the {row['side']} input for {row['function']} ({by})")
    first = table.iloc[0]
    ends = f"{percent(table['shared'].min())} to {percent(table['shared'].max())}"
    return (
        f"Over {counted(int(first['pairs']), 'pair')} of {TITLES[first['network']]}, filters of the trajectory "
        f"take {listed(told)}. They share {ends} with those of the straight line."
    )


@with_source
def shown(table: pd.DataFrame) -> Styler:
    """The differences as a table.

    Args:
        table: from :func:`differences`.
    """
    made = pd.DataFrame(
        {
            "network": table["network"],
            "filters for": table["function"],
            "input": table["side"],
            "straight line": table["straight"],
            "trajectory": table["trajectory"],
            "difference": table["difference"],
            "95 % over pairs": [
                interval(100 * low, 100 * high, 0) for low, high in zip(table["low"], table["high"], strict=True)
            ],
            "pairs": table["pairs"],
        }
    )
    forms = {"straight line": "{:.0%}", "trajectory": "{:.0%}", "difference": "{:+.0%}"}
    return plain(made, forms, "Share of the drop when 1 % is masked; the interval in percentage points")
