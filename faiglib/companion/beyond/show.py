"""Figures of the chapter beyond the paper."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator
from pandas.io.formats.style import Styler

from faiglib.companion.beyond.measure import COMPARISONS
from faiglib.companion.discovery import DEFAULT, RELEASED
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import BLUE, FUNCTION_COLOURS, GRAY, GREEN, ORANGE, PINK, finished, heatmap, in_pairs
from faiglib.companion.page.tables import plain
from faiglib.companion.page.words import percent
from faiglib.networks import TITLES

_RULES = {
    "left": (ORANGE, "o"),
    "right": (PINK, "s"),
    "trapezoid": (GREEN, "^"),
    "midpoint": (BLUE, "D"),
    "gauss-legendre": ("black", "v"),
}

#: Smallest value drawn on the logarithmic axes: an exact agreement lies below every axis.
_FLOOR = 1e-6


@with_source
def convergence(table: pd.DataFrame) -> Figure:
    """What each rule misses against its number of nodes, a row per network; means over seeds and functions.

    Args:
        table: from :func:`faiglib.companion.beyond.integration.convergence`.
    """
    tried = table[~table["reference"]].assign(
        missed=lambda rows: 100 * (1 - rows["overlap"]), uncorrelated=lambda rows: 1 - rows["spearman"]
    )
    panels = (
        ("missed", "top 1 % not in the reference's (%)"),
        ("uncorrelated", "1 − rank correlation"),
        ("error_percent", "completeness error (%)"),
    )
    means = tried.groupby(["network", "rule", "nodes"], sort=False)[[name for name, _ in panels]].mean().reset_index()
    networks = list(means["network"].unique())
    figure, axes = plt.subplots(
        len(networks), len(panels), figsize=(3.6 * len(panels), 3.3 * len(networks)), squeeze=False
    )
    for row, network in zip(axes, networks, strict=True):
        for axis, (column, label) in zip(row, panels, strict=True):
            for rule, (colour, marker) in _RULES.items():
                line = means[(means["network"] == network) & (means["rule"] == rule)]
                values = line[column].clip(lower=_FLOOR)
                axis.plot(line["nodes"], values, color=colour, marker=marker, ms=4, lw=1.3, label=rule)
                for chosen in (DEFAULT, RELEASED):
                    if chosen[0] == rule:
                        spot = (line["nodes"] == chosen[1]).to_numpy()
                        axis.plot(line["nodes"][spot], values[spot], "o", ms=12, mfc="none", mec=colour, mew=1.5)
            axis.set(xscale="log", yscale="log", xlabel="gradients per image", ylabel=label, title=TITLES[network])
            axis.set_xticks([1, 2, 5, 10, 20, 50, 100, 200], ["1", "2", "5", "10", "20", "50", "100", "200"])
            axis.xaxis.set_minor_formatter(NullFormatter())
    axes[0, 0].legend(frameon=False, fontsize=8)
    return finished(figure)


@with_source
def sampling(table: pd.DataFrame) -> Figure:
    """Agreement with the ranking from all images at the largest crop, against images and crop, a row per network.

    Args:
        table: from :func:`faiglib.companion.beyond.sampling.sampling`.
    """
    networks = list(table["network"].unique())
    panels = {"images": "images", "crop": "crop (pixels a side)"}
    figure, axes = plt.subplots(
        len(networks), len(panels), figsize=(4.4 * len(panels), 3.3 * len(networks)), squeeze=False, sharey=True
    )
    for row, network in zip(axes, networks, strict=True):
        for axis, (varied, label) in zip(row, panels.items(), strict=True):
            for function, colour in FUNCTION_COLOURS.items():
                chosen = table[
                    (table["network"] == network) & (table["varied"] == varied) & (table["filters"] == function)
                ].sort_values("amount")
                axis.plot(chosen["amount"], chosen["overlap"], "o-", color=colour, label=f"top 1 %, {function}")
                if function == next(iter(FUNCTION_COLOURS)):  # the other's scores are the negative
                    axis.plot(chosen["amount"], chosen["spearman"], "s--", color=GRAY, label="rank correlation")
            amounts = sorted(table.loc[table["varied"] == varied, "amount"].unique())
            axis.set(xscale="log", xlabel=label, title=TITLES[network], ylim=(0, 1.03))
            axis.set_xticks(amounts, [str(amount) for amount in amounts])
            axis.xaxis.set_minor_locator(NullLocator())
        row[0].set_ylabel("in common with the reference")
    axes[0, -1].legend(frameon=False, fontsize=8, loc="lower right")
    return finished(figure)


@with_source
def threefold(table: pd.DataFrame, title: str) -> Figure:
    """What masking each set of filters costs each input, and what the sets have in common, as two matrices.

    Args:
        table: from :func:`faiglib.companion.beyond.threefold.costs`.
        title: of the pair.
    """
    figure, axes = in_pairs(2, 4.2, 3.4)
    kinds = list(dict.fromkeys(table["input"]))
    for axis, value, words in zip(axes, ("drop", "overlap"), ("share of the drop", "filters in common"), strict=True):
        matrix = table.pivot(index="filters", columns="input", values=value).loc[kinds, kinds]
        texts = matrix.map(percent)
        heatmap(axis, matrix, texts, "Blues", vmin=0, vmax=1, square=True)
        other = "input" if value == "drop" else "filters for"
        axis.set(xlabel=other, ylabel="filters for", title=f"{title}: {words}")
    return finished(figure)


@with_source
def threefold_table(table: pd.DataFrame, title: str) -> Styler:
    """PSNR of the target, without the filters for one degradation, and of the baseline, by input.

    Args:
        table: from :func:`faiglib.companion.beyond.threefold.costs`.
        title: of the pair, and what it was measured on.
    """
    by_input = table.drop_duplicates("input").set_index("input")
    shown = {"input": list(by_input.index), "PSNR target": by_input["psnr_target"].tolist()}
    for name, rows in table.groupby("filters", sort=False):
        shown[f"without the filters for {name}"] = rows.set_index("input").loc[by_input.index, "psnr"].tolist()
    shown["PSNR baseline"] = by_input["psnr_baseline"].tolist()
    made = pd.DataFrame(shown)
    return plain(made, dict.fromkeys(made.columns[1:], "{:.2f}"), title)


@with_source
def stability(summary: pd.DataFrame) -> Figure:
    """Overlap of the top 1 % between rankings that should agree: mean and range, a panel per network.

    Args:
        summary: from :func:`faiglib.companion.beyond.agreement.stability_summary`.
    """
    networks = list(summary["network"].unique())
    names = [name for name in COMPARISONS if name in set(summary["comparison"])]
    figure, axes = plt.subplots(
        len(networks), 1, figsize=(6.2, (0.5 * len(names) + 1.1) * len(networks)), squeeze=False, sharex=True
    )
    places = {name: len(names) - 1 - number for number, name in enumerate(names)}
    for axis, network in zip(axes[:, 0], networks, strict=True):
        for offset, (function, colour) in zip((0.14, -0.14), FUNCTION_COLOURS.items(), strict=True):
            rows = summary[(summary["network"] == network) & (summary["filters"] == function)]
            height = rows["comparison"].map(places) + offset
            middle = rows["overlap"]
            reach = np.stack([middle - rows["least"], rows["largest"] - middle])
            axis.errorbar(middle, height, xerr=reach, fmt="o", color=colour, ms=6, lw=1.6, label=f"{function} filters")
        axis.axvline(0.01, color=GRAY, ls=":", lw=1, label="chance")
        axis.set_yticks(list(places.values()), [COMPARISONS[name] for name in places])
        axis.set(xlim=(0, 1), title=TITLES[network])
    axes[-1, 0].set_xlabel("share of the top 1 % in common")
    axes[0, 0].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return finished(figure)
