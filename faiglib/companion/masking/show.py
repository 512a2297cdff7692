"""Figures of the chapter on masking."""

from __future__ import annotations

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from torch import Tensor

from faiglib.companion import paper
from faiglib.companion.discovery import OWN_FUNCTION
from faiglib.companion.masking import measure
from faiglib.companion.masking.captions import drop_caption, in_the_paper
from faiglib.companion.page.gallery import Gallery, Shot
from faiglib.companion.page.gallery import gallery as photographs
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import FUNCTION_COLOURS, GRAY, METHOD_COLOURS, finished, heatmap, in_pairs
from faiglib.companion.page.tables import interval, plain, spread, styled
from faiglib.companion.page.words import DASH, number
from faiglib.images import registry
from faiglib.images.metrics import psnr
from faiglib.networks import TITLES

#: What decides: how many times the drop of the best other method FAIG's is.
LEAD = "FAIG ÷ best other"


@with_source
def drop_table(summary: pd.DataFrame, leads: pd.DataFrame, network: str, image_set: str) -> Styler:
    """Supp. Tables 3-6: drop ×10³ by method, measured here and in the paper, and how far FAIG is ahead.

    Args:
        summary: from :func:`faiglib.companion.masking.report.summary`.
        leads: from :func:`faiglib.companion.masking.report.leads`.
        network: registry name.
        image_set: name of the set.
    """
    chosen = summary[(summary["network"] == network) & (summary["image_set"] == image_set)]
    ahead = leads[(leads["network"] == network) & (leads["image_set"] == image_set)].set_index(["input", "percent"])
    published = in_the_paper(chosen)
    rows = []
    for (kind, percent), cells in chosen.groupby(["input", "percent"], sort=False):
        by_method = cells.set_index("method")
        row: dict[tuple[str, str], object] = {("", "input, masked"): f"{kind}, {percent:g} %"}
        faig = by_method.loc["faig"]
        lead = ahead.loc[(kind, percent)]
        row[LEAD, "here"] = f"{lead['ratio']:.1f}×"
        row[LEAD, "95 %"] = interval(lead["low"], lead["high"], 1)
        if published:
            ratio = faig["paper"] / by_method["paper"].drop("faig").max()
            row[LEAD, "paper"] = DASH if math.isnan(ratio) else f"{ratio:.1f}×"
        for method in by_method.index:
            name, cell = paper.MASKED[method], by_method.loc[method]
            row[name, "here"] = spread(cell["measured"], cell["spread"])
            if published:
                row[name, "paper"] = spread(cell["paper"], cell["paper_std"])
        row["FAIG, 95 %", "here"] = interval(faig["low"], faig["high"])
        rows.append(row)
    table = pd.DataFrame(rows)
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return styled(table, caption=drop_caption(chosen), uuid=f"masking-{network}-{image_set}", keep=(LEAD,))


@with_source
def recorded_table(cells: pd.DataFrame) -> Styler:
    """Supp. Tables 3-6 as the recorded run has them, beside the paper.

    Args:
        cells: from :func:`faiglib.companion.masking.report.recorded_cells`.
    """
    table = cells.assign(
        network=cells["network"].map(TITLES),
        image_set=cells["image_set"].map(registry.title),
        percent=cells["percent"].map("{:g} %".format),
    ).rename(columns={"image_set": "image set", "percent": "masked"}, level=0)
    numbers = table.select_dtypes("number").columns
    table[numbers] = table[numbers].map("{:.2f}".format)
    caption = "Recorded, not run here: drop ×10³ of the recorded run (profile standard) and of the paper."
    return styled(table, caption=caption, uuid="masking-recorded")


@with_source
def selectivity_table(table: pd.DataFrame, caption: str) -> Styler:
    """PSNR of target, masked target and baseline for each input and masked function."""
    shown = pd.DataFrame(
        {
            "network": table["network"].map(TITLES),
            "image set": table["image_set"].map(registry.title),
            "input": table["input"],
            "masked": table["percent"].map("{:g} %".format) + " " + table["filters"],
            "drop ×10³": table["drop"],
            "PSNR target": table["psnr_target"],
            "PSNR masked": table["psnr"],
            "brightness shift": table["luminance_shift"],
            "PSNR masked, brightness put right": table["psnr_level"],
            "PSNR baseline": table["psnr_baseline"],
        }
    )
    numbers = {name: "{:.2f}" for name in shown.columns if name.startswith(("drop", "PSNR", "brightness"))}
    return plain(shown, numbers, caption)


@with_source
def masking_curves(table: pd.DataFrame) -> Figure:
    """Main Fig. 3: drop against the proportion of masked filters; rows are networks, columns inputs."""
    means = table.groupby(["network", "input", "method", "filters", "percent", "seed"], sort=False)["drop"].mean()
    means = means.groupby(level=[0, 1, 2, 3, 4], sort=False).agg(["mean", "min", "max"]).reset_index()
    networks, kinds = list(means["network"].unique()), list(means["input"].unique())
    figure, axes = plt.subplots(
        len(networks), len(kinds), figsize=(5.2 * len(kinds), 3.6 * len(networks)), squeeze=False
    )
    for row, network in zip(axes, networks, strict=True):
        for axis, kind in zip(row, kinds, strict=True):
            chosen = means[(means["network"] == network) & (means["input"] == kind)]
            for (method, function), line in chosen.groupby(["method", "filters"], sort=False):
                if method == "random" and function != "deblurring":
                    continue
                look = {"color": GRAY, "ls": "--"} if method == "random" else {"color": FUNCTION_COLOURS[function]}
                label = "random filters" if method == "random" else f"{function} filters (FAIG)"
                axis.plot(line["percent"], line["mean"], marker="o", ms=3, label=label, **look)
                axis.fill_between(line["percent"], line["min"], line["max"], color=look["color"], alpha=0.15, lw=0)
            axis.set(
                xlabel="masked filters (%)",
                ylabel="drop (gradient MSE ×10³)",
                title=f"{TITLES[network]}, {kind} input",
            )
            axis.set_xscale("symlog", linthresh=1, linscale=0.6)
            axis.set_xticks([0, 1, 2, 5, 10, 20, 50, 100], ["0", "1", "2", "5", "10", "20", "50", "100"])
            axis.minorticks_off()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=len(labels))
    return finished(figure)


@with_source
def drop_bars(table: pd.DataFrame, image_set: str, percent: float) -> Figure:
    """Drops of the four methods, here (95 %) and, if it has them, in the paper, by network and input."""
    chosen = table[(table["image_set"] == image_set) & (table["percent"] == percent)]
    panels = list(chosen.groupby(["network", "input"], sort=False))
    figure, axes = in_pairs(len(panels), 4.2, 3.3)
    for axis, ((network, kind), rows) in zip(axes, panels, strict=True):
        place, published = np.arange(len(rows)), in_the_paper(rows)
        colours = [METHOD_COLOURS[method] for method in rows["method"]]
        axis.bar(
            place - 0.2 if published else place,
            rows["measured"],
            0.38 if published else 0.7,
            yerr=[(rows["measured"] - rows["low"]).fillna(0), (rows["high"] - rows["measured"]).fillna(0)],
            color=colours,
            label="measured here",
        )
        if published:
            axis.bar(
                place + 0.2,
                rows["paper"],
                0.38,
                yerr=rows["paper_std"],
                color=colours,
                alpha=0.35,
                hatch="//",
                label="paper",
            )
        axis.set_xticks(place, [paper.MASKED[method] for method in rows["method"]], rotation=30, ha="right")
        axis.set(ylabel="drop (gradient MSE ×10³)", title=f"{TITLES[network]}, {kind} input, {percent:g} %")
    full = max(axes, key=lambda axis: len(axis.get_legend_handles_labels()[0]))
    full.legend(frameon=False)
    return finished(figure)


@with_source
def selectivity(table: pd.DataFrame) -> Figure:
    """PSNR lost by masking, for every input and function: large on the diagonal means selective."""
    networks = list(table["network"].unique())
    percents = list(table["percent"].unique())
    figure, axes = plt.subplots(
        len(networks), len(percents), figsize=(2.9 * len(percents), 2.7 * len(networks)), squeeze=False
    )
    for row, network in zip(axes, networks, strict=True):
        for axis, percent in zip(row, percents, strict=True):
            chosen = table[(table["network"] == network) & (table["percent"] == percent)]
            loss = chosen.assign(loss=chosen["psnr_target"] - chosen["psnr"])
            matrix = loss.pivot_table(index="input", columns="filters", values="loss", sort=False)
            texts = matrix.map(number)
            heatmap(axis, matrix, texts, "Blues", vmin=0, square=True)
            axis.set(xlabel="masked filters", ylabel="input", title=f"{TITLES[network]}, {percent:g} %")
    return finished(figure)


@with_source
def gallery(rows: Mapping[str, Mapping[str, Tensor]], ground_truth: Tensor) -> Gallery:
    """Main Fig. 4: one row per network and input; the input, the restorations with PSNR, and the ground truth."""
    return photographs(_rows(rows, ground_truth))


@with_source
def galleries(scenes: Mapping[str, measure.Gallery]) -> Gallery:
    """Main Fig. 4 for more than one photograph, by name: see :func:`gallery`."""
    return photographs(
        {
            f"{name}, {scene}": row
            for scene, found in scenes.items()
            for name, row in _rows(found.rows, found.ground_truth).items()
        }
    )


def _rows(rows: Mapping[str, Mapping[str, Tensor]], ground_truth: Tensor) -> dict[str, dict[str, Shot]]:
    """PSNR, in dB, is that of the crop that is shown; a frame says that the ability for this input was taken out."""
    made = {}
    for name, images in rows.items():
        network, _, kind = name.rpartition(", ")
        own = OWN_FUNCTION.get(kind, "none")
        given, *_ = images
        made[name] = {
            title.removeprefix(f"{network}, "): Shot(
                image,
                "" if title == given else f"{float(psnr(image, ground_truth)):.1f} dB",
                own if f"{own} filters" in title else "",
            )
            for title, image in images.items()
        } | {"ground truth": Shot(ground_truth)}
    return made


@with_source
def barrier_and_selectivity(pairs: pd.DataFrame) -> Figure:
    """What either input loses against the depth of the path, a panel per function and a point per pair.

    Args:
        pairs: from :func:`faiglib.companion.masking.paths.by_pair`.
    """
    figure, axes = in_pairs(2, 4.6, 3.2, sharex=True, sharey=True)
    signs = dict(zip(pairs["network"].unique(), "osD^v", strict=False))
    for axis, (function, rows) in zip(axes, pairs.groupby("filters", sort=False), strict=True):
        for network, own in rows.groupby("network", sort=False):
            for side, colour in (("own", FUNCTION_COLOURS[function]), ("other", GRAY)):
                label = f"{TITLES[network]}, {side} input"
                axis.scatter(own["barrier"], own[side], marker=signs[network], color=colour, s=28, label=label)
        axis.set(title=f"{function} filters", xlabel="barrier (dB)", ylabel="share of the drop")
        axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=2)
    return finished(figure)
