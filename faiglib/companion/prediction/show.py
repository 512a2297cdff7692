"""Figures of the chapter on degradation prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from faiglib.companion import paper
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import BLUE, GRAY, GREEN, ORANGE, finished, heatmap, in_pairs
from faiglib.companion.page.tables import plain, spread
from faiglib.companion.page.words import percent
from faiglib.companion.statistics import Roc
from faiglib.networks import TITLES


@with_source
def prediction(cells: pd.DataFrame, titles: Mapping[str, str], names: Mapping[str, str]) -> Styler:
    """Accuracy of degradation prediction, measured here and in the paper.

    Args:
        cells: from :func:`faiglib.companion.prediction.report.headline`.
        titles: of the image sets.
        names: of the predictors.
    """
    shown = pd.DataFrame(
        {
            "predictor": cells["predictor"].map(names),
            "network": cells["network"].map(TITLES),
            "degradation": cells["degradation"],
            "tested on": cells["image_set"].map(titles),
            "threshold": cells["threshold"],
            "accuracy": [
                spread(100 * mean, 100 * std, 1) + " %"
                for mean, std in zip(cells["accuracy"], cells["spread"], strict=True)
            ],
            "decisions": cells["decisions"],
            "95 % interval": [
                f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in zip(cells["low"], cells["high"], strict=True)
            ],
            "in the paper": cells["paper"],
        }
    )
    caption = "Intervals are those of as many independent decisions as there are images"
    return plain(shown, {"threshold": "{:.2f}", "in the paper": "{:.0%}"}, caption)


@with_source
def prediction_transfer(wide: pd.DataFrame, titles: Mapping[str, str], names: Mapping[str, str]) -> Styler:
    """Accuracy with thresholds from other sets and from the paper.

    ``wide`` is from :func:`faiglib.companion.prediction.report.transfer`; ``titles`` are those of the image sets,
    ``names`` those of the predictors.
    """
    shown = pd.DataFrame(
        {
            "predictor": wide["predictor"].map(names),
            "network": wide["network"].map(TITLES),
            "thresholds from": [
                "the paper" if source == "paper" else "its other images" if source == tested else titles[source]
                for source, tested in zip(wide["thresholds_on"], wide["image_set"], strict=True)
            ],
            "tested on": wide["image_set"].map(titles),
            "blur": wide["blur"],
            "noise": wide["noise"],
        }
    )
    return plain(shown, {"blur": "{:.1%}", "noise": "{:.1%}"})


@with_source
def prediction_areas(areas: pd.DataFrame, titles: Mapping[str, str], names: Mapping[str, str]) -> Styler:
    """AUC with its interval; columns are degradations and inputs.

    ``titles`` are those of the image sets, ``names`` those of the predictors.
    """
    text = [f"{row.auc:.3f} ({row.low:.3f} to {row.high:.3f})" for row in areas.itertuples()]
    column = areas["degradation"] + ", " + areas["inputs"] + " inputs"
    named = areas.assign(
        text=text,
        column=column,
        predictor=areas["predictor"].map(names),
        network=areas["network"].map(TITLES).fillna("–"),
        tested=areas["image_set"].map(titles),
    ).rename(columns={"tested": "tested on"})
    rows = ["predictor", "network", "tested on"]
    wide = named.pivot_table(index=rows, columns="column", values="text", aggfunc="first", sort=False)
    return plain(wide.reset_index().rename_axis(columns=None), caption="AUC (95 % interval over images)")


DEGRADATION_COLOURS = {"blur": BLUE, "noise": ORANGE}
PREDICTOR_LOOKS = {
    "pseudo": {"color": BLUE, "ls": "-"},
    "oracle": {"color": GREEN, "ls": "--"},
    "plain": {"color": GRAY, "ls": ":"},
}


@with_source
def overlaps(table: pd.DataFrame, chosen: pd.DataFrame, predictor: str = "pseudo") -> Figure:
    """Overlap scores of every image by input, one panel per network and degradation.

    Args:
        table: scores of one image set.
        chosen: thresholds that apply to them, from :func:`faiglib.companion.prediction.decisions.thresholds`.
        predictor: ``pseudo`` or ``oracle``.
    """
    table = table[table["predictor"] == predictor]
    networks, degradations = list(table["network"].unique()), list(table["degradation"].unique())
    kinds = list(table["input"].unique())
    figure, axes = plt.subplots(
        len(networks), len(degradations), figsize=(4.6 * len(degradations), 3.5 * len(networks)), squeeze=False
    )
    jitter = np.random.default_rng(0)
    for row, network in zip(axes, networks, strict=True):
        for axis, degradation in zip(row, degradations, strict=True):
            rows = table[(table["network"] == network) & (table["degradation"] == degradation)]
            colour = DEGRADATION_COLOURS[degradation]
            for place, kind in enumerate(kinds):
                points = rows[rows["input"] == kind]
                axis.scatter(
                    place + jitter.uniform(-0.22, 0.22, len(points)),
                    points["score"],
                    s=16,
                    color=colour if points["present"].iloc[0] else GRAY,
                    marker="o" if points["present"].iloc[0] else "x",
                    lw=1,
                    alpha=0.8,
                )
            limits = chosen[
                (chosen["network"] == network)
                & (chosen["degradation"] == degradation)
                & (chosen["predictor"] == predictor)
                & (chosen["inputs"] == "two")
            ]
            axis.axhline(limits["threshold"].mean(), color="black", lw=1.2, label="threshold chosen here")
            axis.axhline(
                paper.PREDICTION[degradation].threshold, color="black", lw=1.2, ls=":", label="threshold of the paper"
            )
            axis.set_xticks(range(len(kinds)), kinds)
            axis.set(
                ylim=(-0.02, 1.02),
                ylabel=f"overlap score with {degradation}",
                title=f"{TITLES[network]}: {degradation}",
            )
    axes[0, 0].legend(frameon=False, loc="upper left")
    return finished(figure)


@with_source
def accuracy_curves(table: pd.DataFrame, chosen_on: str, tested_on: str, titles: Mapping[str, str]) -> Figure:
    """Supp. Fig. 9: accuracy against the threshold, blurry and noisy input, blind predictor; one panel per network.

    Args:
        table: from :func:`faiglib.companion.prediction.decisions.curves`.
        chosen_on: set that thresholds are chosen on, drawn dashed.
        tested_on: set that accuracy is measured on, drawn solid.
        titles: of the image sets.
    """
    table = table[(table["predictor"] == "pseudo") & (table["inputs"] == "two")]
    networks = list(table["network"].unique())
    figure, axes = plt.subplots(len(networks), 1, figsize=(5.4, 3.3 * len(networks)), squeeze=False, sharex=True)
    for axis, network in zip(axes[:, 0], networks, strict=True):
        for degradation, colour in DEGRADATION_COLOURS.items():
            rows = table[(table["network"] == network) & (table["degradation"] == degradation)]
            for image_set, style in {chosen_on: "--", tested_on: "-"}.items():
                runs = rows[rows["image_set"] == image_set].groupby("threshold")["accuracy"].agg(["mean", "min", "max"])
                label = f"{degradation}, {titles[image_set]}"
                axis.plot(runs.index, runs["mean"], color=colour, ls=style, label=label)
                axis.fill_between(runs.index, runs["min"], runs["max"], color=colour, alpha=0.12, lw=0)
            published = paper.PREDICTION[degradation]
            axis.plot(published.threshold, published.accuracy, "*", color=colour, ms=12, mec="black", mew=0.6)
        axis.axhline(0.5, color=GRAY, lw=1, ls=":")
        axis.set(ylabel="accuracy", title=TITLES[network], ylim=(0.45, 1.02))
    axes[-1, 0].set_xlabel("threshold on the overlap score")
    axes[0, 0].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return finished(figure)


@with_source
def roc_curves(
    curves: Mapping[tuple[str, str, str, str, str, int], Roc],
    areas: pd.DataFrame,
    image_set: str,
    cases: Mapping[str, str],
    names: Mapping[str, str],
) -> Figure:
    """ROC of the three predictors on one image set; rows are networks, columns degradations and inputs.

    Args:
        curves: from :func:`faiglib.companion.prediction.decisions.rocs`; every training run is a line.
        areas: from :func:`faiglib.companion.prediction.decisions.areas`, for the legends.
        image_set: name of the set.
        cases: {key of the inputs: title}.
        names: of the predictors.
    """
    plain = next(network for network, predictor, *_ in curves if predictor == "plain")
    networks = list(dict.fromkeys(network for network, predictor, *_ in curves if predictor != "plain"))
    columns = [(degradation, case) for case in cases for degradation in DEGRADATION_COLOURS]
    figure, panels = in_pairs(len(networks) * len(columns), 4.2, 4.2)
    axes = np.reshape(np.array(panels), (len(networks), len(columns)))
    cells = areas[areas["image_set"] == image_set].set_index(["network", "predictor", "degradation", "inputs"])
    for line, network in zip(axes, networks, strict=True):
        for axis, (degradation, case) in zip(line, columns, strict=True):
            axis.plot([0, 1], [0, 1], color=GRAY, lw=0.6)
            for predictor, look in PREDICTOR_LOOKS.items():
                source = plain if predictor == "plain" else network
                cell = cells.loc[(source, predictor, degradation, case)]
                label = f"{names[predictor]}: {cell['auc']:.3f}"
                for key, curve in curves.items():
                    if key[:5] == (source, predictor, degradation, image_set, case):
                        axis.plot(
                            curve.false_positive_rate, curve.true_positive_rate, lw=1.8, alpha=0.85, label=label, **look
                        )
                        label = "_"
            axis.set(
                xlabel="false positive rate",
                ylabel="true positive rate",
                xlim=(-0.03, 1.03),
                ylim=(-0.03, 1.03),
                aspect="equal",
            )
            axis.set_title(f"{TITLES[network]}: {degradation},\n{cases[case]}", fontsize=9)
            axis.legend(frameon=False, fontsize=7.5, loc="lower right", title="AUC", title_fontsize=7.5)
    return finished(figure)


@with_source
def rates(table: pd.DataFrame, thresholds: Sequence[tuple[str, str]]) -> Figure:
    """How often each input is said to be blurry and noisy; framed where it is.

    Args:
        table: from :func:`faiglib.companion.prediction.decisions.rates`, one image set, without the oracle.
        thresholds: (value of ``chosen_from``, title) of the columns.
    """
    sources = list(dict.fromkeys(zip(table["network"], table["predictor"], strict=True)))
    sources.sort(key=lambda source: source[1] == "plain")
    figure, axes = plt.subplots(
        len(sources), len(thresholds), figsize=(3.4 * len(thresholds), 2.9 * len(sources)), squeeze=False
    )
    for column, (chosen_from, title) in zip(axes.T, thresholds, strict=True):
        for axis, (network, predictor) in zip(column, sources, strict=True):
            rows = table[
                (table["network"] == network)
                & (table["predictor"] == predictor)
                & (table["chosen_from"] == chosen_from)
            ]
            matrix = rows.pivot_table(index="input", columns="degradation", values="rate", sort=False)
            present = rows.pivot_table(
                index="input", columns="degradation", values="present", aggfunc="max", sort=False
            )
            texts = matrix.map(percent)
            heatmap(axis, matrix, texts, "Blues", vmin=0, vmax=1)
            for i, j in np.argwhere(present.to_numpy(dtype=bool)):
                axis.add_patch(plt.Rectangle((j + 0.04, i + 0.04), 0.92, 0.92, fill=False, ec=ORANGE, lw=2))
            name = "plain rule" if predictor == "plain" else f"{TITLES[network]}, overlap"
            axis.set(xlabel="said to show", ylabel="input")
            axis.set_title(f"{name},\n{title}", fontsize=9)
            axis.tick_params(axis="y", rotation=0)
    return finished(figure)
