"""Figures and tables of the chapter on networks we did not train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from faiglib.attribution.path_profile import SOUND
from faiglib.companion.page.gallery import Gallery, Shot
from faiglib.companion.page.gallery import gallery as photographs
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import BLUE, GRAY, GREEN, ORANGE, PINK, SKY, finished, heatmap, in_pairs
from faiglib.companion.page.tables import plain
from faiglib.companion.page.words import number
from faiglib.companion.public_pairs import report
from faiglib.companion.public_pairs.measure import METHODS
from faiglib.companion.public_pairs.pairs import CONTROL, FUNCTIONS, INPUTS, MAIN
from faiglib.companion.public_pairs.paths import WAYS
from faiglib.companion.public_pairs.pictures import Picture
from faiglib.companion.public_pairs.words import KINDS
from faiglib.images.metrics import psnr
from faiglib.networks import TITLES

COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, GRAY)
#: Panels of the paths, and the kinds of pairs in each.
PANELS = {
    "fine-tuned from the baseline": ("fine-tuned",),
    "siblings, fine-tuned from one baseline": ("siblings",),
    "wrong baselines": ("replaced", "strangers"),
}


@with_source
def profiles(table: pd.DataFrame) -> Figure:
    """PSNR on clean input along the paths, a panel per kind of pair and one for the main pair's other ways."""
    straight = table[table["way"] == "straight"]
    panels = [(title, straight[straight["kind"].isin(kinds)], "pair") for title, kinds in PANELS.items()]
    panels.append((f"{MAIN.title}, by other ways", table[table["pair"] == MAIN.title], "way"))
    figure, axes = in_pairs(len(panels), 4.6, 3.3, sharex=True, sharey=True)
    for axis, (title, rows, column) in zip(axes, panels, strict=True):
        for colour, (name, own) in zip(COLOURS, rows.groupby(column, sort=False), strict=False):
            axis.plot(own["alpha"], own["psnr"], color=colour, label=WAYS.get(str(name), str(name)))
            axis.plot(own["alpha"], own["level"], "--", color=colour, lw=1)
        axis.set(title=title, xlabel="α   (0: target θ, 1: baseline θ̄)", ylabel="PSNR (dB), clean input")
        axis.title.set_fontsize(10)
        axis.legend(frameon=False, fontsize=8, loc="lower center", ncols=2)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low - 0.4 * (high - low), high)  # for the legends
    return finished(figure)


@with_source
def depths(table: pd.DataFrame, caption: str) -> Styler:
    """A row per path: how deep, and how far apart its ends are."""
    one = table.groupby(["pair", "way"], sort=False).first().reset_index()
    made = pd.DataFrame(
        {
            "pair": one["pair"],
            "way": one["way"].map(WAYS),
            "related as": one["kind"].map(KINDS),
            "depth (dB)": one["barrier"],
            "means put right (dB)": one["barrier_level"],
            "the path is": one["verdict"],
            "distance": one["distance"],
            "cosine": one["cosine"],
        }
    )
    return plain(made, dict.fromkeys(("depth (dB)", "means put right (dB)", "distance", "cosine"), "{:.2f}"), caption)


@with_source
def abilities(table: pd.DataFrame, caption: str) -> Styler:
    """PSNR of every model by input."""
    wide = table.pivot_table(index=["style", "model"], columns="input", values="psnr", sort=False)
    wide = wide[list(INPUTS)].reset_index().rename(columns={"style": "trained on"})
    return plain(wide.rename_axis(columns=None), dict.fromkeys(INPUTS, "{:.2f}"), caption)


@with_source
def selectivity(drops: pd.DataFrame) -> Figure:
    """PSNR that FAIG's 1 % cost each input, by function and the control's, as it is and with the means put right."""
    table = report.shares(drops)
    figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.0), sharey=True)
    for axis, measure in zip(axes, ("psnr", "level"), strict=True):
        matrix = table[table["measure"] == measure].pivot(index="filters", columns="input", values="lost")
        matrix = matrix.loc[[*FUNCTIONS, CONTROL], list(INPUTS)]
        heatmap(axis, matrix, matrix.map(number), "Blues", vmin=0)
        axis.set(xlabel="input", ylabel="masked, for", title=report.MEASURES[measure])
        axis.tick_params(axis="y", rotation=0)
    return finished(figure)


@with_source
def methods(drops: pd.DataFrame, caption: str) -> Styler:
    """Drop and PSNR lost on both inputs, by function, proportion and method."""
    rows = drops[drops["filters"].isin(list(FUNCTIONS))]
    rows = rows.assign(side=report.side(rows), lost=rows["psnr_target"] - rows["psnr"])
    rows = rows[rows["side"] != "third"].assign(level=rows["level_target"] - rows["level"])
    keys = ["filters", "percent", "method"]
    wide = rows.pivot_table(index=keys, columns="side", values=["drop", "lost", "level"], sort=False)
    made = wide.index.to_frame(index=False)
    made = made.rename(columns={"filters": "masked, for"}).assign(method=made["method"].map(METHODS))
    titles = {"drop": "drop ×10³", "lost": "dB lost", "level": "dB lost, means put right"}
    for value, title in titles.items():
        for side in ("own", "other"):
            made[f"{title}, {side}"] = wide[value, side].to_numpy()
    made["percent"] = made["percent"].map("{:g} %".format)
    return plain(made, {name: "{:.2f}" for name in made.columns if ", o" in name}, caption)


@with_source
def controls(table: pd.DataFrame, caption: str) -> Styler:
    """FAIG against its controls.

    Args:
        table: from :func:`faiglib.companion.public_pairs.report.against`.
        caption: above it.
    """
    made = table.rename(
        columns={
            "filters": "masked, for",
            "faig": "drop ×10³, FAIG",
            "matched": "matched controls",
            "random": "random filters",
            "effect": "FAIG ÷ matched",
            "reached": "controls that reach FAIG",
        }
    )
    forms = dict.fromkeys(("drop ×10³, FAIG", "matched controls", "random filters"), "{:.2f}")
    return plain(made, {**forms, "FAIG ÷ matched": "{:.1f}", "controls that reach FAIG": "{:.0%}"}, caption)


@with_source
def knobs(sweep: pd.DataFrame) -> Figure:
    """PSNR on own and other input against λ, a panel per knob."""
    figure, axes = in_pairs(len(FUNCTIONS), 4.6, 3.0, sharex=True, sharey=True)
    for axis, (function, rows) in zip(
        axes, sweep.assign(side=report.side(sweep)).groupby("filters", sort=False), strict=True
    ):
        for side, colour in (("own", BLUE), ("other", ORANGE)):
            means = rows[rows["side"] == side].groupby("lambda")["psnr"].mean()
            axis.plot(means.index, means, "o-", ms=3, color=colour, label=f"{side} input")
        axis.set(title=f"knob of {function}", xlabel="λ   (0: masked, 1: target)", ylabel="PSNR (dB)")
        axis.legend(frameon=False, fontsize=8)
    return finished(figure)


@with_source
def relation(table: pd.DataFrame, least: float) -> Figure:
    """Selectivity against the depth of the path, a point per pair; the limits of both are lines.

    Args:
        table: from :func:`faiglib.companion.public_pairs.report.by_pair`.
        least: selectivity from which on filters count as selective.
    """
    figure, axis = plt.subplots(figsize=(7.2, 4.4))
    signs, colours = iter("osD^vPX*<>"), iter((*COLOURS, "black", "#AA8800", "#882255", "#44AA99"))
    for (network, place, kind, way), rows in table.groupby(["network", "place", "kind", "way"], sort=False):
        named = {"here": "trained here", "control": "noise and JPEG"}.get(str(place), KINDS[str(kind)])
        named = named if way == "straight" else WAYS[str(way)]
        label = f"{TITLES[str(network)]}: {named}"
        axis.scatter(rows["barrier"] + 0.05, rows["selectivity"], marker=next(signs), color=next(colours), label=label)
    axis.axvline(SOUND + 0.05, color=GRAY, lw=0.8, ls="--")
    axis.axhline(least, color=GRAY, lw=0.8, ls="--")
    axis.set(xscale="log", yscale="log", xlabel="depth of the path + 0.05 (dB)", ylabel="drop on own ÷ other input")
    figure.tight_layout()
    figure.legend(
        *axis.get_legend_handles_labels(),
        frameon=False,
        fontsize=8,
        loc="upper center",
        ncols=2,
        bbox_to_anchor=(0.5, 0),
    )
    return finished(figure)


@with_source
def pairs(table: pd.DataFrame, caption: str) -> Styler:
    """A row per pair and way of :func:`faiglib.companion.public_pairs.report.by_pair`, the deepest last."""
    table = table.sort_values("barrier", ignore_index=True)
    made = pd.DataFrame(
        {
            "pair": table["pair"],
            "way": table["way"].map(WAYS),
            "depth (dB)": table["barrier"],
            "distance": table["distance"],
            "selectivity": table["selectivity"],
            "dB that the other input loses": table["spilled"],
            "target's gain (dB)": table["gain"],
        }
    )
    forms = dict.fromkeys(made.columns[2:], "{:.2f}")
    return plain(made, {**forms, "selectivity": "{:.1f}"}, caption)


@with_source
def verdicts(table: pd.DataFrame, caption: str) -> Styler:
    """A row per claim: grades and what decides them.

    Args:
        table: from :func:`faiglib.companion.public_claims.tabulated`.
        caption: above it.
    """
    return plain(table, caption=caption)


@with_source
def pictures(shots: Sequence[Picture]) -> Gallery:
    """One photograph restored by the target, without the filters for each function, and by the baseline."""
    rows: dict[str, Mapping[str, Shot]] = {}
    for one in shots:
        made = {
            title: Shot(image, f"{float(psnr(image, one.truth)):.1f} dB" if title != "input" else "")
            for title, image in one.images.items()
        }
        rows[f"{one.kind} input"] = made | {"ground truth": Shot(one.truth)}
    return photographs(rows)
