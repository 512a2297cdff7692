"""Figures and tables of the chapter on how good the choice is."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from pandas.io.formats.style import Styler

from faiglib.companion.faithfulness.rankings import METHODS
from faiglib.companion.faithfulness.report import MEASURES
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import BLUE, FUNCTION_COLOURS, GRAY, GREEN, ORANGE, PINK, SKY, finished, in_pairs
from faiglib.companion.page.tables import interval, plain, styled
from faiglib.companion.page.words import number
from faiglib.networks import TITLES

#: Methods that the curves show, and how; the table has all.
DRAWN: Mapping[str, tuple[str, str]] = {
    "faig": (BLUE, "-"),
    "both_ends": (SKY, "-"),
    "detour": (GREEN, "-"),
    "filter_change": (PINK, "-"),
    "random": (GRAY, "--"),
    "bound": (ORANGE, "-"),
}

#: Areas in the table, and what they are called there.
COLUMNS: Mapping[str, str] = {
    "left": "deleted: left",
    "spilled": "lost by the other input",
    "brought": "inserted: brought",
    "missing": "missing",
    "along": "changed on the other input",
}


@with_source
def curves(fractions: pd.DataFrame, way: str) -> Figure:
    """Share f of the way on the own input against the exchanged proportion, a panel per network and function.

    Args:
        fractions: from :func:`faiglib.companion.faithfulness.report.fractions`.
        way: ``deletion`` or ``insertion``.
    """
    chosen = fractions[fractions["way"] == way]
    panels = list(chosen.groupby(["network", "filters"], sort=False))
    figure, axes = in_pairs(len(panels), 4.6, 3.1, sharex=True)
    for axis, ((network, function), rows) in zip(axes, panels, strict=True):
        for method, (colour, line) in DRAWN.items():
            own = rows[rows["method"] == method].sort_values("percent")
            axis.plot(own["percent"], own["own"], line, color=colour, marker="o", ms=3, label=METHODS[method])
        axis.axhline(0, color=GRAY, lw=0.6)
        axis.axhline(1, color=GRAY, lw=0.6)
        axis.set_xscale("log")
        axis.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set(ylim=(-1.1, 1.2), title=f"{TITLES[network]}, {function}", xlabel="exchanged filters (%)", ylabel="f")
    _legend_below(figure, axes[0])
    return finished(figure)


def _legend_below(figure: Figure, axis: Axes) -> None:
    """One legend for all panels, below them."""
    figure.tight_layout()
    figure.legend(
        *axis.get_legend_handles_labels(), frameon=False, loc="upper center", ncols=3, bbox_to_anchor=(0.5, 0)
    )


@with_source
def controls(table: pd.DataFrame) -> Figure:
    """Drops of FAIG's filters and of their controls, pair by pair, a panel per function.

    Args:
        table: from :func:`faiglib.companion.faithfulness.measure.controls`.
    """
    pairs = list(dict.fromkeys(zip(table["network"], table["seed"], strict=True)))
    figure, axes = in_pairs(2, 4.6, 1.2 + 0.24 * len(pairs), sharex=True, sharey=True)
    for axis, (function, rows) in zip(axes, table.groupby("filters", sort=False), strict=True):
        for place, (network, seed) in enumerate(pairs):
            own = rows[(rows["network"] == network) & (rows["seed"] == seed)]
            for kind, colour, sign, size in (
                ("random", GRAY, "|", 18),
                ("matched", "black", "|", 30),
                ("faig", FUNCTION_COLOURS[function], "D", 24),
            ):
                drops = own.loc[own["kind"] == kind, "drop"]
                label = {"faig": "FAIG", "matched": "matched controls", "random": "random filters"}[kind]
                axis.scatter(
                    drops, [place] * len(drops), color=colour, marker=sign, s=size, label=None if place else label
                )
        axis.set_yticks(range(len(pairs)), [f"{TITLES[network]}, seed {seed}" for network, seed in pairs])
        axis.set(xscale="log", title=f"{function} filters", xlabel="drop on the own input ×10³")
    axes[0].set_ylim(len(pairs) - 0.5, -0.5)
    _legend_below(figure, axes[0])
    return finished(figure)


@with_source
def areas(
    table: pd.DataFrame,
    cost: Mapping[str, float],
    seconds: Mapping[str, float],
    network: str,
    measure: str,
    caption: str,
) -> Styler:
    """The table of areas of a network, a row per method.

    Args:
        table: from :func:`faiglib.companion.faithfulness.report.areas`.
        cost: gradients per image by method.
        seconds: that one takes, by network.
        network: registry name.
        measure: key of :data:`faiglib.companion.faithfulness.report.MEASURES`.
        caption: what it was measured on.
    """
    own = table[table["network"] == network]
    methods = list(dict.fromkeys(own["method"]))
    shown: dict[tuple[str, str], list[object]] = {
        ("", "method"): [METHODS[method] for method in methods],
        ("", "gradients an image"): [f"{cost[method]:.3g}" for method in methods],
        ("", "seconds"): [number(cost[method] * seconds[network], ".2g") for method in methods],
    }
    for function, rows in own.groupby("filters", sort=False):
        cells = rows.set_index("method").loc[methods]
        for column, title in COLUMNS.items():
            shown[str(function), title] = [number(value) for value in cells[column]]
            if column == "brought":
                ends = zip(cells["low"], cells["high"], strict=True)
                shown[str(function), "95 %"] = [interval(*pair) for pair in ends]
    made = pd.DataFrame(shown)
    made.columns = pd.MultiIndex.from_tuples(made.columns)
    return styled(made, caption=f"{TITLES[network]}, {MEASURES[measure]}; {caption}", uuid=f"areas-{network}-{measure}")


@with_source
def against(table: pd.DataFrame, unit: str, caption: str) -> Styler:
    """FAIG against controls, a row per pair and function.

    Args:
        table: from :func:`faiglib.companion.faithfulness.report.against`.
        unit: what is compared.
        caption: what it was measured on.
    """
    columns = {
        "network": table["network"],
        "seed": table["seed"],
        "function": table["filters"],
        f"{unit}, FAIG": table["faig"],
        f"{unit}, matched controls": table["matched"],
    }
    if "random" in table:
        columns[f"{unit}, random filters"] = table["random"]
    columns["FAIG ÷ matched"] = table["effect"].map(lambda value: f"{number(value, '.1f')}×")
    columns["controls that reach FAIG"] = table["reached"]
    columns["p"] = table["p"]
    shown = pd.DataFrame(columns)
    forms = {name: "{:.3f}" for name in shown.columns if name.startswith(unit)}
    return plain(shown, {**forms, "controls that reach FAIG": "{:.0%}", "p": "{:.2g}"}, caption)
