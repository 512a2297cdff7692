"""How good the choice is, in tables and sentences: areas below curves, controls, and the share of the bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from faiglib.companion.faithfulness.rankings import BOUND, METHODS
from faiglib.companion.intervals import interval
from faiglib.companion.masked import side
from faiglib.companion.page.words import counted, listed, number, percent, typeset
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import TITLES

#: What curves are judged by: column of the measured table, and name in tables.
MEASURES: Mapping[str, str] = {"psnr": "PSNR, means put right", "drop": "drop"}

_CELL = ["network", "filters", "method", "way", "percent"]


def fractions(curves: pd.DataFrame, measure: str = "psnr") -> pd.DataFrame:
    """How much of the way from baseline to target a network with some filters exchanged has gone.

    Args:
        curves: from :func:`faiglib.companion.faithfulness.measure.curves`.
        measure: key of :data:`MEASURES`.

    Returns:
        One row per ``network``, ``filters``, ``method`` (the bound in place of its masks: for every proportion the mask
        that does best on the own input), ``way`` and ``percent``: ``own`` and ``other``, f = (m − m(baseline)) ÷
        (m(target) − m(baseline)) of the means over images, by input.
    """
    columns = ["psnr", "psnr_target", "psnr_baseline", "drop", "drop_baseline"]
    means = curves.assign(side=side(curves)).groupby([*_CELL, "side"], sort=False)[columns].mean()
    wide = _fraction(means, measure).unstack("side").rename_axis(columns=None).reset_index()
    masks = wide["method"].isin(list(BOUND))
    return pd.concat([wide[~masks], _best(wide[masks])], ignore_index=True)


def _fraction(values: Mapping[str, Any], measure: str) -> Any:
    """F of means by name, whatever they are: columns of a table, or arrays."""
    if measure == "drop":
        return 1 - values["drop"] / values["drop_baseline"]
    return (values["psnr"] - values["psnr_baseline"]) / (values["psnr_target"] - values["psnr_baseline"])


def _best(masks: pd.DataFrame) -> pd.DataFrame:
    """For every proportion the mask whose deletion takes most, or whose insertion brings most, on the own input."""
    signed = masks["own"].where(masks["way"] == "insertion", -masks["own"].abs())
    cells = [name for name in _CELL if name != "method"]
    chosen = signed.groupby([masks[name] for name in cells], sort=False).idxmax()
    return masks.loc[chosen].assign(method="bound")


def area(percents: npt.ArrayLike, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Mean height of curves over the logarithm of the proportion, by the trapezoidal rule.

    Args:
        percents: (n,), ascending, positive.
        values: (..., n).

    Returns:
        (...,), a number for one curve.
    """
    places = np.log(np.asarray(percents, dtype=np.float64))
    return np.asarray(np.trapezoid(np.asarray(values, dtype=np.float64), places) / (places[-1] - places[0]))


def areas(curves: pd.DataFrame, measure: str = "psnr") -> pd.DataFrame:
    """The areas by which methods are compared.

    Returns:
        One row per ``network``, ``filters`` and ``method``, in the order of
        :data:`faiglib.companion.faithfulness.rankings.METHODS`. Of insertion ``brought``, the area below f on the own
        input (1 is best), with ``low`` and ``high`` (95 % bootstrap interval over images), ``missing``, the area of
        |1 − f| there, and ``along``, that of |f| on the other input. Of deletion ``left``, the area of |f| on the own
        input, and ``spilled``, that of |1 − f| on the other. Of all but the first 0 is best.
    """
    found = fractions(curves, measure)
    rows = []
    for keys, cell in found.groupby(["network", "filters", "method"], sort=False):
        by_way = {way: rows.sort_values("percent") for way, rows in cell.groupby("way")}
        insertion, deletion = by_way["insertion"], by_way["deletion"]
        percents = insertion["percent"]
        low, high = _interval(curves, insertion, measure)
        rows.append(
            (
                *keys,
                float(area(percents, insertion["own"])),
                low,
                high,
                float(area(percents, (1 - insertion["own"]).abs())),
                float(area(percents, insertion["other"].abs())),
                float(area(percents, deletion["own"].abs())),
                float(area(percents, (1 - deletion["other"]).abs())),
            )
        )
    columns = ["network", "filters", "method", "brought", "low", "high", "missing", "along", "left", "spilled"]
    table = pd.DataFrame(rows, columns=columns)
    orders = {"network": list(dict.fromkeys(table["network"])), "filters": list(FUNCTIONS), "method": list(METHODS)}
    return table.sort_values(list(orders), key=lambda column: column.map(orders[column.name].index), ignore_index=True)


def _interval(curves: pd.DataFrame, insertion: pd.DataFrame, measure: str) -> tuple[float, float]:
    """Interval over images of the area below f of insertion on the own input; none of the bound, which is chosen."""
    first = insertion.iloc[0]
    if first["method"] == "bound":
        return (float("nan"), float("nan"))
    own = curves[side(curves) == "own"]
    for name in ("network", "filters", "method", "way"):
        own = own[own[name] == first[name]]
    points = own.pivot(index="image", columns="percent", values=measure)
    names = ["psnr_target", "psnr_baseline", "drop_baseline"]
    ends = own.groupby("image")[names].first().loc[points.index]

    def statistic(*values: npt.NDArray[np.float64], axis: int = -1) -> npt.NDArray[np.float64]:
        *heights, target, baseline, drop = (np.mean(value, axis=axis) for value in values)
        known = dict(zip(names, (target, baseline, drop), strict=True))
        return area(points.columns, np.stack([_fraction({**known, measure: one}, measure) for one in heights], axis=-1))

    return interval([table[name].to_numpy() for table in (points, ends) for name in table.columns], statistic)


@typeset
def origin_in_words(curves: pd.DataFrame, apart: float | None) -> str:
    """Which networks' trained methods were recorded before, and how far the record is from what was trained now.

    Args:
        curves: from :func:`faiglib.companion.faithfulness.measure.curves`.
        apart: from :func:`faiglib.companion.faithfulness.measure.check`.
    """
    before = [TITLES[name] for name in curves.loc[curves["recorded"], "network"].unique()]
    now = [title for title in (TITLES[name] for name in curves["network"].unique()) if title not in before]
    anew = f"Masks and waypoint of {listed(now)} were trained for this page"
    if not before:
        return f"{anew}."
    if apart is None:
        return f"{anew}, those of {listed(before)} before it, in a recorded run (`nox -s masks`)."
    return (
        f"{anew}, those of {listed(before)} before it, in a recorded run (`nox -s masks`); that run has "
        f"{listed(now)} too, and its PSNRs differ from those here by at most {number(apart, '.2g')} dB."
    )


def of_bound(table: pd.DataFrame) -> pd.DataFrame:
    """FAIG's part of what the learned masks reach.

    Args:
        table: from :func:`areas`.

    Returns:
        One row per ``network`` and ``filters``: ``faig`` and ``bound`` (areas ``brought``) and ``share``, NaN where the
        masks bring nothing.
    """
    wide = table.pivot(index=["network", "filters"], columns="method", values="brought")
    wide = wide.loc[list(dict.fromkeys(zip(table["network"], table["filters"], strict=True)))]
    result = wide[["faig", "bound"]].rename_axis(columns=None)
    return result.assign(share=result["faig"] / result["bound"].where(result["bound"] > 0)).reset_index()


def against(controls: pd.DataFrame, value: str = "drop") -> pd.DataFrame:
    """FAIG's filters against their controls, a row per ``network``, ``seed`` and ``filters``.

    Args:
        controls: from :func:`faiglib.companion.faithfulness.measure.controls`, or of
            :func:`faiglib.companion.faithfulness.measure.trainings` with the value ``gain``.
        value: column that is compared.

    Returns:
        ``faig``; by kind of control its mean (``matched`` and, where there are any, ``random``); ``effect``, FAIG's
        value over the mean of the matched ones; ``reached``, share of the matched ones that do at least as well; ``p``,
        the rank test's: (1 + their number) ÷ (1 + number of controls); ``draws``.
    """
    rows = []
    for (network, seed, function), cell in controls.groupby(["network", "seed", "filters"], sort=False):
        by_kind = {kind: one[value].to_numpy() for kind, one in cell.groupby("kind", sort=False)}
        faig, matched = float(by_kind["faig"][0]), by_kind["matched"]
        reached = int((matched >= faig).sum())
        row = {"network": network, "seed": seed, "filters": function, "faig": faig, "matched": float(matched.mean())}
        row |= {"random": float(by_kind["random"].mean())} if "random" in by_kind else {}
        row |= {"effect": faig / float(matched.mean()), "reached": reached / len(matched)}
        rows.append(row | {"p": (1 + reached) / (1 + len(matched)), "draws": len(matched)})
    return pd.DataFrame(rows)


@typeset
def controls_in_words(table: pd.DataFrame) -> str:
    """What matched controls change, in a sentence or two.

    Args:
        table: from :func:`against`.
    """
    told = []
    for function, rows in table.groupby("filters", sort=False):
        over_random, over_matched = rows["faig"] / rows["random"], rows["effect"]
        told.append(
            f"for {function}, FAIG's drop is {number(over_random.median(), '.0f')} times that of random filters in the "
            f"median pair and {number(over_matched.median(), '.1f')} times that of matched ones"
        )
    beaten = int((table["reached"] == 0).sum())
    return (
        f"Matching matters: {listed(told)}. None of the matched controls reaches FAIG's drop in {beaten} of "
        f"{counted(len(table), 'case')} (pair × function)."
    )


@typeset
def training_in_words(table: pd.DataFrame) -> str:
    """Whether re-training FAIG's locations brings back more than re-training matched ones.

    Args:
        table: from :func:`against` with the value ``gain``.
    """
    told = [
        f"for {row['filters']} {number(row['faig'])} dB against {number(row['matched'])} dB in the mean over "
        f"{counted(row['draws'], 'control')} ({percent(row['reached'])} do at least as well, p = {number(row['p'])})"
        for row in table.to_dict("records")
    ]
    title = TITLES[table["network"].iloc[0]]
    return f"Re-training FAIG's locations in the baseline of {title} brings back {listed(told)}."


@typeset
def signs_in_words(signs: pd.DataFrame, table: pd.DataFrame) -> str:
    """How many of the found filters help, and what it changes to keep these alone.

    Args:
        signs: from :func:`faiglib.companion.faithfulness.measure.signs`.
        table: from :func:`areas`.
    """
    share = signs["helpful"]
    wide = table[table["method"].isin(["faig", "helpful"])].pivot(
        index=["network", "filters"], columns="method", values=["spilled", "left"]
    )
    better = int((wide["spilled", "helpful"] < wide["spilled", "faig"]).sum())
    return (
        f"{percent(share.min())} to {percent(share.max())} of FAIG's top 1 % lower the loss on their own input as a "
        f"whole ({percent(signs['helpful_all'].min())} to {percent(signs['helpful_all'].max())} of all filters do). "
        f"Deleting the helpful ones alone spares the other input more in {better} of {counted(len(wide), 'case')}."
    )


@typeset
def winners_in_words(table: pd.DataFrame) -> str:
    """Which method is best at deleting and at inserting, over networks and functions, the bound aside.

    Args:
        table: from :func:`areas`.
    """
    rivals = table[table["method"] != "bound"]
    cells = rivals.groupby(["network", "filters"], sort=False)
    told = []
    for column, best, words in (("left", "idxmin", "taking the ability away"), ("brought", "idxmax", "bringing it")):
        winners = rivals.loc[getattr(cells[column], best)(), "method"]
        counts = winners.map(METHODS).value_counts()
        told.append(f"at {words} {listed(f'{name} ({count})' for name, count in counts.items())}")
    return f"Best over {counted(cells.ngroups, 'case')} (network × function): {'; '.join(told)}."
