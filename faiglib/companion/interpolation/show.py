"""Figures of the chapter on interpolation: λ as a knob."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas.io.formats.style import Styler
from torch import Tensor

from faiglib.companion.page.gallery import Gallery, gallery
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import FUNCTION_COLOURS, GRAY, INPUT_COLOURS, PINK, finished, heatmap, in_pairs
from faiglib.companion.page.tables import plain
from faiglib.networks import TITLES


@with_source
def control(control: pd.DataFrame) -> Styler:
    """What turning a knob from λ = 0 to 1 does, and how evenly.

    Args:
        control: from :func:`faiglib.companion.interpolation.report.control`.
    """
    measures = {"sharpness": "mean gradient", "noise": "residual noise"}
    shown = pd.DataFrame(
        {
            "network": control["network"].map(TITLES),
            "filters (measure)": control["filters"] + " (" + control["effect"].map(measures) + ")",
            "λ = 0": control["at_0"].map("{:.2f}".format),
            "λ = 1": control["at_1"].map("{:.2f}".format),
            "ground truth": control["truth"].map("{:.2f}".format),
            "steps the right way": control["monotone"].map("{:.0%}".format),
            "largest step": control["largest_step"],
            "steepest ÷ even": control["steepest"],
            "half at λ": control["halfway"],
            "10 to 90 % at λ": [
                "–" if math.isnan(row.started) else f"{row.started:.2f} to {row.finished:.2f}"
                for row in control.itertuples()
            ],
            "PSNR, λ 0 to 1 (dB)": control["gained"].map("{:+.2f}".format),
            "other input moves (dB)": control["other_moved"].map("{:.2f}".format),
        }
    )
    return plain(shown, {"largest step": "{:.0%}", "steepest ÷ even": "{:.1f}", "half at λ": "{:.2f}"})


@with_source
def best_lambda(summary: pd.DataFrame) -> Styler:
    """Where PSNR is highest, by network and knob.

    Args:
        summary: from :func:`faiglib.companion.interpolation.report.best_summary`.
    """
    shown = pd.DataFrame(
        {
            "network": summary["network"].map(TITLES),
            "filters": summary["filters"],
            "images (all seeds)": summary["images"],
            "median λ": summary["median"].map("{:g}".format),
            "best below 1": summary["below"].map("{:.0%}".format),
            "best above 1": summary["above"].map("{:.0%}".format),
            "mean gain over λ = 1 (dB)": summary["mean_gain"].map("{:.3f}".format),
            "largest gain (dB)": summary["largest_gain"].map("{:.3f}".format),
        }
    )
    return plain(shown)


@with_source
def both_knobs(separation: pd.DataFrame) -> Styler:
    """PSNR in dB with neither, one and both knobs at 1, and at the best setting, on blurry and noisy input.

    Args:
        separation: from :func:`faiglib.companion.interpolation.report.separation`.
    """
    shown = pd.DataFrame(
        {
            "network": separation["network"].map(TITLES),
            "both λ = 0": separation["off"],
            "deblurring 1": separation["deblurring"],
            "denoising 1": separation["denoising"],
            "both λ = 1": separation["both"],
            "gains of single knobs, summed": separation["sum_of_gains"],
            "gain of both": separation["joint_gain"],
            "best setting": [
                f"{row.best_deblurring:g} / {row.best_denoising:g}: {row.best_psnr:.2f}"
                for row in separation.itertuples()
            ],
        }
    )
    return plain(shown, dict.fromkeys(shown.columns[1:-1], "{:.2f}"))


#: What a knob changes, its axis label and the input it is measured on, by function.
_EFFECTS = {
    "deblurring": ("sharpness", "mean gradient (levels)", "blurry"),
    "denoising": ("noise", "residual noise (levels)", "noisy"),
}


@with_source
def strip(images: Mapping[str, Tensor], title: str, columns: int = 6) -> Gallery:
    """Supp. Figs. 10 and 11: pictures in reading order, under their λ."""
    names = {"λ = 0": "λ = 0 (masked)", "λ = 1": "λ = 1 (target)"}
    return gallery({title: {names.get(name, name): image for name, image in images.items()}}, columns)


@with_source
def curves(table: pd.DataFrame) -> Figure:
    """What a knob changes, and PSNR, against λ; columns are knobs, pairs of rows networks.

    Thin lines are single images (mean over seeds), thick ones the mean.
    """
    columns = [(network, function) for network in table["network"].unique() for function in FUNCTION_COLOURS]
    figure, axes = in_pairs(2 * len(columns), 4.6, 2.9, sharex=True)
    for place, (network, function) in enumerate(columns):
        upper = axes[place + 2 * (place // 2)]
        lower = axes[place + 2 * (place // 2) + 2]
        rows = table[(table["network"] == network) & (table["filters"] == function)]
        _effect(upper, rows, function)
        upper.set_title(f"{TITLES[network]}, {function} filters")
        for kind, colour in INPUT_COLOURS.items():
            wide = rows[rows["input"] == kind].pivot_table(index="lambda", columns="image", values="psnr")
            change = wide - wide.loc[1.0]
            lower.plot(change, color=colour, lw=0.6, alpha=0.35)
            lower.plot(change.mean(axis=1), color=colour, lw=2.2, marker="o", ms=3, label=f"{kind} input")
        lower.axhline(0, color=GRAY, lw=0.8)
        lower.set(xlabel="λ", ylabel="PSNR against λ = 1 (dB)")
        lower.legend(edgecolor="none")
        for axis in (upper, lower):
            axis.axvspan(1, table["lambda"].max(), color="black", alpha=0.05, lw=0)
    return finished(figure)


def _effect(axis: Axes, rows: pd.DataFrame, function: str) -> None:
    """The measure that the knob is meant to change on its own input, with the ground truth's level."""
    column, label, kind = _EFFECTS[function]
    own = rows[rows["input"] == kind]
    wide = own.pivot_table(index="lambda", columns="image", values=column)
    axis.plot(wide, color=FUNCTION_COLOURS[function], lw=0.6, alpha=0.35)
    axis.plot(wide.mean(axis=1), color=FUNCTION_COLOURS[function], lw=2.2, marker="o", ms=3, label=f"{kind} input")
    axis.axhline(own[f"{column}_truth"].mean(), color="black", ls="--", lw=1, label="ground truth")
    axis.set(ylabel=label, ylim=(0, None))
    axis.legend(edgecolor="none")


@with_source
def best(table: pd.DataFrame, lambdas: tuple[float, ...]) -> Figure:
    """How many images have their highest PSNR at each λ, a panel per network and knob."""
    columns = [(network, function) for network in table["network"].unique() for function in FUNCTION_COLOURS]
    figure, axes = in_pairs(len(columns), 4.4, 2.7, sharey=True)
    for place, (axis, (network, function)) in enumerate(zip(axes, columns, strict=True)):
        rows = table[(table["network"] == network) & (table["filters"] == function)]
        counts = [int((rows["lambda"] == lam).sum()) for lam in lambdas]
        axis.bar(range(len(lambdas)), counts, color=FUNCTION_COLOURS[function])
        axis.axvline(lambdas.index(1.0), color=GRAY, ls="--", lw=1, zorder=0)
        axis.set_xticks(range(len(lambdas)), [f"{lam:g}" for lam in lambdas])
        axis.set(xlabel="λ with the highest PSNR", title=f"{TITLES[network]}, {function} filters")
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(False, axis="x")
        axis.set_ylabel("" if place % 2 else "images (all seeds)")
    return finished(figure)


@with_source
def heatmaps(table: pd.DataFrame) -> Figure:
    """PSNR, sharpness and residual noise over both knobs, mean over images and seeds; a row per network."""
    networks = list(table["network"].unique())
    panels = (
        ("psnr", "PSNR (dB)", "viridis", "{:.2f}"),
        ("sharpness", "mean gradient (levels)", "Blues", "{:.1f}"),
        ("noise", "residual noise (levels)", "Oranges", "{:.1f}"),
    )
    figure, axes = plt.subplots(len(networks), 3, figsize=(10.8, 3.6 * len(networks)), squeeze=False)
    for row, network in zip(axes, networks, strict=True):
        rows = table[table["network"] == network]
        for axis, (column, title, colours, text) in zip(row, panels, strict=True):
            mean = rows.pivot_table(index="denoising", columns="deblurring", values=column).sort_index(ascending=False)
            heatmap(axis, mean, mean.map(text.format), colours, square=True, annot_kws={"fontsize": 8})
            target = (list(mean.columns).index(1.0), list(mean.index).index(1.0))
            axis.add_patch(plt.Rectangle(target, 1, 1, fill=False, ec="black", lw=1.8))
            if column == "psnr":
                row_number, column_number = divmod(int(np.argmax(mean.to_numpy())), mean.shape[1])
                axis.add_patch(plt.Rectangle((column_number, row_number), 1, 1, fill=False, ec=PINK, lw=2, ls="--"))
            truth = f"\nground truth {rows[f'{column}_truth'].mean():.1f}" if column != "psnr" else ""
            axis.set(xlabel="λ of the deblurring filters", ylabel="λ of the denoising filters")
            axis.set_title(f"{TITLES[network]}: {title}{truth}", fontsize=10)
            axis.tick_params(rotation=0)
    return finished(figure)


@with_source
def contact_sheet(
    images: Mapping[tuple[float, float], Tensor], title: str, lambdas: Sequence[float] = (0.0, 0.7, 1.0, 1.5)
) -> Gallery:
    """Restorations over some λ of both knobs of one pair: deblurring to the right, denoising upwards."""
    across, upwards = sorted(lambdas), sorted(lambdas, reverse=True)
    return gallery(
        {
            f"{title}, denoising λ = {second:g}": {
                f"deblurring λ = {first:g}": images[first, second] for first in across
            }
            for second in upwards
        }
    )
