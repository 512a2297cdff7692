"""The look of all figures, and what they share."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from faiglib.companion import paper

#: Colour-blind safe (Okabe and Ito 2008).
BLUE, ORANGE, GREEN, PINK, GRAY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"
SKY = "#56B4E9"
FUNCTION_COLOURS = {"deblurring": BLUE, "denoising": ORANGE}
INPUT_COLOURS = {"blurry": BLUE, "noisy": ORANGE}
METHOD_COLOURS = dict(zip(paper.MASKED, (BLUE, GREEN, PINK, GRAY, SKY), strict=True))


def style() -> None:
    """Set the look of all figures: white background (legible in the dark theme too), readable type, sharp lines."""
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.9)
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 150,
            "savefig.bbox": "tight",
            "figure.facecolor": "white",
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


def finished(figure: Figure, tight: bool = True) -> Figure:
    """Lay the figure out and take it from pyplot's hands, so that a notebook shows it once: as the cell's result."""
    if tight:
        figure.tight_layout()
    plt.close(figure)
    return figure
