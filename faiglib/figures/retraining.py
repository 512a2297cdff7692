"""Figures of the chapter on re-training."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from faiglib import paper
from faiglib.figures.common import METHOD_COLOURS, finished
from faiglib.networks import TITLES
from faiglib.source import with_source


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
