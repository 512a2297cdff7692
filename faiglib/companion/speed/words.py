"""What the recorded study of spending says: the best ways for a budget, and how many nodes are enough."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import pandas as pd

from faiglib.attribution.resamples import CROP_SIDE, MOVED_NODES
from faiglib.companion.discovery import TOLERANCE
from faiglib.companion.page.words import counted, typeset
from faiglib.companion.speed.passes import PUBLISHED_IMAGES
from faiglib.companion.speed.recorded import WAY, RecordedStudy, fitted
from faiglib.networks import TITLES

#: How a rule places its nodes.
PLACED = {"fixed": "in the middle of equal steps", "shifted": "moved from crop to crop"}
#: What is hoped for: the published program's agreement with a data set's ranking at this share of its pixels.
GOAL_COST = 0.01
#: Crops without which a fit does not tell a bias from the chance of the crops that were drawn.
ENOUGH_CROPS = 40


def best_ways(study: RecordedStudy, costs: Sequence[float] = (0.001, 0.003, GOAL_COST, 0.03)) -> pd.DataFrame:
    """The best that was tried within some costs: no fit is followed beyond what was tried.

    Args:
        study: the recorded study.
        costs: pixels to differentiate, as shares of the published program's.

    Returns:
        One row per cost: ``share``, and what :func:`best_tried` says of it.
    """
    return pd.DataFrame([{"share": cost, **best_tried(study, cost)} for cost in costs])


def biases(study: RecordedStudy) -> pd.DataFrame:
    """What more crops do not mend, by nodes and side: 1 − cos² of the scores, mean over networks and functions.

    Returns:
        One row per ``rule`` and ``nodes``, one more column per side in HR pixels; NaN for what was not tried with
        :data:`ENOUGH_CROPS`.
    """
    enough = study.table.groupby(WAY)["crops"].transform("max") >= ENOUGH_CROPS
    fits = fitted(study.table[enough])
    return (
        fits.pivot_table(index=["rule", "nodes"], columns="side", values="bias").rename_axis(columns=None).reset_index()
    )


def fewest_nodes(study: RecordedStudy) -> tuple[int, float]:
    """The fewest midpoint nodes with which the same crops rank as well as with the most that were tried.

    Returns:
        Their number, and how much less they have in common with the reference, mean over all that was tried, at most
        :data:`faiglib.companion.discovery.TOLERANCE`.
    """
    fixed = study.table[study.table["rule"] == "fixed"]
    overlaps = fixed.groupby("nodes")["overlap"].mean().sort_index()
    behind = overlaps.iloc[-1] - overlaps
    enough = behind[behind <= TOLERANCE]
    return int(enough.index[0]), float(enough.iloc[0])


def moved_behind(study: RecordedStudy) -> tuple[int, float]:
    """How much less moved nodes, :data:`MOVED_NODES` of them, have in common with the reference than the fewest fixed.

    Returns:
        Crops of :data:`CROP_SIDE` pixels, the most that were tried with both, and the difference of what they have in
        common with the reference (0 to 1), mean of networks and functions.
    """
    nodes = {"fixed": fewest_nodes(study)[0], "shifted": MOVED_NODES}
    table = study.table[(study.table["side"] == CROP_SIDE) & (study.table["nodes"] == study.table["rule"].map(nodes))]
    overlaps = table.pivot_table(index="crops", columns="rule", values="overlap").dropna()
    most = overlaps.loc[overlaps.index.max()]
    return int(overlaps.index.max()), float(most["fixed"] - most["shifted"])


@typeset
def nodes_in_words(study: RecordedStudy) -> str:
    """How many nodes are enough for crops, in two sentences."""
    nodes, behind = fewest_nodes(study)
    most = study.table.loc[study.table["rule"] == "fixed", "nodes"].max()
    crops, lost = moved_behind(study)
    return (
        f"With the same crops, {counted(nodes, 'midpoint node')} have as much in common with the reference as {most} "
        f"have, to {100 * abs(behind):.2f} percentage points in the mean. {counted(MOVED_NODES, 'node')} "
        f"that are moved from crop to crop have {100 * abs(lost):.2f} percentage points "
        f"{'less' if lost > 0 else 'more'} than these with {crops} crops of {CROP_SIDE} pixels, at "
        f"{MOVED_NODES / nodes:.0%} of the price; “faiglib attribute --until” takes them."
    )


def best_tried(study: RecordedStudy, cost: float) -> pd.Series:
    """The cheapest of what has most in common with the reference, of all that was tried within a cost.

    Agreements that differ by at most :data:`faiglib.companion.discovery.TOLERANCE` count as equal, means of networks
    and functions; the largest ones come from a single ranking each.

    Args:
        study: the recorded study.
        cost: pixels to differentiate, as a share of the published program's, to a ten-thousandth of these.

    Returns:
        :data:`WAY`, ``crops``, ``cost``, and by network what it has in common with the reference, mean of functions.
    """
    within = study.table[study.table["cost"].round(4) <= cost]
    overlaps = within.pivot_table(index=[*WAY, "crops", "cost"], columns="network", values="overlap")
    means = overlaps.mean(axis=1)
    equal = means[means >= means.max() - TOLERANCE]
    names = min(equal.index, key=lambda names: (round(names[-1], 4), -equal[names]))
    return pd.concat([pd.Series(dict(zip(overlaps.index.names, names, strict=True))), overlaps.loc[names]])


@typeset
def spending_in_words(study: RecordedStudy) -> str:
    """Whether a hundredth of the published program's pixels finds what as many images as it has find, by network."""
    best = best_tried(study, GOAL_COST)
    told = []
    for network, ceiling in study.facts.ceiling.items():
        whole, half = (statistics.fmean(one.values()) for one in (study.facts.whole[network], ceiling))
        verdict = "reached" if best[network] >= whole else "not reached"
        told.append(f"{TITLES[network]} {best[network]:.1%} against {whole:.1%} (other half {half:.1%}), {verdict}")
    return (
        f"Of all that was tried within {GOAL_COST:.0%} of the published program's pixels, {best['crops']} crops of "
        f"{best['side']} pixels with {counted(best['nodes'], 'node')} {PLACED[best['rule']]} are the cheapest "
        f"of those that have most in common with the reference's top 1 %, to {100 * TOLERANCE:.1f} percentage points: "
        f"they take {best['cost']:.2%} of the pixels. "
        f"Against what {PUBLISHED_IMAGES} images of the other half have: {'; '.join(told)}."
    )
