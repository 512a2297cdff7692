"""Figures of the chapter on FAIG itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from faiglib.companion import paper
from faiglib.companion.page.gallery import Gallery, gallery
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import (
    BLUE,
    FUNCTION_COLOURS,
    GRAY,
    INPUT_COLOURS,
    ORANGE,
    PINK,
    finished,
    heatmap,
    in_pairs,
)
from faiglib.networks import TITLES


@with_source
def inputs(images: Mapping[str, Tensor]) -> Gallery:
    """Images side by side under their names."""
    return gallery({"": images})


@with_source
def path_frames(frames: Mapping[str, Mapping[float, Tensor]], title: str) -> Gallery:
    """Outputs along the path, one row per input; ``title`` names the pair."""
    ends = {0.0: " (target)", 1.0: " (baseline)"}
    return gallery(
        {
            f"{title}, {kind} input": {f"α = {alpha:g}{ends.get(alpha, '')}": image for alpha, image in images.items()}
            for kind, images in frames.items()
        }
    )


@with_source
def loss_along_path(table: pd.DataFrame, title: str) -> Figure:
    """Left: mean squared error along α. Right: its slope, stacked by the parameters that cause it, for one pair."""
    kinds = list(table["input"].unique())
    groups = list(table["group"].unique())
    colours = dict(zip(groups, (BLUE, ORANGE, "#BBBBBB", PINK), strict=True))
    figure, axes = plt.subplots(1, 1 + len(kinds), figsize=(3.5 * (1 + len(kinds)), 3.2))
    for kind in kinds:
        losses = table[table["input"] == kind].drop_duplicates("alpha")
        axes[0].plot(losses["alpha"], losses["loss"], color=INPUT_COLOURS[kind], label=f"{kind} input", lw=2)
    axes[0].set(xlabel="α   (0: target θ, 1: baseline θ̄)", ylabel="mean squared error", title="Loss along the path")
    axes[0].legend(frameon=False)
    for axis, kind in zip(axes[1:], kinds, strict=True):
        wide = table[table["input"] == kind].pivot(index="alpha", columns="group", values="slope")[groups]
        base_up, base_down = np.zeros(len(wide)), np.zeros(len(wide))
        for group in groups:
            values = wide[group].to_numpy()
            up, down = np.clip(values, 0, None), np.clip(values, None, 0)
            axis.fill_between(wide.index, base_up, base_up + up, color=colours[group], label=group, lw=0)
            axis.fill_between(wide.index, base_down, base_down + down, color=colours[group], lw=0)
            base_up, base_down = base_up + up, base_down + down
        axis.plot(wide.index, wide.sum(axis=1), color="black", lw=1.2, label="sum")
        axis.set(xlabel="α", ylabel="d MSE / dα", title=f"Who raises the loss: {kind} input")
    axes[-1].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    return finished(figure)


@with_source
def concentration(table: pd.DataFrame, title: str) -> Figure:
    """Share of the summed positive scores held by the best filters of one pair."""
    figure, axis = plt.subplots(figsize=(5.2, 3.4))
    for function, rows in table.groupby("filters", sort=False):
        axis.plot(
            rows["percent"],
            rows["share"],
            color=FUNCTION_COLOURS[function],
            label=f"{function} filters",
            lw=2,
        )
    axis.axvline(1, color=GRAY, ls=":", lw=1)
    axis.annotate("1 %", (1, 0.02), xytext=(4, 0), textcoords="offset points", color=GRAY)
    axis.set(xscale="log", xlabel="best filters (% of all)", ylabel="share of all positive FAIG", ylim=(0, 1.02))
    axis.set_title(title, fontsize=11)
    axis.legend(frameon=False)
    return finished(figure)


@with_source
def kernel_grid(table: pd.DataFrame, kernels: Sequence[Mapping[str, Tensor]], title: str) -> Figure:
    """Kernels of the top filters of one pair, a column each; rows: baseline, target, change; a grid a function."""
    functions = list(table["filters"].unique())
    count = len(table) // len(functions)
    figure = plt.figure(figsize=(1.0 * count + 0.8, 3.6 * len(functions)), layout="constrained")
    for block, function in zip(figure.subfigures(len(functions), 1, squeeze=False)[:, 0], functions, strict=True):
        chosen = [
            (row, kernel) for row, kernel in zip(table.itertuples(), kernels, strict=True) if row.filters == function
        ]
        axes = block.subplots(3, count, squeeze=False)
        block.suptitle(f"{title}: top {count} {function} filters", fontsize=10)
        limits = {name: max(float(kernel[name].abs().max()) for _, kernel in chosen) for name in chosen[0][1]}
        limits["baseline"] = limits["target"] = max(limits["baseline"], limits["target"])
        for column, (row, kernel) in enumerate(chosen):
            for axis, (name, values) in zip(axes[:, column], kernel.items(), strict=True):
                axis.imshow(values.numpy(), cmap="RdBu_r", vmin=-limits[name], vmax=limits[name])
                axis.set(xticks=[], yticks=[])
                axis.grid(False)
                if column == 0:
                    axis.set_ylabel(name, fontsize=8)
            axes[0, column].set_title(f"{row.layer}\n[{row.output}, {row.input}]", fontsize=6.5)
    return finished(figure, tight=False)


@with_source
def agreement(table: pd.DataFrame, percent: float, title: str) -> Figure:
    """Overlap of the top filters of one pair between methods, one matrix per function."""
    functions = list(table["filters"].unique())
    figure, axes = plt.subplots(1, len(functions), figsize=(4.2 * len(functions), 3.5))
    for axis, function in zip(np.atleast_1d(axes), functions, strict=True):
        matrix = table[table["filters"] == function].pivot(index="method", columns="other", values="overlap")
        order = list(paper.METHODS.values())
        matrix = matrix.loc[order, order]
        heatmap(axis, matrix, matrix.map("{:.2f}".format), "Blues", vmin=0, vmax=1, square=True)
        axis.set(xlabel="", ylabel="", title=f"{function} filters, top {percent:g} %")
    figure.suptitle(title, fontsize=11)
    return finished(figure)


@with_source
def profiles(table: pd.DataFrame) -> Figure:
    """PSNR along the straight path, a panel per network and a line per pair; dashed with the means put right."""
    networks = list(table["network"].unique())
    figure, axes = in_pairs(len(networks), 4.6, 3.0, sharex=True)
    for axis, network in zip(axes, networks, strict=True):
        own = table[table["network"] == network]
        for number, (_, line) in enumerate(own.groupby("seed", sort=False)):
            labels = ("PSNR", "means put right") if number == 0 else (None, None)
            axis.plot(line["alpha"], line["psnr"], color=BLUE, lw=1.4, label=labels[0])
            axis.plot(line["alpha"], line["psnr_level"], color=ORANGE, lw=1.4, ls="--", label=labels[1])
        axis.set(title=TITLES[network], xlabel="α   (0: target θ, 1: baseline θ̄)", ylabel="PSNR (dB)")
    axes[0].legend(frameon=False, fontsize=8)
    return finished(figure)
