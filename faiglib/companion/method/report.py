"""The method made visible (paper, section 3): the loss along the path, who causes its change, the filters found."""

from __future__ import annotations

from typing import get_args

import pandas as pd
import torch
from torch import Tensor

from faiglib.attribution import PathProfile
from faiglib.attribution.path_profile import Soundness
from faiglib.companion import paper
from faiglib.companion.discovery import Rankings
from faiglib.companion.method.measure import GROUPS
from faiglib.companion.page.words import counted, listed, typeset
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import TITLES
from faiglib.networks.zoo import Pair


def shares(path_table: pd.DataFrame) -> pd.DataFrame:
    """∫ slope dα of each group (trapezoid rule), beside the difference of the losses that the integrals add up to.

    Returns:
        One row per ``input`` and ``group``: ``integral`` (change of the mean squared error) and ``share`` of the total.
    """
    rows = []
    for kind, table in path_table.groupby("input", sort=False):
        wide = table.pivot(index="alpha", columns="group", values="slope")
        alphas = torch.tensor(wide.index.to_numpy())
        integrals = {group: float(torch.trapezoid(torch.tensor(wide[group].to_numpy()), alphas)) for group in GROUPS}
        total = sum(integrals.values())
        losses = table.drop_duplicates("alpha").set_index("alpha")["loss"]
        change = float(losses.iloc[-1] - losses.iloc[0])
        rows += [
            {"input": kind, "group": group, "integral": value, "share": value / total, "loss_change": change}
            for group, value in integrals.items()
        ]
    return pd.DataFrame(rows)


def top_filters(rankings: Rankings, count: int = 10) -> pd.DataFrame:
    """The filters with the highest FAIG score for each function: rank, id, layer, output, input and score."""
    rows = []
    for function in FUNCTIONS:
        scores = rankings.scores["faig", function]
        for rank, filter_id in enumerate(scores.ranking()[:count].tolist(), start=1):
            place = scores.index.locate(filter_id)
            rows.append(
                {
                    "filters": function,
                    "rank": rank,
                    "id": filter_id,
                    "layer": place.layer.removesuffix(".weight"),
                    "output": place.output,
                    "input": place.input,
                    "score": float(scores.values[filter_id]),
                }
            )
    return pd.DataFrame(rows)


def kernels(pair: Pair, table: pd.DataFrame) -> list[dict[str, Tensor]]:
    """For each row of :func:`top_filters` the K×K kernel in baseline and target, and what fine-tuning changed."""
    weights = [dict(network.named_parameters()) for network in (pair.baseline, pair.target)]
    found = []
    for row in table.itertuples():
        old, new = (weight[f"{row.layer}.weight"][row.output, row.input].detach().cpu() for weight in weights)
        found.append({"baseline": old, "target": new, "change": new - old})
    return found


def agreement(rankings: Rankings, percent: float = 1) -> pd.DataFrame:
    """Share of filters that two methods have in common in their top ``percent`` %, for each function.

    Returns:
        Columns ``filters``, ``method``, ``other``, ``overlap`` (0 to 1).
    """
    return pd.DataFrame(
        [
            {
                "filters": function,
                "method": paper.METHODS[method],
                "other": paper.METHODS[other],
                "overlap": rankings.top(method, function, percent).overlap(rankings.top(other, function, percent)),
            }
            for function in FUNCTIONS
            for method in paper.METHODS
            for other in paper.METHODS
        ]
    )


def concentration(rankings: Rankings, points: int = 200) -> pd.DataFrame:
    """How unequal the positive FAIG scores are: share of their sum held by the best p % of all filters.

    Returns:
        Columns ``filters``, ``percent``, ``share``.
    """
    rows = []
    for function in FUNCTIONS:
        scores = rankings.scores["faig", function]
        positive = scores.values[scores.ranking()].clamp(min=0)
        cumulative = positive.cumsum(0) / positive.sum()
        total = scores.index.total
        for step in torch.logspace(-3, 2, points, dtype=torch.float64).tolist():
            count = max(1, min(total, round(total * step / 100)))
            rows.append({"filters": function, "percent": 100 * count / total, "share": float(cumulative[count - 1])})
    return pd.DataFrame(rows).drop_duplicates()


def soundness(profiles: pd.DataFrame) -> pd.DataFrame:
    """What the straight path of every pair is like, from :func:`faiglib.companion.method.measure.profiles`.

    Returns:
        One row per ``network`` and ``seed``: ``barrier`` and ``barrier_level`` in dB, and ``path``, the verdict.
    """
    rows = []
    for (network, seed), points in profiles.groupby(["network", "seed"], sort=False):
        profile = PathProfile(*(tuple(points[name]) for name in ("alpha", "loss", "psnr", "psnr_level")))
        rows.append((network, seed, profile.barrier, profile.barrier_level, profile.verdict))
    return pd.DataFrame(rows, columns=["network", "seed", "barrier", "barrier_level", "path"])


@typeset
def soundness_in_words(table: pd.DataFrame) -> str:
    """How many of the paths of :func:`soundness` are of which kind."""
    counts = table["path"].value_counts()
    told = [f"{counts[kind]} {kind}" for kind in get_args(Soundness) if kind in counts]
    worst = table.loc[table["barrier"].idxmax()]
    where = f"{TITLES[worst['network']]}, seed {worst['seed']}"
    return (
        f"The paths of {counted(len(table), 'pair')} by these limits: {listed(told)}. The deepest ({where}) falls "
        f"{worst['barrier']:.2f} dB below the line between its ends, {worst['barrier_level']:.2f} dB with the means of "
        "the channels put right."
    )
