"""Figures of the chapter on the baseline and on elimination."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from faiglib.companion.baseline_ablation.measure import AblationGallery
from faiglib.companion.discovery import BASELINES
from faiglib.companion.page.gallery import Gallery, Shot
from faiglib.companion.page.gallery import gallery as photographs
from faiglib.companion.page.source import with_source
from faiglib.companion.page.style import BLUE, ORANGE, finished, heatmap, in_pairs
from faiglib.companion.page.words import number
from faiglib.networks import TITLES

#: Panels of :func:`matrices`: column of the summary, title, number format, colour map.
_PANELS = (
    ("drop_own", "drop, own input", ".2f", "Blues"),
    ("lost_own", "PSNR lost, own input (dB)", ".2f", "Blues"),
    ("lost_other", "PSNR lost, other input (dB)", ".2f", "Oranges"),
    ("shift_own", "brightness shift, own input", ".1f", "Oranges"),
)


@with_source
def gallery(networks: Mapping[str, AblationGallery]) -> Gallery:
    """Supp. Fig. 8: rows are the baselines that filters are found with, columns those that replace them.

    Args:
        networks: a scene by the name of the pair, below each other.
    """
    return photographs(
        {f"{name}, {row}": shots for name, pictures in networks.items() for row, shots in _rows(pictures).items()}
    )


def _rows(pictures: AblationGallery) -> dict[str, dict[str, Shot]]:
    """In front of each row one of the three pictures to compare with."""
    made = {}
    for found, (title, one) in zip(BASELINES, pictures.references.items(), strict=True):
        first = {title: Shot(one.image, "" if np.isinf(one.psnr) else f"{one.psnr:.1f} dB")}
        cells = {replaced: pictures.cells[found, replaced] for replaced in BASELINES}
        made[f"found with the {found} baseline"] = first | {
            f"replaced by {replaced}": Shot(cell.image, f"{cell.psnr:.1f} dB, brightness {number(cell.shift, '+.1f')}")
            for replaced, cell in cells.items()
        }
    return made


@with_source
def matrices(cells: pd.DataFrame) -> Figure:
    """What masking costs for every way to find (rows) and to replace (columns), a line per network and function.

    Args:
        cells: from :func:`faiglib.companion.baseline_ablation.report.summary`.
    """
    lines = list(cells.groupby(["network", "filters"], sort=False))
    figure, axes = plt.subplots(len(lines), len(_PANELS), figsize=(2.7 * len(_PANELS), 2.7 * len(lines)), squeeze=False)
    for row, ((network, function), chosen) in zip(axes, lines, strict=True):
        for axis, (column, title, form, colours) in zip(row, _PANELS, strict=True):
            matrix = chosen.pivot(index="found_with", columns="replaced_by", values=column)
            matrix = matrix.loc[list(BASELINES), list(BASELINES)]
            texts = matrix.map(partial(number, form=form))
            heatmap(axis, matrix, texts, colours, vmin=0, square=True)
            axis.set(xlabel="replaced by θ̄", ylabel="found with θ̄", title=title)
        row[0].set_ylabel(f"{TITLES[network]}\n1 % {function} filters\n\nfound with θ̄")
    return finished(figure)


@with_source
def elimination(cells: pd.DataFrame) -> Figure:
    """Drop on the own and on the other input with and without elimination, a panel per network and function.

    Args:
        cells: from :func:`faiglib.companion.baseline_ablation.report.elimination_summary`.
    """
    panels = list(cells.groupby(["network", "filters"], sort=False))
    figure, axes = in_pairs(len(panels), 4.2, 3.3)
    for axis, ((network, function), chosen) in zip(axes, panels, strict=True):
        percents = list(chosen["percent"].unique())
        labels = []
        for group, percent in enumerate(percents):
            for offset, method in enumerate(("with", "without")):
                cell = chosen[(chosen["percent"] == percent) & (chosen["method"] == method)].iloc[0]
                place = 2.4 * group + offset
                first = group == offset == 0
                axis.bar(place - 0.2, cell["drop_own"], 0.38, color=BLUE, label="own input" if first else None)
                axis.bar(place + 0.2, cell["drop_other"], 0.38, color=ORANGE, label="other input" if first else None)
                labels.append((place, f"{percent:g} %\n{method}"))
        axis.set_xticks([place for place, _ in labels], [label for _, label in labels], fontsize=8)
        axis.set(ylabel="drop (gradient MSE ×10³)", title=f"{TITLES[network]}, {function} filters")
    axes[0].legend(frameon=False)
    return finished(figure)
