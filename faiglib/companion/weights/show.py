"""Figures of the training runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import BLUE, FUNCTION_COLOURS, GRAY, ORANGE, finished, in_pairs
from faiglib.companion.page.tables import plain
from faiglib.companion.page.words import DASH, number
from faiglib.companion.weights.milestones import FOLLOWED, trend
from faiglib.companion.weights.report import ROLES
from faiglib.networks import TITLES

#: Of training curves, by role.
_COLOURS = {"baseline": GRAY, "target": BLUE, "target_jpeg": ORANGE}


@with_source
def training_curves(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """PSNR on the validation crops against iterations: a row per network, a column per input, a line per run.

    Runs of one role have one colour.

    Args:
        logs: by name of the run, NETWORK-ROLE-seedN.
    """
    kinds = [name for name in next(iter(logs.values())).columns if name.startswith("psnr_")]
    networks = list(dict.fromkeys(run.partition("-")[0] for run in logs))
    figure, axes = plt.subplots(
        len(networks), len(kinds), figsize=(3.3 * len(kinds), 3 * len(networks)), squeeze=False, sharey="col"
    )
    for line, network in zip(axes, networks, strict=True):
        own = {run: log for run, log in logs.items() if run.partition("-")[0] == network}
        for axis, kind in zip(line, kinds, strict=True):
            told: set[str] = set()
            for run, log in own.items():
                role = run.split("-")[1]
                label = None if role in told else ROLES[role]
                axis.plot(log["step"], log[kind], label=label, color=_COLOURS[role], lw=1)
                told.add(role)
            axis.set(xlabel="iteration", title=f"{TITLES.get(network, network)}, {kind.removeprefix('psnr_')} input")
        line[0].set_ylabel("PSNR (dB)")
        line[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return finished(figure)


@with_source
def milestone_curves(rows: pd.DataFrame, networks: Sequence[str]) -> Figure:
    """What changes while the targets of some networks are trained, a panel a quantity: mean and range over pairs.

    Args:
        rows: from :func:`faiglib.companion.weights.milestones.rows`.
        networks: registry names, one below the other.
    """
    panels = [(network, name) for network in networks for name in FOLLOWED]
    figure, axes = in_pairs(len(panels), 4.4, 2.7, sharex=True)
    for axis, (network, name) in zip(axes, panels, strict=True):
        own = rows[rows["network"] == network]
        for function, colour in FUNCTION_COLOURS.items():
            line = own[own["function"] == function].groupby("share")[name].agg(["mean", "min", "max"])
            axis.plot(line.index, line["mean"], marker="o", ms=3, color=colour, label=function)
            axis.fill_between(line.index, line["min"], line["max"], color=colour, alpha=0.15, lw=0)
        axis.set_title(f"{TITLES[network]}: {FOLLOWED[name][0]}", fontsize=9)
        axis.set_xscale("log")
    for axis in axes[-2:]:
        axis.set_xlabel("training seen, of the paper’s pixels")
    axes[0].legend(frameon=False, fontsize=8)
    return finished(figure)


@with_source
def trends_table(trends: pd.DataFrame) -> Styler:
    """What the last tenfold of training changed, from :func:`faiglib.companion.weights.milestones.trends`."""
    rows = []
    for row in trends.to_dict("records"):
        title, form, claim = FOLLOWED[row["quantity"]]
        plainly = form.removeprefix("+")
        rows.append(
            {
                "quantity": title,
                "claim": claim or DASH,
                "filters": row["function"],
                "at a tenth": number(row["before"], plainly),
                "at the end": number(row["after"], plainly),
                "change": number(row["change"], form),
                "95 %": f"{number(row['low'], form)} to {number(row['high'], form)}",
                "smallest that would show": number(row["smallest"], plainly),
                "trend": trend(row["low"], row["high"]),
                "network": row["network"],
                "pairs": row["pairs"],
            }
        )
    caption = (
        "The last tenfold of training: means over pairs that share nothing, with Student’s interval, and the smallest "
        "change that so many pairs would tell from none with a power of 80 %."
    )
    return plain(pd.DataFrame(rows), caption=caption)


@with_source
def pairs_table(pairs: pd.DataFrame) -> Styler:
    """Every pair in a row, from :func:`faiglib.companion.weights.report.pairs`."""
    names = {
        f"{function}_{kind}": f"{function} masked: {kind} input loses"
        for function in FUNCTION_COLOURS
        for kind in ("own", "other")
    }
    heads = {"barrier": "barrier (dB)", "barrier_level": "barrier, means put right (dB)"}
    gains = {f"gain_{kind}": f"gain, {kind} (dB)" for kind in ("clean", "blurry", "noisy")}
    table = pairs.rename(columns=names | heads | gains)
    forms = (
        dict.fromkeys(names.values(), "{:.0%}")
        | dict.fromkeys(heads.values(), "{:.2f}")
        | dict.fromkeys(gains.values(), "{:+.2f}")
    )
    caption = "Every pair; gains are over its baseline on Set14, losses shares of the drop when all filters are masked."
    return plain(table, forms | {"iterations": "{:,}", "peak_lr": "{:.0e}", "distance": "{:.2f}"}, caption)
