"""Degradation prediction (paper, section 4.4; supp. Fig. 9): which degradation an image shows, from its filters.

The filters of the degradations are discovered on one image set, the thresholds are chosen on a second and the accuracy
is measured on the others, so that no image serves twice as long as there are three sets.

Words of the columns:
    ``degradation`` is ``blur`` or ``noise``. ``predictor`` is ``pseudo`` (overlap score, filter^x with the target's own
    output as ground truth: blind), ``oracle`` (overlap score with the true one) or ``plain`` (a rule on pixels, without
    a network). ``inputs`` is ``two`` (blurry and noisy, as in the paper) or ``four`` (clean and blurry+noisy as well).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from faiglib.companion import paper
from faiglib.companion.page.words import counted, typeset
from faiglib.companion.prediction.decisions import accuracy, areas, both_right, decisions
from faiglib.companion.prediction.measure import CASES
from faiglib.companion.prediction.roles import Roles
from faiglib.images import registry
from faiglib.networks import TITLES


def candidates(table: pd.DataFrame) -> pd.DataFrame:
    """The two ways to get a filter^x, compared image by image.

    Returns:
        One row per ``network``, ``degradation`` and ``input``: mean scores ``pseudo`` and ``oracle`` over images, sets
        and seeds, and ``difference``, the mean absolute difference of the two.
    """
    own = table[table["predictor"] != "plain"]
    keys = ["network", "seed", "degradation", "input", "image_set", "image"]
    wide = own.pivot(index=keys, columns="predictor", values="score").reset_index()
    wide["difference"] = (wide["pseudo"] - wide["oracle"]).abs()
    cells = ["network", "degradation", "input"]
    return wide.groupby(cells, sort=False)[["pseudo", "oracle", "difference"]].mean().reset_index()


def headline(cells: pd.DataFrame, parts: Roles) -> pd.DataFrame:
    """The cells of :func:`accuracy` that compare with the paper: thresholds of the set that is meant for them.

    Returns:
        Rows with thresholds from ``parts.thresholds`` on the sets of ``parts.tests``, chosen from and tested with
        blurry and noisy inputs, and the paper's ``paper`` accuracy for the overlap scores.
    """
    chosen = cells[
        (cells["thresholds_on"] == parts.thresholds)
        & cells["image_set"].isin(parts.tests)
        & (cells["chosen_from"] == "two")
        & (cells["inputs"] == "two")
    ]
    published = chosen["degradation"].map({name: one.accuracy for name, one in paper.PREDICTION.items()})
    return chosen.assign(paper=published.where(chosen["predictor"] != "plain")).reset_index(drop=True)


@dataclass(frozen=True)
class PredictionVerdict:
    """What the claim is judged by: the blind predictor on blurry and noisy input, thresholds from another set.

    Attributes:
        mean: {degradation: accuracy}, mean over networks and test sets.
        least: {degradation: accuracy} of the worst network and test set.
        least_auc: lowest lower bound of the AUC's interval.
        plain: {degradation: accuracy} of the plain rule, mean over test sets.
        four: share of clean, blurry, noisy and blurry+noisy inputs for which both are decided rightly, thresholds
            chosen from the four; mean over networks and test sets.
        four_plain: the same for the plain rule.
    """

    mean: dict[str, float]
    least: dict[str, float]
    least_auc: float
    plain: dict[str, float]
    four: float
    four_plain: float


def verdict(table: pd.DataFrame, parts: Roles) -> PredictionVerdict:
    """Condense the scores to the numbers that decide the claim.

    Args:
        table: from :func:`scores`.
        parts: from :func:`roles`.
    """
    decided = decisions(table)
    cells = headline(accuracy(decided), parts)
    whole = both_right(decided)
    whole = whole[
        (whole["thresholds_on"] == parts.thresholds)
        & whole["image_set"].isin(parts.tests)
        & (whole["chosen_from"] == "four")
    ]
    area = areas(table[table["image_set"].isin(parts.tests) & (table["predictor"] == "pseudo")])
    blind = cells[cells["predictor"] == "pseudo"].groupby("degradation")["accuracy"]
    plain = cells[cells["predictor"] == "plain"].groupby("degradation")["accuracy"]
    by_predictor = whole.groupby("predictor")["accuracy"].mean()
    return PredictionVerdict(
        mean=blind.mean().to_dict(),
        least=blind.min().to_dict(),
        least_auc=float(area.loc[area["inputs"] == "two", "low"].min()),
        plain=plain.mean().to_dict(),
        four=float(by_predictor["pseudo"]),
        four_plain=float(by_predictor["plain"]),
    )


def transfer(cells: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on blurry and noisy inputs with thresholds from every other set and with the paper's.

    Args:
        cells: from :func:`accuracy`.

    Returns:
        One row per ``predictor``, ``network``, ``thresholds_on`` and ``image_set``, with columns ``blur`` and
        ``noise``.
    """
    chosen = cells[(cells["chosen_from"] == "two") & (cells["inputs"] == "two")]
    rows = ["predictor", "network", "thresholds_on", "image_set"]
    wide = chosen.pivot_table(index=rows, columns="degradation", values="accuracy", sort=False)
    return wide.reset_index().rename_axis(columns=None)


def comparison(overlap: Mapping[str, float], plain: Mapping[str, float], margin: float = 0.02) -> str:
    """Which of overlap score and plain rule decides more inputs rightly, in words.

    Args:
        overlap: accuracy by degradation.
        plain: of the plain rule, same keys.
        margin: accuracies that differ by no more count as equal.
    """
    gains = [overlap[name] - plain[name] for name in overlap]
    if max(map(abs, gains)) <= margin:
        return "the overlap score and the plain rule do equally well"
    if min(gains) >= -margin:
        return "the overlap score does better than the plain rule"
    if max(gains) <= margin:
        return "the plain rule does better than the overlap score"
    return "the overlap score does better for one degradation and the plain rule for the other"


def difficulty(plain: Mapping[str, float], trivial: float = 0.95) -> str:
    """What the plain rule's accuracy says about the paper's task, in words.

    Args:
        plain: accuracy of the plain rule by degradation.
        trivial: at least this for both means that the task needs no network.
    """
    if min(plain.values()) >= trivial:
        return (
            "a rule on pixels decides nearly all of these inputs, so a high accuracy shows that the filters carry the "
            "information, not that it takes filters to get it"
        )
    return "a rule on pixels leaves a notable part of these inputs undecided, so the task is not a trivial one"


@typeset
def weakest(cells: pd.DataFrame) -> str:
    """The blind cell of :func:`headline` with the least accuracy, in words."""
    blind = cells[cells["predictor"] == "pseudo"]
    row = blind.loc[blind["accuracy"].idxmin()]
    return (
        f"{row['degradation']} with {TITLES[row['network']]} on {registry.title(row['image_set'])}, "
        f"{row['accuracy']:.0%} right"
    )


@typeset
def paper_thresholds(table: pd.DataFrame) -> str:
    """How the paper's thresholds lie to the blind scores of blurry and noisy inputs here, in words by network.

    Args:
        table: from :func:`scores`.
    """
    blind = table[(table["predictor"] == "pseudo") & table["input"].isin(CASES["two"]) & table["present"]]
    parts = []
    for network, rows in blind.groupby("network", sort=False):
        told = []
        for degradation, published in paper.PREDICTION.items():
            values = rows.loc[rows["degradation"] == degradation, "score"]
            told.append(f"{(values > published.threshold).mean():.0%} for {degradation} (mean {values.mean():.2f})")
        parts.append(f"{TITLES[str(network)]} {' and '.join(told)}")
    return "; ".join(parts)


#: A move of a score counts as small beside a threshold up to this part of it: scores of inputs with and without a
#: degradation lie half a threshold or more from it on average, so such a move turns only those nearer than most.
SMALL_MOVE = 0.25


@typeset
def nodes_sentence(stability: pd.DataFrame, thresholds: Mapping[str, float], named: str, factor: int = 4) -> str:
    """What more nodes do to filter sets and scores, beside the thresholds that the scores are compared with.

    Args:
        stability: from :func:`faiglib.companion.prediction.measure.stability`.
        thresholds: by degradation, of the pair that was looked at.
        named: the pair in words.
        factor: of the nodes.
    """
    names = list(thresholds)
    largest = float(stability[names].abs().max().max())
    before = {name: stability[f"{name}_score"] > thresholds[name] for name in names}
    after = {name: stability[f"{name}_score"] + stability[name] > thresholds[name] for name in names}
    turned = sum(int((before[name] != after[name]).sum()) for name in names)
    limits = " and ".join(f"{thresholds[name]:.2f} for {name}" for name in names)
    part = largest / min(thresholds.values())
    beside = (
        f"That is {part:.0%} of the lower of its thresholds ({limits})"
        if part > SMALL_MOVE
        else f"That is small beside its thresholds ({limits})"
    )
    count = len(names) * len(stability)
    meaning = (
        f"so the nodes are too few for scores near a threshold; {_turned(turned, count)}"
        if part > SMALL_MOVE
        else _turned(turned, count)
    )
    return (
        f"With {factor} times as many, at least {100 * stability['common'].min():.0f} % of a filter set stays, and no "
        f"score moves by more than {largest:.3f} ({named}, {counted(stability['image'].nunique(), 'image')}, blurry "
        f"and noisy, blind and oracle). {beside}, {meaning}."
    )


def _turned(turned: int, count: int) -> str:
    return (
        f"none of the {count} decisions on these inputs turns"
        if not turned
        else (f"{turned} of the {counted(count, 'decision')} on these inputs {'turns' if turned == 1 else 'turn'}")
    )
