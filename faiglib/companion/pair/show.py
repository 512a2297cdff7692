"""Figures, tables and sentences of the page about a pair."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor

from faiglib.companion.page import interactive
from faiglib.companion.page.escaping import as_markdown
from faiglib.companion.page.gallery import Gallery, Shot, gallery
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import BLUE, GRAY, ORANGE, finished, heatmap, in_pairs
from faiglib.companion.page.words import counted, listed, number, percent, typeset
from faiglib.companion.pair.measure import PERCENT
from faiglib.companion.pair.study import Study
from faiglib.filters.index import IN_WORDS
from faiglib.images.metrics import psnr
from faiglib.images.restoration import restore

#: Inches that figures are wide, as far as the page's text.
WIDTH = 6.2
#: Layers that are named on an axis at most; of more, every so many.
NAMED = 20
#: Share of the drop below which a loss on another input is no matter, and above which an own one is.
SPILLED, REMOVED = 0.1, 0.5


@typeset
def described(study: Study, target: str, baseline: str) -> str:
    """What the pair is, in a few sentences of Markdown.

    Args:
        study: of the pair.
        target: its file.
        baseline: likewise.
    """
    names = [as_markdown(Path(one).name) for one in (target, baseline)]
    total = sum(parameter.numel() for parameter in study.target.parameters())
    ranked = sum(dict(study.target.named_parameters())[name].numel() for name in study.index.weights)
    layers = counted(len(study.index.layers), "layer")
    return (
        f"Target {names[0]}, baseline {names[1]}. {type(study.target).__name__}, ×{study.scale}: "
        f"{counted(total, 'parameter')}. Ranked are {study.index.total:,} {IN_WORDS[study.units]} in {layers}, which "
        f"hold {percent(ranked / total, 1)} of the parameters. The others (biases, norms, slopes) are never masked. "
        f"{counted(len(study.scenes), 'image')}; inputs: {listed(study.kinds)}."
    )


@with_source
def layers(table: pd.DataFrame, kinds: list[str]) -> Figure:
    """How far each layer moved, and its share of the contributions for every input, absolute and signed."""
    panels = ["changed", *kinds]
    figure, axes = plt.subplots(len(panels), 1, figsize=(WIDTH, 2.0 * len(panels)), sharex=True, squeeze=False)
    places = range(len(table))
    for axis, name in zip(axes[:, 0], panels, strict=True):
        if name == "changed":
            axis.bar(places, table[name], color=GRAY)
            axis.set(ylabel="‖θ − θ̄‖ ÷ ‖θ̄‖", title="distance of the weights")
        else:
            axis.bar(places, table[name], color=BLUE, label="absolute")
            axis.bar(places, table[f"{name}, signed"], color=ORANGE, width=0.4, label="with signs")
            axis.set(ylabel="share", title=f"contributions to the loss, {name} input")
            axis.legend(frameon=False, fontsize=8)
    _name_layers(axes[-1, 0], list(table["layer"]))
    return finished(figure)


@with_source
def found(table: pd.DataFrame) -> Figure:
    """Share of the best units in each layer, and of an even spread, a panel per degradation."""
    groups = list(table.groupby("filters", sort=False))
    figure, axes = plt.subplots(len(groups), 1, figsize=(WIDTH, 2.0 * len(groups)), sharex=True, squeeze=False)
    for axis, (name, rows) in zip(axes[:, 0], groups, strict=True):
        places = range(len(rows))
        axis.bar(places, rows["share"], color=BLUE, label="top 1 %")
        axis.step(places, rows["uniform"], where="mid", color=GRAY, label="even spread")
        axis.set(ylabel="share", title=f"for {name} input")
        axis.legend(frameon=False, fontsize=8)
    _name_layers(axes[-1, 0], list(groups[0][1]["layer"]))
    return finished(figure)


def _name_layers(axis: Axes, names: list[str]) -> None:
    every = -(-len(names) // NAMED)
    axis.set_xticks(list(range(len(names)))[::every], names[::every], rotation=60, ha="right", fontsize=8)


@with_source
def path(study: Study) -> Figure:
    """PSNR along the straight line, on clean inputs."""
    figure, axis = plt.subplots(figsize=(5.2, 3.2))
    axis.plot(study.path.alphas, study.path.psnr, color=BLUE, label="PSNR")
    axis.plot(study.path.alphas, study.path.psnr_level, "--", color=ORANGE, label="means put right")
    axis.set(xlabel="α   (0: target θ, 1: baseline θ̄)", ylabel="PSNR (dB), clean input")
    axis.legend(frameon=False)
    return finished(figure)


@with_source
def masking(table: pd.DataFrame) -> Figure:
    """Share of the drop against the masked proportion, a panel per degradation, with controls."""
    groups = list(table.groupby("filters", sort=False))
    figure, axes = in_pairs(len(groups), WIDTH / 2, 2.8, sharex=True, sharey=True)
    colours = sns.color_palette("colorblind", table["input"].nunique())
    by_input = dict(zip(table["input"].unique(), colours, strict=True))
    for axis, (name, rows) in zip(axes, groups, strict=True):
        for kind, own in rows[rows["kind"] == "faig"].groupby("input", sort=False):
            width = 2.2 if kind == name else 1.0
            axis.plot(
                own["percent"], own["drop"], "o-", ms=3, lw=width, color=by_input[kind], label=f"FAIG, {kind} input"
            )
        for kind, line in (("matched", "--"), ("random", ":")):
            means = rows[rows["kind"] == kind].groupby("percent")["drop"].mean()
            axis.plot(means.index, means, line, color=GRAY, label=f"{kind} controls, own input")
        axis.set(xscale="log", xlabel="masked (%)", ylabel="share of the drop", title=f"for {name} input")
        axis.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        axis.xaxis.set_minor_locator(NullLocator())
    figure.tight_layout()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="upper center", ncols=2, bbox_to_anchor=(0.5, 0))
    return finished(figure, tight=False)


@with_source
def selectivity(table: pd.DataFrame) -> Figure:
    """What masking 1 % for each degradation takes from each input, as a matrix."""
    own = table[(table["kind"] == "faig") & (table["percent"] == PERCENT)]
    kinds = list(dict.fromkeys(own["filters"]))
    matrix = own.pivot(index="filters", columns="input", values="drop").loc[kinds, kinds]
    figure, axis = plt.subplots(figsize=(1.6 + 0.9 * len(kinds), 1.2 + 0.8 * len(kinds)))
    texts = matrix.map(percent)
    heatmap(axis, matrix, texts, "Blues", vmin=0, vmax=1, square=True)
    axis.set(xlabel="input", ylabel="masked, for")
    return finished(figure)


def pictures(study: Study, scene: int = 0) -> tuple[Gallery, interactive.Interactive]:
    """One image restored without the units for each degradation, as photographs and with a slider."""
    found, one = study.scores(), study.scenes[scene]
    rows: dict[str, dict[str, Shot]] = {}
    frames: dict[tuple[str, ...], Tensor] = {}
    for kind in study.kinds:
        low = one.inputs[kind]
        shots: dict[str, Shot] = {"target": _shot(restore(study.target, low), one.truth)}
        for name, scores in found.items():
            shots[f"without 1 % for {name}"] = _shot(restore(study.without(scores.top(PERCENT)), low), one.truth)
        shots["baseline"] = _shot(restore(study.baseline, low), one.truth)
        rows[f"{one.name}, {kind} input"] = shots | {"ground truth": Shot(one.truth.cpu())}
    for share in (0.0, 0.3, 1.0, 3.0, 10.0, 30.0):
        made = [
            [restore(study.without(scores.top(share)), one.inputs[kind]).cpu() for scores in found.values()]
            for kind in study.kinds
        ]
        frames[(f"{share:g} %",)] = interactive.montage(made)
    slider = interactive.frames(
        frames,
        ["masked"],
        ("1 %",),
        f"Rows: {listed(study.kinds)} input. Columns: units masked for {listed(found)}.",
        f"{one.name}, restored",
        [f"without, for {name}" for name in found],
    )
    return gallery(rows), slider


def _shot(image: Tensor, truth: Tensor) -> Shot:
    return Shot(image.cpu(), f"{float(psnr(image, truth)):.1f} dB")


@typeset
def advice(study: Study, quality: pd.DataFrame, table: pd.DataFrame, halves: pd.DataFrame) -> str:
    """What the numbers suggest to do next, as a list in Markdown.

    Args:
        study: of the pair.
        quality: from :func:`faiglib.companion.pair.measure.quality`.
        table: from :func:`faiglib.companion.pair.measure.masking`.
        halves: from :func:`faiglib.companion.pair.measure.stability`.
    """
    worse = _no_better(quality)
    own = table[(table["kind"] == "faig") & (table["percent"] == PERCENT)]
    matrix = {(a, b): d for a, b, d in zip(own["filters"], own["input"], own["drop"], strict=True)}
    lines = []
    for kind in study.kinds:
        spill = max((matrix[kind, other] for other in study.kinds if other != kind), default=0.0)
        removed = matrix[kind, kind]
        if kind in worse:
            lines.append(f"**{kind}**: the target has not learned to remove it; its units say what else changed.")
            continue
        words = (
            f"masking 1 % takes {percent(removed)} of the drop on its own input and at most {percent(spill)} on others"
        )
        if removed >= REMOVED and spill <= SPILLED:
            lines.append(f"**{kind}**: {words}. These units can be turned down alone (`faiglib interpolate`).")
        elif removed >= REMOVED:
            lines.append(
                f"**{kind}**: {words}. They do other work as well; a smaller proportion may be more selective."
            )
        else:
            lines.append(
                f"**{kind}**: {words}. The ability is spread out; look at larger proportions, or at more images."
            )
    if study.path.verdict != "sound":
        lines.append("The path is not sound: a target that was fine-tuned more gently would be judged more reliably.")
    if len(halves) and halves["shared"].min() < 0.5:
        lines.append(
            f"Two halves of the images share as little as {percent(halves['shared'].min())} of the top 1 %: use more "
            "images before single units are named."
        )
    lines.append(
        "`faiglib attribute` writes rankings from whole images, `faiglib mask` restores images without the units."
    )
    return "\n".join(f"- {line}" for line in lines)


@typeset
def gains(table: pd.DataFrame) -> str:
    """Which inputs the target is no better on than the baseline, in a sentence; empty where there are none."""
    worse = _no_better(table)
    if not worse:
        return ""
    told = listed(f"{kind} ({number(gain, '+.2f')} dB)" for kind, gain in worse.items())
    return f"The target is no better than the baseline on {told}: there is no ability to be found there."


def _no_better(quality: pd.DataFrame) -> Mapping[str, float]:
    """The gain on every degraded input that the target restores no better than the baseline."""
    rows = quality.to_dict("records")
    return {row["input"]: row["gain"] for row in rows if row["input"] != "clean" and row["gain"] <= 0}
