"""Whether the depth of the straight path tells how selective the filters found along it are, over all pairs."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from scipy import stats

from faiglib.companion.masked import side
from faiglib.companion.page.words import counted, number, typeset

#: Pairs from which on a rank correlation is told.
FEWEST = 5


def by_pair(
    table: pd.DataFrame, barriers: Mapping[tuple[str, int], float], image_set: str, percent: float = 1
) -> pd.DataFrame:
    """How much of its drop each pair loses on either input when FAIG's filters are masked, beside its barrier.

    Args:
        table: from :func:`faiglib.companion.masking.measure.drops`.
        barriers: in dB by network and seed.
        image_set: name of the set.
        percent: of masked filters.

    Returns:
        One row per ``network``, ``seed`` and ``filters`` (function): ``barrier``, and ``own`` and ``other``, mean drop
        on either input as a share of the mean drop when all filters are masked.
    """
    chosen = table[(table["method"] == "faig") & (table["percent"] == percent) & (table["image_set"] == image_set)]
    keys = ["network", "seed", "filters"]
    means = chosen.assign(side=side(chosen)).groupby([*keys, "side"], sort=False)[["drop", "drop_all"]].mean()
    wide = (means["drop"] / means["drop_all"]).unstack("side").rename_axis(columns=None).reset_index()
    wide["barrier"] = [barriers[pair] for pair in zip(wide["network"], wide["seed"], strict=True)]
    return wide[[*keys, "barrier", "own", "other"]]


@typeset
def in_words(pairs: pd.DataFrame) -> str:
    """Spearman's rank correlation of barrier and share of the other input, for each function.

    Args:
        pairs: from :func:`by_pair`.
    """
    told = []
    for function, rows in pairs.dropna().groupby("filters", sort=False):
        if len(rows) < FEWEST:
            return f"With {counted(len(rows), 'pair')} there is nothing to correlate."
        found = stats.spearmanr(rows["barrier"], rows["other"])
        word = "no clear relation" if found.pvalue >= 0.05 else "a deeper path goes with more spill"
        if found.pvalue < 0.05 and found.statistic < 0:
            word = "a deeper path goes with less spill"
        told.append(f"for {function} filters ρ = {number(found.statistic)} (p = {number(found.pvalue, '.2g')}, {word})")
    many = counted(pairs[["network", "seed"]].drop_duplicates().shape[0], "pair")
    return f"Over {many}, the rank correlation of the barrier with what the other input loses is {' and '.join(told)}."
