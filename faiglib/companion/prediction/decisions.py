"""Thresholds, decisions, accuracy and ROC from overlap scores."""

from __future__ import annotations

import numpy as np
import pandas as pd

from faiglib.companion import paper
from faiglib.companion.prediction.measure import CASES, DEGRADATIONS, RUN
from faiglib.companion.prediction.roles import Roles
from faiglib.companion.statistics import Roc, accuracy_curve, auc_interval, choose_threshold, roc, wilson_interval


def thresholds(table: pd.DataFrame) -> pd.DataFrame:
    """The best threshold of every trained pair, predictor and degradation, on each set by itself.

    Args:
        table: from :func:`scores`.

    Returns:
        One row per ``network``, ``seed``, ``predictor``, ``degradation``, ``image_set`` and ``inputs``: ``threshold``,
        ``low`` and ``high`` (the range that does as well), ``accuracy`` (share of right decisions on this very set).
    """
    rows = []
    for case, kinds in CASES.items():
        chosen = table[table["input"].isin(kinds)]
        for group, images in chosen.groupby([*RUN, "image_set"], sort=False):
            best = choose_threshold(images["score"], images["present"])
            row = dict(zip([*RUN, "image_set"], group, strict=True))
            found = {"threshold": best.value, "low": best.low, "high": best.high, "accuracy": best.accuracy}
            rows.append({**row, "inputs": case, **found})
    return pd.DataFrame(rows)


def decisions(table: pd.DataFrame) -> pd.DataFrame:
    """What is predicted for every image, with thresholds from every other set and with the paper's.

    Where there is one set only, the threshold for an image is chosen on the other images of that set.

    Args:
        table: from :func:`scores`.

    Returns:
        The rows of ``table`` once per ``thresholds_on`` (image set, or ``paper``) and ``chosen_from`` (``two`` or
        ``four`` inputs), with ``threshold``, ``predicted`` and ``right``.
    """
    best = thresholds(table).drop(columns=["low", "high", "accuracy"])
    best = best.rename(columns={"image_set": "thresholds_on", "inputs": "chosen_from"})
    merged = table.merge(best, on=RUN)
    merged = merged[merged["image_set"] != merged["thresholds_on"]]
    if table["image_set"].nunique() == 1:
        merged = _leave_one_out(table)
    own = table[table["predictor"] != "plain"]
    published = own.assign(
        thresholds_on="paper",
        chosen_from="two",
        threshold=own["degradation"].map({name: one.threshold for name, one in paper.PREDICTION.items()}),
    )
    result = pd.concat([merged, published], ignore_index=True)
    result["predicted"] = result["score"] > result["threshold"]
    return result.assign(right=result["predicted"] == result["present"])


def _leave_one_out(table: pd.DataFrame) -> pd.DataFrame:
    """Each image with the thresholds that are best on the others."""
    parts = []
    for image in table["image"].unique():
        is_image = table["image"] == image
        best = thresholds(table[~is_image]).drop(columns=["low", "high", "accuracy"])
        best = best.rename(columns={"image_set": "thresholds_on", "inputs": "chosen_from"})
        parts.append(table[is_image].merge(best, on=RUN))
    return pd.concat(parts, ignore_index=True)


def accuracy(decided: pd.DataFrame) -> pd.DataFrame:
    """Share of right decisions: per training run, then mean and standard deviation over runs.

    Args:
        decided: from :func:`decisions`.

    Returns:
        One row per ``network``, ``predictor``, ``degradation``, ``thresholds_on``, ``image_set``, ``chosen_from`` and
        ``inputs`` (tested with): ``accuracy``, ``spread`` (over seeds; NaN for one), ``seeds``, ``decisions`` (of one
        seed), ``images``, ``low`` and ``high`` (95 % interval of Wilson for as many decisions as images: those on one
        image, blurry and noisy, are not independent), ``threshold`` (mean over seeds).
    """
    cells = ["network", "predictor", "degradation", "thresholds_on", "image_set", "chosen_from", "inputs"]
    tested = pd.concat([decided[decided["input"].isin(kinds)].assign(inputs=case) for case, kinds in CASES.items()])
    runs = tested.groupby([*cells, "seed"], sort=False).agg(
        accuracy=("right", "mean"),
        decisions=("right", "size"),
        images=("image", "nunique"),
        threshold=("threshold", "mean"),
    )
    grouped = runs.groupby(cells, sort=False)
    result = grouped.mean()
    result[["decisions", "images"]] = grouped[["decisions", "images"]].first()
    result["spread"], result["seeds"] = grouped["accuracy"].std(), grouped.size()
    bounds = [wilson_interval(row.accuracy * row.images, row.images) for row in result.itertuples()]
    result["low"], result["high"] = np.transpose(bounds)
    return result.reset_index()


def rates(decided: pd.DataFrame) -> pd.DataFrame:
    """How often each kind of input is said to be blurry, and noisy.

    Args:
        decided: from :func:`decisions`.

    Returns:
        One row per ``network``, ``predictor``, ``thresholds_on``, ``chosen_from``, ``image_set``, ``input`` and
        ``degradation``: ``rate``, the share of images (all seeds) predicted to show the degradation, and ``present``.
    """
    cells = ["network", "predictor", "thresholds_on", "chosen_from", "image_set", "input", "degradation"]
    grouped = decided.groupby(cells, sort=False)
    return grouped.agg(rate=("predicted", "mean"), present=("present", "first")).reset_index()


def blind_rates(table: pd.DataFrame, parts: Roles) -> dict[str, float]:
    """What the blind predictor says of clean and of blurry+noisy inputs, mean over networks and tested sets.

    Args:
        table: from :func:`rates`.
        parts: from :func:`roles`.

    Returns:
        Shares ``clean_blur``, ``clean_noise``, ``both_blur``, ``both_noise``, with thresholds from blurry and noisy
        inputs of ``parts.thresholds``.
    """
    chosen = table[
        (table["predictor"] == "pseudo")
        & (table["thresholds_on"] == parts.thresholds)
        & (table["chosen_from"] == "two")
        & table["image_set"].isin(parts.tests)
    ]
    means = chosen.groupby(["input", "degradation"])["rate"].mean()
    names = {"clean": "clean", "blurry+noisy": "both"}
    return {f"{name}_{one}": float(means[kind, one]) for kind, name in names.items() for one in DEGRADATIONS}


def both_right(decided: pd.DataFrame) -> pd.DataFrame:
    """Share of inputs of all four kinds for which blur and noise are both decided rightly; chance is a quarter.

    Returns:
        One row per ``network``, ``predictor``, ``thresholds_on``, ``image_set`` and ``chosen_from``: ``accuracy``, the
        mean over images and seeds.
    """
    cells = ["network", "predictor", "thresholds_on", "image_set", "chosen_from"]
    whole = decided.groupby([*cells, "seed", "image", "input"], sort=False)["right"].all()
    return whole.groupby(cells, sort=False).mean().rename("accuracy").reset_index()


def curves(table: pd.DataFrame, points: int = 101) -> pd.DataFrame:
    """Accuracy against the threshold on the overlap score (supp. Fig. 9).

    Args:
        table: from :func:`scores`.
        points: thresholds from 0 to 1.

    Returns:
        One row per ``network``, ``predictor``, ``degradation``, ``image_set``, ``inputs``, ``seed`` and ``threshold``:
        ``accuracy``.
    """
    grid = np.linspace(0, 1, points)
    parts = []
    for case, kinds in CASES.items():
        chosen = table[table["input"].isin(kinds) & (table["predictor"] != "plain")]
        for group, images in chosen.groupby([*RUN, "image_set"], sort=False):
            values = accuracy_curve(images["score"], images["present"], grid)
            row = dict(zip([*RUN, "image_set"], group, strict=True))
            parts.append(pd.DataFrame({**row, "inputs": case, "threshold": grid, "accuracy": values}))
    return pd.concat(parts, ignore_index=True)


def rocs(table: pd.DataFrame) -> dict[tuple[str, str, str, str, str, int], Roc]:
    """The ROC of every training run: {(network, predictor, degradation, image set, inputs, seed): curve}."""
    found = {}
    for case, kinds in CASES.items():
        chosen = table[table["input"].isin(kinds)]
        for (network, seed, *rest), images in chosen.groupby([*RUN, "image_set"], sort=False):
            found[network, *rest, case, seed] = roc(images["score"], images["present"])
    return found


def areas(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Area under the ROC with a bootstrap interval over images.

    Args:
        table: from :func:`scores`.
        level: of the interval.

    Returns:
        One row per ``network``, ``predictor``, ``degradation``, ``image_set`` and ``inputs``: ``auc`` (mean over
        seeds), ``low`` and ``high``, ``seeds``, ``images``.
    """
    cells = ["network", "predictor", "degradation", "image_set"]
    rows = []
    for case, kinds in CASES.items():
        chosen = table[table["input"].isin(kinds)]
        for group, images in chosen.groupby(cells, sort=False):
            wide = images.pivot(index=["image", "input", "present"], columns="seed", values="score")
            names, present = wide.index.get_level_values("image"), wide.index.get_level_values("present")
            runs = wide.to_numpy().T
            low, high = auc_interval(runs, present, names, level=level)
            row = dict(zip(cells, group, strict=True))
            found = {
                "auc": float(np.mean([roc(run, present).auc for run in runs])),
                "low": low,
                "high": high,
                "seeds": len(runs),
                "images": names.nunique(),
            }
            rows.append({**row, "inputs": case, **found})
    return pd.DataFrame(rows)
