"""The chapter's tables in the form in which verdicts are read off them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from faiglib.companion.intervals import interval
from faiglib.companion.public_pairs.pairs import CONTROL, CONTROL_INPUT, FUNCTIONS
from faiglib.companion.statistics import auc_interval, choose_threshold, roc

#: What shares are measured by: column of a table of drops, and what it is called.
MEASURES: Mapping[str, str] = {"drop": "drop", "psnr": "PSNR", "level": "PSNR, means put right"}
#: Input that the filters of a function are for, the control's among them.
OWN: Mapping[str, str] = {**{name: own for name, (own, _) in FUNCTIONS.items()}, CONTROL: CONTROL_INPUT}
#: Proportion that most of the chapter is about, in percent.
PERCENT = 1.0
#: How many convolutions count as the last layers, as in the chapter on distribution.
LAST = 2


def side(table: pd.DataFrame) -> pd.Series:
    """Of each row ``own``, ``other`` (whose attribution is eliminated) or ``third``, by ``filters`` and ``input``."""
    other = table["filters"].map({name: other for name, (_, other) in FUNCTIONS.items()})
    sides = np.select(
        [table["filters"].map(OWN) == table["input"], other == table["input"]], ["own", "other"], default="third"
    )
    return pd.Series(sides, index=table.index)


def shares(drops: pd.DataFrame, method: str = "faig", percent: float = PERCENT) -> pd.DataFrame:
    """How much of the way from target to baseline masking goes, on every input.

    Args:
        drops: from :func:`faiglib.companion.public_pairs.measure.drops`.
        method: whose filters.
        percent: of masked filters.

    Returns:
        One row per ``filters``, ``input``, ``side`` (of :func:`side`) and ``measure`` (key of :data:`MEASURES`):
        ``share``, of the drop when all filters are replaced, or of what the target is better than the baseline, NaN
        where it is no better; ``lost``, the drop ×10³ or dB that are lost. Means over images.
    """
    rows = drops[(drops["method"] == method) & (drops["percent"] == percent)]
    keys = ["filters", "input", "side"]
    means = rows.assign(side=side(rows)).groupby(keys, sort=False).mean(numeric_only=True)
    tables = []
    for measure in MEASURES:
        if measure == "drop":
            lost, most = means["drop"], means["drop_all"]
        else:
            lost = means[f"{measure}_target"] - means[measure]
            most = means[f"{measure}_target"] - means[f"{measure}_baseline"]
        share = (lost / most).where(most > 0)
        tables.append(pd.DataFrame({"measure": measure, "share": share, "lost": lost}).reset_index())
    return pd.concat(tables, ignore_index=True)


def leads(drops: pd.DataFrame) -> pd.DataFrame:
    """How far FAIG is ahead of the best of the paper's other methods on the own input.

    Returns:
        One row per ``filters`` and ``percent``: ``ratio`` of FAIG's mean drop to the largest of the others', ``low``
        and ``high`` (95 % bootstrap over images), ``best`` (of the others), and ``outcome``, as in the chapter on
        masking.
    """
    own = drops[(side(drops) == "own") & (drops["method"] != "raw") & (drops["filters"] != CONTROL)]

    def ratio(*samples: npt.NDArray[np.float64], axis: int = -1) -> npt.NDArray[np.float64]:
        first, *rest = (np.mean(sample, axis=axis) for sample in samples)
        return np.asarray(first / np.max(rest, axis=0))

    rows = []
    for keys, cell in own.groupby(["filters", "percent"], sort=False):
        wide = cell.pivot(index="image", columns="method", values="drop")
        others = wide.drop(columns="faig")
        samples = [wide["faig"].to_numpy(), *(others[name].to_numpy() for name in others)]
        low, high = interval(samples, ratio)
        outcome = "ahead" if low > 1 else "behind" if high < 1 else "tie"
        rows.append((*keys, float(ratio(*samples)), low, high, others.mean().idxmax(), outcome))
    return pd.DataFrame(rows, columns=["filters", "percent", "ratio", "low", "high", "best", "outcome"])


def chance(drops: pd.DataFrame) -> pd.DataFrame:
    """What random filters do to the own input: by ``filters`` ``share`` of FAIG's drop, ``change`` of PSNR in dB."""
    own = drops[(side(drops) == "own") & (drops["percent"] == PERCENT) & (drops["filters"] != CONTROL)]
    means = own.groupby(["filters", "method"], sort=False).mean(numeric_only=True)
    random, faig = (means.xs(method, level="method") for method in ("random", "faig"))
    table = pd.DataFrame({"share": random["drop"] / faig["drop"], "change": random["psnr"] - random["psnr_target"]})
    return table.reset_index()


def elimination(drops: pd.DataFrame) -> pd.DataFrame:
    """Selectivity, drop on the own input over that on the other, with and without elimination.

    Returns:
        One row per ``filters`` and ``percent``: ``with`` and ``without``.
    """
    chosen = drops[drops["method"].isin(["faig", "raw"]) & drops["filters"].isin(list(FUNCTIONS))]
    keys = ["filters", "percent", "method"]
    means = chosen.assign(side=side(chosen)).groupby([*keys, "side"], sort=False)["drop"].mean().unstack("side")
    wide = (means["own"] / means["other"]).unstack("method").rename(columns={"faig": "with", "raw": "without"})
    return wide.rename_axis(columns=None).reset_index()


def against(controls: pd.DataFrame) -> pd.DataFrame:
    """FAIG's filters against controls on the own input.

    Returns:
        One row per ``filters``: mean drops ``faig``, ``matched`` and ``random``, ``effect`` (FAIG's over the matched
        ones'), ``reached``, the share of matched controls with as large a drop, and ``draws``.
    """
    rows = []
    for function, cell in controls.groupby("filters", sort=False):
        by_kind = {kind: one["drop"].to_numpy() for kind, one in cell.groupby("kind", sort=False)}
        faig, matched = float(by_kind["faig"][0]), by_kind["matched"]
        means = float(matched.mean()), float(by_kind["random"].mean())
        rows.append((function, faig, *means, faig / means[0], float((matched >= faig).mean()), len(matched)))
    return pd.DataFrame(rows, columns=["filters", "faig", "matched", "random", "effect", "reached", "draws"])


def knobs(sweep: pd.DataFrame) -> pd.DataFrame:
    """How continuous the knobs are from λ = 0 to 1 on their own input.

    Returns:
        One row per ``filters``: ``approaches``, the share of steps of single images that lead nearer to the target's
        output, and ``curve_approaches``, whether every step of the mean does; ``rises``, the share of steps in which
        PSNR rises; ``gained`` (dB from λ = 0 to 1); and ``other_moved`` (dB, largest distance of the other input's mean
        PSNR from that at λ = 1).
    """
    rows = []
    for function, cell in sweep.groupby("filters", sort=False):
        own = cell[side(cell) == "own"].pivot(index="lambda", columns="image", values=["distance", "psnr"])
        aside = cell[side(cell) == "other"].groupby("lambda")["psnr"].mean()
        nearer, better = np.diff(own["distance"], axis=0) < 0, np.diff(own["psnr"], axis=0) > 0
        means = own.T.groupby(level=0).mean().T
        curve = bool((np.diff(means["distance"]) < 0).all())
        gained = float(means["psnr"].iloc[-1] - means["psnr"].iloc[0])
        moved = float((aside - aside.iloc[-1]).abs().max())
        rows.append((function, float(nearer.mean()), curve, float(better.mean()), gained, moved))
    columns = ["filters", "approaches", "curve_approaches", "rises", "gained", "other_moved"]
    return pd.DataFrame(rows, columns=columns)


def predicted(overlaps: pd.DataFrame) -> pd.DataFrame:
    """Whether overlaps tell noisy from compressed, by ``filters``.

    Returns:
        ``accuracy``, each image being judged by the threshold that does best on all others; ``auc`` with ``low`` and
        ``high`` (95 % bootstrap over images); ``images``.
    """
    rows = []
    for function, cell in overlaps.groupby("filters", sort=False):
        right = []
        for name, one in cell.groupby("image", sort=False):
            rest = cell[cell["image"] != name]
            limit = choose_threshold(rest["score"], rest["present"]).value
            right += ((one["score"] > limit) == one["present"]).tolist()
        auc = roc(cell["score"], cell["present"]).auc
        ends = auc_interval(cell["score"], cell["present"], cell["image"])
        rows.append((function, float(np.mean(right)), auc, *ends, cell["image"].nunique()))
    return pd.DataFrame(rows, columns=["filters", "accuracy", "auc", "low", "high", "images"])


def spread(layers: pd.DataFrame) -> pd.DataFrame:
    """How even the filters lie before the last layers, and what these hold.

    Returns:
        One row per ``filters``: ``uneven``, the share of the filters before the last layers that would have to move to
        lie evenly there; ``last`` and ``last_even``, what the last :data:`LAST` layers hold, and would in an even
        spread.
    """
    rows = []
    for function, cell in layers.groupby("filters", sort=False):
        head, tail = cell.iloc[:-LAST], cell.iloc[-LAST:]
        found, even = (head[name] / max(head[name].sum(), 1e-12) for name in ("share", "even"))
        uneven = float((found - even).abs().sum() / 2)
        rows.append((function, uneven, float(tail["share"].sum()), float(tail["even"].sum())))
    return pd.DataFrame(rows, columns=["filters", "uneven", "last", "last_even"])


def by_pair(everywhere: pd.DataFrame) -> pd.DataFrame:
    """One row per pair and way of :func:`faiglib.companion.public_pairs.paths.everywhere`.

    Returns:
        ``pair``, ``network``, ``place``, ``kind``, ``way``, ``barrier``, ``distance`` and ``cosine``, and over both
        functions: ``selectivity``, the geometric mean of the drops on own over other input, ``spill``, the larger share
        of its drop that the other input loses, ``spilled``, the larger loss there in dB, and ``gain``, the smaller of
        what the target gains over the baseline on the own inputs, dB.
    """
    table = everywhere.assign(ratio=np.log(everywhere["drop_own"] / everywhere["drop_other"]))
    keys = ["pair", "network", "place", "kind", "way"]
    grouped = table.groupby(keys, sort=False)
    found = grouped[["barrier", "distance", "cosine"]].first()
    found["selectivity"] = np.exp(grouped["ratio"].mean())
    found["spill"], found["spilled"] = grouped["share_other"].max(), grouped["lost_other"].max()
    found["gain"] = grouped["gain_own"].min()
    return found.reset_index()


def relation(pairs: pd.DataFrame, column: str = "barrier", value: str = "selectivity") -> tuple[float, float, int]:
    """Spearman's rank correlation of two columns over the pairs of :func:`counted`: ρ, p and the number of pairs.

    The first two are NaN where a column has one value.

    Args:
        pairs: from :func:`by_pair`.
        column: ``barrier`` or ``distance``.
        value: ``selectivity`` or ``spilled``.
    """
    table = counted(pairs).dropna(subset=[column])
    if min(table[column].nunique(), table[value].nunique()) < 2:
        return math.nan, math.nan, len(table)
    found = stats.spearmanr(table[column], table[value])
    return float(found.statistic), float(found.pvalue), len(table)


def within_networks(pairs: pd.DataFrame, draws: int = 10_000) -> float:
    """How often the rank correlation of depth and selectivity would be as low if within a network it were chance: p.

    Depths are exchanged among the pairs of each network, seeded; so what networks have in common counts for nothing.

    Args:
        pairs: from :func:`by_pair`.
        draws: exchanges.
    """
    table = counted(pairs)
    depth, chosen = (stats.rankdata(table[name]) for name in ("barrier", "selectivity"))
    generator, drawn = np.random.default_rng(0), np.empty((draws, len(table)))
    for places in table.reset_index(drop=True).groupby("network").groups.values():
        order = generator.random((draws, len(places))).argsort(axis=1)
        drawn[:, places] = depth[np.asarray(places)][order]
    reached = drawn @ chosen <= depth @ chosen + 1e-9
    return float((1 + reached.sum()) / (1 + draws))


def counted(pairs: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`by_pair` that question (n) is about: straight ways of known depth, without the control."""
    straight = pairs[(pairs["way"] == "straight") & (pairs["place"] != "control")]
    return straight.dropna(subset=["barrier", "selectivity"])
