"""Figures of the page on speed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import BLUE, GRAY, GREEN, ORANGE, PINK, apart, finished, in_pairs
from faiglib.companion.page.words import counted, percent
from faiglib.companion.speed.passes import PUBLISHED_IMAGES
from faiglib.companion.speed.recorded import WAY, Facts
from faiglib.companion.speed.report import GOAL_SHARE
from faiglib.networks import TITLES

#: Smaller shares are drawn here: less than one of the filters compared.
_LEAST_MISSED = 3e-4
#: Least distance of labels at the ends of lines, in decades: their height on an axis of about one and a half.
LABEL_GAP = 0.055

_PRECISIONS = {"32-true": ("float32", BLUE), "bf16-mixed": ("bfloat16", ORANGE)}


@with_source
def throughput(table: pd.DataFrame, peaks: Mapping[str, float]) -> Figure:
    """Achieved GFLOP/s by work and size, in both precisions, with the peak of each.

    Args:
        table: rows of the measurement ``throughput``.
        peaks: GFLOP/s by precision.
    """
    labels = list(dict.fromkeys(table["work"] + "\n" + table["size"].str.replace("x", "×")))
    figure, axis = plt.subplots(figsize=(1.05 * len(labels) + 3.2, 3.6))
    for offset, (precision, (title, colour)) in zip((-0.2, 0.2), _PRECISIONS.items(), strict=True):
        chosen = table[table["precision"] == precision]
        places = [labels.index(label) for label in chosen["work"] + "\n" + chosen["size"].str.replace("x", "×")]
        bars = axis.bar(np.array(places) + offset, chosen["gflops"], 0.38, color=colour, label=title)
        axis.bar_label(bars, [percent(share) for share in chosen["share"]], fontsize=8, padding=-12, color="white")
        axis.axhline(peaks[precision], color=colour, lw=1.2, ls="--", label=f"peak, {title}")
        axis.axhline(GOAL_SHARE * peaks[precision], color=colour, lw=1, ls=":", label=f"{percent(GOAL_SHARE)} of it")
    axis.set_xticks(range(len(labels)), labels, fontsize=8)
    axis.set(ylabel="GFLOP/s")
    axis.grid(axis="x", visible=False)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return finished(figure)


def _few_ticks(axis: Axes, text: Callable[[float], str]) -> None:
    """Ticks at 1, 2 and 5 of every decade of a logarithmic vertical axis, so that their labels have room."""
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=50))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.tick_params(axis="y", labelsize=8)


@with_source
def averaging(table: pd.DataFrame) -> Figure:
    """Missed share of the reference's top 1 % against the number of images averaged over, a panel per network.

    Args:
        table: the rows ``averaging`` of the measurement ``attribution``.
    """
    networks = list(table["network"].unique())
    figure, axes = plt.subplots(1, len(networks), figsize=(4.6 * len(networks) + 1.6, 3.6), squeeze=False, sharey=True)
    for axis, network in zip(axes[0], networks, strict=True):
        own = table[table["network"] == network]
        ends = own[own["images"] == own.groupby("scheme")["images"].transform("max")].set_index("scheme")["overlap"]
        heights = np.log10((1 - ends).clip(lower=_LEAST_MISSED))
        labels = dict(zip(ends.index, 10 ** np.array(apart(list(heights), LABEL_GAP)), strict=True))
        for scheme, rows in own.groupby("scheme", sort=False):
            rule, nodes = str(scheme).split(",")[0].split()
            style = {"left": ("black", "-"), "midpoint": (BLUE, "-"), "gauss-legendre": (ORANGE, "-")}[rule]
            colour, line = (PINK, ":") if "bf16" in str(scheme) else style
            shade = 1.0 if rule == "left" else min(1.0, 0.25 + int(nodes) / 25)
            missed = (1 - rows["overlap"]).clip(lower=_LEAST_MISSED)
            axis.plot(rows["images"], missed, line, color=colour, alpha=shade, marker="o", ms=3)
            axis.annotate(
                nodes,
                (rows["images"].iloc[-1], labels[scheme]),
                xytext=(4, 0),
                textcoords="offset points",
                fontsize=7,
                va="center",
                color=colour,
            )
        axis.set(xscale="log", yscale="log", title=TITLES[network], xlabel="images averaged over")
        images = sorted(table.loc[table["network"] == network, "images"].unique())
        axis.set_xticks(images, [str(one) for one in images])
        axis.xaxis.set_minor_locator(NullLocator())
        _few_ticks(axis, lambda value: f"{100 * value:.2g} %")
    axes[0, 0].set_ylabel("missed of the top 1 %")
    names = {"left, 100 nodes": ("black", "-"), "midpoint": (BLUE, "-"), "Gauss-Legendre": (ORANGE, "-")}
    names["bfloat16"] = (PINK, ":")
    handles = [Line2D([], [], color=colour, ls=line, label=name) for name, (colour, line) in names.items()]
    axes[0, -1].legend(handles=handles, frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.08, 1.0))
    return finished(figure)


@with_source
def spending(table: pd.DataFrame, facts: Facts) -> Figure:
    """Agreement with a data set's ranking against the pixels that are differentiated, a panel per network.

    Args:
        table: of the recorded study.
        facts: that go with it.
    """
    networks = list(facts.ceiling)
    figure, axes = plt.subplots(1, len(networks), figsize=(3.2 * len(networks), 3.4), squeeze=False, sharey=True)
    tried = sorted(table["nodes"].unique())
    colours = dict(zip(tried, sns.color_palette("viridis", len(tried)), strict=True))
    dots = {side: 1.5 + side / 40 for side in sorted(table["side"].unique())}
    for axis, network in zip(axes[0], networks, strict=True):
        own = table[table["network"] == network]
        means = own.groupby([*WAY, "crops", "cost"], as_index=False)["overlap"].mean()
        for (rule, nodes, side), line in means.groupby(WAY):
            style = "-" if rule == "fixed" else ":"
            axis.plot(line["cost"], line["overlap"], style, color=colours[nodes], lw=1, marker="o", ms=dots[side])
        ceiling, whole = (np.mean(list(one[network].values())) for one in (facts.ceiling, facts.whole))
        axis.axhline(ceiling, color=GRAY, ls="--", lw=1)
        axis.plot([1], [whole], "s", color="black", ms=6)
        axis.set(xscale="log", title=TITLES[network], xlabel="pixels differentiated ÷ published")
    axes[0, 0].set_ylabel("in common with the top 1 %")
    axes[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value)))
    handles = [Line2D([], [], color=colour, label=counted(nodes, "node")) for nodes, colour in colours.items()]
    handles += [
        *(
            Line2D([], [], color=GRAY, ls="", marker="o", ms=dots[end], label=f"{end} pixels")
            for end in (min(dots), max(dots))
        ),
        Line2D([], [], color="black", ls=":", label="moved from crop to crop"),
        Line2D([], [], color=GRAY, ls="--", label="other half of the images"),
        Line2D([], [], color="black", ls="", marker="s", label=f"{PUBLISHED_IMAGES} images of it"),
    ]
    figure.legend(handles=handles, frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4)
    return finished(figure)


@with_source
def scaling(table: pd.DataFrame, exponents: Mapping[str, float]) -> Figure:
    """Time of a ranking against each kind of amount, both axes logarithmic, with the fitted power law.

    Args:
        table: rows of the measurement ``scaling``.
        exponents: by kind.
    """
    figure, axes = in_pairs(len(exponents), 4.2, 3.2)
    for axis, (what, power), colour in zip(axes, exponents.items(), itertools.cycle((BLUE, ORANGE, GREEN, PINK))):
        rows = table[table["what"] == what]
        amounts, times = rows["amount"].to_numpy(), rows["seconds"].to_numpy()
        factor = np.exp(np.mean(np.log(times) - power * np.log(amounts)))
        axis.plot(amounts, factor * amounts**power, color=GRAY, lw=1, label=f"exponent {power:.2f}")
        axis.plot(amounts, times, "o", color=colour, ms=6)
        axis.set(xscale="log", yscale="log", xlabel=what, ylabel="seconds")
        axis.set_xticks(amounts, [f"{amount:,.0f}" for amount in amounts], fontsize=7, rotation=45)
        axis.xaxis.set_minor_locator(NullLocator())
        _few_ticks(axis, lambda value: f"{value:.2g}")
        axis.legend(frameon=False, fontsize=9)
    return finished(figure)


@with_source
def per_image_gradients(table: pd.DataFrame) -> Figure:
    """Time per image of the ways to per-image weight gradients, relative to one image at a time; a panel per size.

    Args:
        table: rows of the measurement ``per_image_gradients``.
    """
    crops = list(table["crop"].unique())
    ways = list(table["way"].unique())[::-1]
    figure, axes = plt.subplots(
        1, len(crops), figsize=(2.7 * len(crops) + 2.6, 0.42 * len(ways) + 1.1), squeeze=False, sharey=True
    )
    for axis, crop in zip(axes[0], crops, strict=True):
        times = table[table["crop"] == crop].set_index("way")["seconds"]
        relative = (times / times["loop"])[ways]
        bars = axis.barh(ways, relative, color=[GRAY if "bound" in way else BLUE for way in ways])
        axis.bar_label(bars, [f"{value:.2f}" for value in relative], fontsize=8, padding=-22, color="white")
        axis.axvline(1, color="black", lw=0.8)
        axis.set(title=f"{crop}×{crop}", xlabel="time ÷ loop", xlim=(0, 1.15 * relative.max()))
        axis.grid(axis="y", visible=False)
    return finished(figure)
