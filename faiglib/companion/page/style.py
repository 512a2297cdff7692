"""The look of all figures, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor

from faiglib.companion import paper

#: Colour-blind safe (Okabe and Ito 2008).
BLUE, ORANGE, GREEN, PINK, GRAY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
SKY = "#56B4E9"
#: Points; 12 pixels in a figure of its own size, and 9 in the smallest that a page shows it in.
SMALLEST = 8.0
FUNCTION_COLOURS = {"deblurring": BLUE, "denoising": ORANGE}
INPUT_COLOURS = {"blurry": BLUE, "noisy": ORANGE}
METHOD_COLOURS = dict(zip(paper.MASKED, (BLUE, GREEN, PINK, GRAY, SKY), strict=True))


def style() -> None:
    """Set the look of all figures: no ground, so that a page's own is seen, readable type, sharp lines.

    On a dark page ``book/assets/book.css`` turns the ink light.
    """
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.9)
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 150,
            "savefig.bbox": "tight",
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "legend.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "image.interpolation": "nearest",
            "svg.fonttype": "none",
        }
    )


def as_picture(image: Tensor) -> np.ndarray:
    """(1, 3, H, W) or (3, H, W) in [0, 1] → (H, W, 3)."""
    return image.detach().cpu().reshape(image.shape[-3:]).permute(1, 2, 0).clamp(0, 1).numpy()


def show(axis: Axes, image: Tensor, title: str = "") -> None:
    """Draw a picture without axes."""
    axis.imshow(as_picture(image))
    axis.set_title(title, fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def in_pairs(
    count: int, width: float, height: float, *, sharex: bool = False, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of panels of so many inches, two in a row, so that their labels are legible on a phone as well."""
    rows = -(-count // 2)
    size = (width * min(count, 2), height * rows)
    figure, axes = plt.subplots(rows, min(count, 2), figsize=size, squeeze=False, sharex=sharex, sharey=sharey)
    for spare in axes.flat[count:]:
        spare.set_visible(False)
    return figure, list(axes.flat[:count])


def heatmap(axis: Axes, numbers: pd.DataFrame, texts: pd.DataFrame, colours: str, **options: Any) -> None:
    """Seaborn's heat map of a panel, with a text in every field and without a bar of colours.

    Seaborn draws the whole figure to see whether labels overlap, which for the last of many panels means all others
    too: they are hidden meanwhile.

    Args:
        axis: the panel.
        numbers: (rows, columns), which choose the colours.
        texts: of the same shape.
        colours: name of a colour map.
        **options: of :func:`seaborn.heatmap`.
    """
    others = [one for one in axis.figure.axes if one is not axis and one.get_visible()]
    for one in others:
        one.set_visible(False)
    try:
        sns.heatmap(numbers, annot=texts, fmt="", cmap=colours, cbar=False, ax=axis, **options)
    finally:
        for one in others:
            one.set_visible(True)


def finished(figure: Figure, tight: bool = True) -> Figure:
    """Lay the figure out and take it from pyplot's hands, so that a notebook shows it once: as the cell's result.

    No label is smaller than :data:`SMALLEST`.
    """
    for text in figure.findobj(Text):
        if isinstance(text, Text) and float(text.get_fontsize()) < SMALLEST:
            text.set_fontsize(SMALLEST)
    if tight:
        figure.tight_layout()
    plt.close(figure)
    return figure


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Places of labels as near to where they belong as they can be without standing closer than a gap.

    Args:
        places: where they belong, in any order.
        gap: least distance.
    """
    order = sorted(range(len(places)), key=lambda number: places[number])
    groups: list[list[float]] = []  # sum of wanted places, less what their neighbours take, and how many
    for number in order:
        groups.append([places[number], 1])
        while len(groups) > 1:
            (first, count), (second, more) = groups[-2:]
            if second / more - first / count >= gap * (count + more) / 2:
                break
            groups[-2:] = [[first + second, count + more]]
    found = [0.0] * len(places)
    free = iter(order)
    for total, count in groups:
        for step in range(int(count)):
            found[next(free)] = total / count + gap * (step - (count - 1) / 2)
    return found
