"""Figures of the chapter on where the discovered filters sit."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from faiglib.companion import paper
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import FUNCTION_COLOURS, GRAY, finished, in_pairs
from faiglib.companion.page.tables import plain
from faiglib.networks import TITLES


@with_source
def depths(centroids: pd.DataFrame) -> Styler:
    """Mean depth of deblurring and denoising filters and their difference, with intervals, beside an even spread.

    Args:
        centroids: from :func:`faiglib.companion.distribution.report.centroids`, one method.
    """
    basis = {"seeds": "t over {} fine-tuning runs", "filters": "bootstrap over filters"}
    shown = pd.DataFrame(
        {
            "network": centroids["network"].map(TITLES),
            "filters": centroids["filters"].replace("difference", "deblurring − denoising"),
            "mean depth": centroids["centroid"].map("{:.3f}".format),
            "95 % interval": [f"{row.low:.3f} to {row.high:.3f}" for row in centroids.itertuples()],
            "even spread": centroids["uniform"].map("{:.3f}".format),
            "interval from": [basis[row.interval].format(row.seeds) for row in centroids.itertuples()],
        }
    )
    return plain(shown)


@with_source
def layer_spread(spread: pd.DataFrame) -> Styler:
    """How unevenly the sets lie and what the last layers hold, by network, method and function.

    Args:
        spread: from :func:`faiglib.companion.distribution.report.spread`.
    """
    chosen = spread[spread["method"].isin(["faig", "random"])]
    shown = pd.DataFrame(
        {
            "network": chosen["network"].map(TITLES),
            "chosen by": chosen["method"].map(paper.METHODS),
            "filters": chosen["filters"],
            "uneven": chosen["uneven"].map("{:.0%}".format),
            "in the last two layers": chosen["last_share"].map("{:.1%}".format),
            "even spread": chosen["last_uniform"].map("{:.1%}".format),
            "ratio": chosen["last_ratio"].map("{:.1f}×".format),
            "in the output layer": chosen["output_share"].map("{:.2%}".format),
            "part of the output layer": chosen["output_fraction"].map("{:.1%}".format),
        }
    )
    return plain(shown)


@with_source
def filter_map(table: pd.DataFrame, layers: pd.DataFrame) -> Figure:
    """Main Fig. 7: every discovered filter of each network's first seed at its place, one panel per function.

    A layer is a column; within it outputs go from top to bottom and inputs from left to right.

    Args:
        table: from :func:`faiglib.companion.distribution.measure.locations`.
        layers: from :func:`faiglib.companion.distribution.measure.shares`, for the names of all layers.
    """
    networks = list(table["network"].unique())
    functions = list(FUNCTION_COLOURS)
    figure, axes = plt.subplots(
        2 * len(networks), 1, figsize=(10, 4.6 * len(networks)), squeeze=False, layout="constrained"
    )
    panels = iter(axes[:, 0])
    for network in networks:
        rows = table[table["network"] == network]
        rows = rows[rows["seed"] == rows["seed"].iloc[0]]
        names = layers[layers["network"] == network].drop_duplicates("number")["layer"].tolist()
        for function in functions:
            axis = next(panels)
            found = rows[rows["filters"] == function]
            axis.scatter(
                found["number"] + 0.86 * (found["input"] - 0.5),
                found["output"],
                s=3,
                lw=0,
                color=FUNCTION_COLOURS[function],
                rasterized=True,
            )
            for number in range(0, len(names), 2):
                axis.axvspan(number - 0.5, number + 0.5, color="black", alpha=0.04, lw=0)
            axis.set(
                xlim=(-0.5, len(names) - 0.5),
                ylim=(1, 0),
                ylabel="output channel",
                title=f"{TITLES[network]}: {len(found):,} {function} filters",
            )
            axis.set_yticks([0, 1], ["first", "last"])
            axis.grid(False)
            _name_layers(axis, names, function == functions[-1])
    return finished(figure, tight=False)


@with_source
def layer_bars(table: pd.DataFrame) -> Figure:
    """Share of the set in each layer (mean and range over seeds) against an even spread, a panel per function."""
    chosen = table[table["method"] == "faig"]
    networks, functions = list(chosen["network"].unique()), list(FUNCTION_COLOURS)
    figure, axes = plt.subplots(
        2 * len(networks), 1, figsize=(10, 4.4 * len(networks)), squeeze=False, layout="constrained"
    )
    panels = iter(axes[:, 0])
    for network in networks:
        for function in functions:
            axis = next(panels)
            rows = chosen[(chosen["network"] == network) & (chosen["filters"] == function)]
            layers = rows.groupby("number")[["share", "uniform"]].agg(["mean", "min", "max"])
            share, even = 100 * layers["share"], 100 * layers["uniform", "mean"]
            axis.bar(
                layers.index,
                share["mean"],
                yerr=[share["mean"] - share["min"], share["max"] - share["mean"]],
                color=FUNCTION_COLOURS[function],
                error_kw={"lw": 1, "ecolor": "black"},
                label=f"{function} filters",
            )
            axis.hlines(
                even, layers.index - 0.45, layers.index + 0.45, color="black", ls="-", lw=1.4, label="even spread"
            )
            axis.set(ylabel="share of the set (%)", xlim=(-0.6, len(layers) - 0.4))
            axis.set_title(f"{TITLES[network]}, {function} filters")
            axis.grid(False, axis="x")
            axis.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8)
            names = rows.drop_duplicates("number")["layer"].tolist()
            _name_layers(axis, names, function == functions[-1])
    return finished(figure, tight=False)


@with_source
def depth_curves(table: pd.DataFrame) -> Figure:
    """Share of the set found up to a place in the network, a line per seed; the diagonal is an even spread."""
    chosen = table[table["method"] == "faig"]
    networks = list(chosen["network"].unique())
    figure, axes = in_pairs(len(networks), 4.6, 4.1)
    for axis, network in zip(axes, networks, strict=True):
        rows = chosen[chosen["network"] == network]
        axis.plot([0, 100], [0, 100], color=GRAY, ls="--", lw=1, label="even spread")
        for function, colour in FUNCTION_COLOURS.items():
            for number, (_, layers) in enumerate(rows[rows["filters"] == function].groupby("seed")):
                axis.plot(
                    100 * np.append(0, layers["uniform"].cumsum()),
                    100 * np.append(0, layers["share"].cumsum()),
                    color=colour,
                    lw=1.8,
                    marker="o",
                    ms=2.5,
                    alpha=0.9,
                    label=f"{function} filters" if number == 0 else None,
                )
        axis.set(
            xlabel="filters of the network passed (%)",
            ylabel="filters of the set found (%)",
            title=TITLES[network],
            xlim=(0, 100),
            ylim=(0, 100),
            aspect="equal",
        )
    _legend_below(figure)
    return finished(figure)


@with_source
def centroids(table: pd.DataFrame) -> Figure:
    """Mean depth of the sets of the four methods with its interval, against that of an even spread."""
    networks, methods = list(table["network"].unique()), list(paper.METHODS)
    figure, axes = in_pairs(len(networks), 5.2, 2.9)
    for axis, network in zip(axes, networks, strict=True):
        rows = table[(table["network"] == network) & (table["filters"] != "difference")]
        axis.axvline(rows["uniform"].iloc[0], color=GRAY, ls="--", lw=1, label="even spread")
        for shift, (function, colour) in zip((-0.13, 0.13), FUNCTION_COLOURS.items(), strict=True):
            places = rows[rows["filters"] == function].set_index("method").loc[methods]
            axis.errorbar(
                places["centroid"],
                np.arange(len(methods)) + shift,
                xerr=[places["centroid"] - places["low"], places["high"] - places["centroid"]],
                fmt="o",
                ms=5,
                capsize=3,
                color=colour,
                label=f"{function} filters",
            )
        axis.set_yticks(range(len(methods)), list(paper.METHODS.values()))
        axis.set(ylim=(len(methods) - 0.5, -0.5), xlim=(0, 1), xlabel="mean depth (0: first, 1: last layer)")
        axis.set_title(TITLES[network])
        axis.grid(False, axis="y")
    _legend_below(figure)
    return finished(figure)


def _name_layers(axis: Axes, names: list[str], labelled: bool) -> None:
    """Ticks at the layers, with upright names where they are wanted."""
    axis.set_xticks(range(len(names)), names if labelled else [""] * len(names), rotation=90, fontsize=7)


def _legend_below(figure: Figure) -> None:
    """One legend for all panels, below them; labels may go on two lines where there is one panel."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = len(labels) if len(figure.axes) > 1 else 2
    figure.legend(handles, labels, loc="upper center", ncols=columns, frameon=False, bbox_to_anchor=(0.5, 0.02))
