"""Figures of the training runs."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import finished
from faiglib.networks import TITLES


@with_source
def training_curves(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """PSNR on the validation crops against iterations: a row per network, a column per input, a line per run.

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
            for (run, log), colour in zip(own.items(), sns.color_palette("colorblind", len(own)), strict=True):
                axis.plot(log["step"], log[kind], label=run.partition("-")[2].replace("-", ", "), color=colour)
            axis.set(xlabel="iteration", title=f"{TITLES.get(network, network)}, {kind.removeprefix('psnr_')} input")
        line[0].set_ylabel("PSNR (dB)")
        line[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return finished(figure)
