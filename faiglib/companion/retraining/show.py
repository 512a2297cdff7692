"""Figures of the chapter on re-training."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from faiglib.companion import paper
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import METHOD_COLOURS, finished
from faiglib.companion.page.tables import plain, spread
from faiglib.companion.page.words import counted, number
from faiglib.networks import TITLES


def _named(task: str, filters: str, method: str) -> dict[str, str]:
    """The cells that say which re-training a row is of."""
    return {
        "learnt": task,
        "filters that may move": "all" if filters == "all" else f"1 % {filters}",
        "chosen by": "all filters (upper bound)" if method == "all" else paper.METHODS[method],
    }


@with_source
def retraining_table(final: pd.DataFrame, network: str) -> Styler:
    """PSNR in dB after re-training 1 % of the filters, measured here and in the paper, a row per task and method."""
    chosen = final[final["network"] == network]
    rows = []
    for row in chosen.itertuples():
        rows.append(
            _named(row.task, row.filters, row.method)
            | {
                "PSNR here": spread(row.measured, row.spread),
                "gain here": f"{row.gain:+.2f}",
                "of upper bound": number(row.recovered, ".0%"),
                "PSNR in the paper": spread(row.paper, row.paper_std),
            }
        )
    return plain(
        pd.DataFrame(rows), caption=f"{TITLES[network]}, {counted(chosen['seeds'].max(), 'training run')} here"
    )


@with_source
def recorded_table(known: pd.DataFrame) -> Styler:
    """The cells of the paper's re-training table as the recorded run has them, beside the paper.

    Args:
        known: the recorded table, see :func:`faiglib.companion.record.known`.
    """
    measured = known.set_index(["network", "task", "filters", "method"])["measured"]
    rows = [
        {"network": TITLES[one.network]}
        | _named(one.task, one.filters, one.method)
        | {
            "PSNR recorded": spread(measured[one.network, one.task, one.filters, one.method], float("nan")),
            "PSNR in the paper": spread(one.mean, one.std),
        }
        for one in paper.retraining()
    ]
    return plain(
        pd.DataFrame(rows), caption="Recorded, not run here: re-training in the recorded run (profile standard)."
    )


@with_source
def curves(table: pd.DataFrame) -> Figure:
    """PSNR against iterations: a row per network and task, a column per group of filters that may move."""
    functions = [name for name in table["filters"].unique() if name != "all"]
    panels = [(network, task) for network in table["network"].unique() for task in table["task"].unique()]
    figure, axes = plt.subplots(
        len(panels), len(functions), figsize=(5 * len(functions), 3.1 * len(panels)), squeeze=False, sharey="row"
    )
    for row, (network, task) in zip(axes, panels, strict=True):
        chosen = table[(table["network"] == network) & (table["task"] == task)]
        means = chosen.groupby(["filters", "method", "step"], sort=False)["psnr"].mean()
        for axis, function in zip(row, functions, strict=True):
            bound = means["all", "all"]
            axis.plot(bound.index, bound.to_numpy(), color="black", ls=":", label="all filters")
            for method, title in paper.METHODS.items():
                line = means[function, method]
                axis.plot(line.index, line.to_numpy(), color=METHOD_COLOURS[method], label=title, lw=1.8)
            axis.set(xlabel="iteration", title=f"{TITLES[network]}: {task} learnt in {function} filters")
        row[0].set_ylabel("PSNR (dB)")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return finished(figure)
