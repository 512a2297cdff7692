"""Figures of the training runs."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from faiglib.figures.common import finished
from faiglib.source import with_source


@with_source
def training_curves(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """PSNR on the validation crops against iterations, one panel per input, one line per run."""
    kinds = [name for name in next(iter(logs.values())).columns if name.startswith("psnr_")]
    figure, axes = plt.subplots(1, len(kinds), figsize=(4.2 * len(kinds), 3.3), squeeze=False)
    for axis, kind in zip(axes[0], kinds, strict=True):
        for (run, log), colour in zip(logs.items(), sns.color_palette("colorblind", len(logs)), strict=True):
            axis.plot(log["step"], log[kind], label=run, color=colour)
        axis.set(xlabel="iteration", ylabel="PSNR (dB)", title=f"{kind.removeprefix('psnr_')} input")
    axes[0, -1].legend(frameon=False, fontsize=8)
    return finished(figure)
