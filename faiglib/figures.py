"""Every plot of the book. Functions take tidy tables or images and return a figure; nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from faiglib import paper
from faiglib.networks import TITLES

#: Colour-blind safe (Okabe and Ito 2008).
BLUE, ORANGE, GREEN, PINK, GRAY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
FUNCTION_COLOURS = {"deblurring": BLUE, "denoising": ORANGE}
INPUT_COLOURS = {"blurry": BLUE, "noisy": ORANGE}
METHOD_COLOURS = dict(zip(paper.METHODS, (BLUE, GREEN, PINK, GRAY), strict=True))


def style() -> None:
    """Set the look of all figures: white background (legible in the dark theme too), readable type, sharp lines."""
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.9)
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 150,
            "savefig.bbox": "tight",
            "figure.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "image.interpolation": "nearest",
            "svg.fonttype": "none",
        }
    )


def as_picture(image: Tensor) -> np.ndarray:
    """(1, 3, H, W) or (3, H, W) in [0, 1] → (H, W, 3)."""
    return image.detach().cpu().reshape(image.shape[-3:]).permute(1, 2, 0).clamp(0, 1).numpy()


def _show(axis: Axes, image: Tensor, title: str = "") -> None:
    axis.imshow(as_picture(image))
    axis.set_title(title, fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _finished(figure: Figure, tight: bool = True) -> Figure:
    """Lay the figure out and take it from pyplot's hands, so that a notebook shows it once: as the cell's result."""
    if tight:
        figure.tight_layout()
    plt.close(figure)
    return figure


def inputs(images: Mapping[str, Tensor]) -> Figure:
    """Images side by side under their names."""
    figure, axes = plt.subplots(1, len(images), figsize=(2.2 * len(images), 2.5), squeeze=False)
    for axis, (title, image) in zip(axes[0], images.items(), strict=True):
        _show(axis, image, title)
    return _finished(figure)


def path_frames(frames: Mapping[str, Mapping[float, Tensor]]) -> Figure:
    """Outputs along the path, one row per input."""
    columns = len(next(iter(frames.values())))
    figure, axes = plt.subplots(len(frames), columns, figsize=(2.1 * columns, 2.25 * len(frames)), squeeze=False)
    for row, (kind, images) in zip(axes, frames.items(), strict=True):
        for axis, (alpha, image) in zip(row, images.items(), strict=True):
            end = {0.0: " (target)", 1.0: " (baseline)"}.get(alpha, "")
            _show(axis, image, f"α = {alpha:g}{end}")
        row[0].set_ylabel(f"{kind} input")
    return _finished(figure)


def loss_along_path(table: pd.DataFrame) -> Figure:
    """Left: mean squared error along α. Right: its slope, stacked by the parameters that cause it."""
    kinds = list(table["input"].unique())
    groups = list(table["group"].unique())
    colours = dict(zip(groups, (BLUE, ORANGE, "#BBBBBB", PINK), strict=True))
    figure, axes = plt.subplots(1, 1 + len(kinds), figsize=(4.1 * (1 + len(kinds)), 3.4))
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
    return _finished(figure)


def concentration(table: pd.DataFrame) -> Figure:
    """Share of the summed positive scores held by the best filters."""
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
    axis.legend(frameon=False)
    return _finished(figure)


def kernel_grid(table: pd.DataFrame, kernels: Sequence[Mapping[str, Tensor]]) -> Figure:
    """Kernels of the top filters, a column each; rows for baseline, target and difference, one grid a function."""
    functions = list(table["filters"].unique())
    count = len(table) // len(functions)
    figure = plt.figure(figsize=(1.05 * count + 0.8, 3.75 * len(functions)), layout="constrained")
    for block, function in zip(figure.subfigures(len(functions), 1, squeeze=False)[:, 0], functions, strict=True):
        chosen = [
            (row, kernel) for row, kernel in zip(table.itertuples(), kernels, strict=True) if row.filters == function
        ]
        axes = block.subplots(3, count, squeeze=False)
        block.suptitle(f"Top {count} {function} filters", fontsize=10)
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
    return _finished(figure, tight=False)


def agreement(table: pd.DataFrame, percent: float) -> Figure:
    """Overlap of the top filters between methods, one matrix per function."""
    functions = list(table["filters"].unique())
    figure, axes = plt.subplots(1, len(functions), figsize=(4.2 * len(functions), 3.5))
    for axis, function in zip(np.atleast_1d(axes), functions, strict=True):
        matrix = table[table["filters"] == function].pivot(index="method", columns="other", values="overlap")
        order = list(paper.METHODS.values())
        sns.heatmap(
            matrix.loc[order, order],
            annot=True,
            fmt=".2f",
            cmap="Blues",
            vmin=0,
            vmax=1,
            cbar=False,
            square=True,
            ax=axis,
        )
        axis.set(xlabel="", ylabel="", title=f"{function} filters, top {percent:g} %")
    return _finished(figure)


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
    axes[0, 0].legend(frameon=False)
    return _finished(figure)


def drop_bars(table: pd.DataFrame, image_set: str, percent: float) -> Figure:
    """Measured drops of the four methods beside the paper's, one panel per network and input."""
    chosen = table[(table["image_set"] == image_set) & (table["percent"] == percent)]
    panels = list(chosen.groupby(["network", "input"], sort=False))
    figure, axes = plt.subplots(1, len(panels), figsize=(3.6 * len(panels), 3.3), squeeze=False)
    for axis, ((network, kind), rows) in zip(axes[0], panels, strict=True):
        place = np.arange(len(rows))
        colours = [METHOD_COLOURS[method] for method in rows["method"]]
        axis.bar(
            place - 0.2,
            rows["measured"],
            0.38,
            yerr=rows["spread"].fillna(0),
            color=colours,
            label="measured here",
        )
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
        axis.set_xticks(place, [paper.METHODS[method] for method in rows["method"]])
        axis.set(ylabel="drop (gradient MSE ×10³)", title=f"{TITLES[network]}, {kind} input, {percent:g} %")
    axes[0, 0].legend(frameon=False)
    return _finished(figure)


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
            sns.heatmap(matrix, annot=True, fmt=".2f", cmap="Blues", vmin=0, cbar=False, square=True, ax=axis)
            axis.set(xlabel="masked filters", ylabel="input", title=f"{TITLES[network]}, {percent:g} %")
    return _finished(figure)


def gallery(rows: Mapping[str, Mapping[str, Tensor]], ground_truth: Tensor) -> Figure:
    """Main Fig. 4: one row per input; the input, the restorations, and the ground truth."""
    columns = 1 + len(next(iter(rows.values())))
    figure, axes = plt.subplots(len(rows), columns, figsize=(2.4 * columns, 2.6 * len(rows)), squeeze=False)
    for line, images in zip(axes, rows.values(), strict=True):
        for axis, (title, image) in zip(line, [*images.items(), ("ground truth", ground_truth)], strict=True):
            _show(axis, image, title)
    return _finished(figure)


def training_curves(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """PSNR on the validation crops against iterations, one panel per input, one line per run."""
    kinds = [name for name in next(iter(logs.values())).columns if name.startswith("psnr_")]
    figure, axes = plt.subplots(1, len(kinds), figsize=(4.2 * len(kinds), 3.3), squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        for (run, log), colour in zip(logs.items(), sns.color_palette("colorblind", len(logs)), strict=True):
            axis.plot(log["step"], log[kind], label=run, color=colour)
        axis.set(xlabel="iteration", ylabel="PSNR (dB)", title=f"{kind.removeprefix('psnr_')} input")
    axes[0, -1].legend(frameon=False, fontsize=8)
    return _finished(figure)
