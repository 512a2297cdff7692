"""The picture that tells the story: two inputs, restored by the target and without either ability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from faiglib.companion.discovery import OWN_FUNCTION
from faiglib.companion.page.escaping import as_html
from faiglib.companion.page.interactive import picture
from faiglib.companion.page.style import finished, show
from faiglib.companion.page.words import number, percent, printed
from faiglib.images.degradations import FUNCTIONS, INPUTS
from faiglib.images.metrics import psnr

#: Side of the part that is shown, in HR pixels, and how often a pixel is repeated, so that browsers do not smooth it.
SIDE = 96
ENLARGED = 3
#: Styles of the lines around pictures, see :class:`Shown`.
FRAMES = {"own": "-", "spilled": "--"}


@dataclass(frozen=True)
class Shown:
    """One picture with its two numbers.

    Attributes:
        title: what is shown.
        image: (1, 3, H, W) in [0, 1].
        psnr: dB, of the part shown.
        change: dB against the picture it is compared with, or None.
        frame: ``own`` if the ability that its input needs was taken out, ``spilled`` if the other was, and that
            costs too much; else empty.
    """

    title: str
    image: Tensor
    psnr: float
    change: float | None
    frame: str


def story(
    rows: Mapping[str, Mapping[str, Tensor]], ground_truth: Tensor, network: str, spilled: float
) -> dict[str, list[Shown]]:
    """The pictures of one network, by input: input enlarged, target, and without each function's filters.

    Args:
        rows: of a :class:`faiglib.companion.masking.measure.Gallery`.
        ground_truth: likewise, (1, 3, H, W).
        network: its name as printed.
        spilled: share of what the target gains on an input that the other function's filters may cost it.

    Returns:
        {input: pictures}, numbers of the central part of :data:`SIDE` pixels. The target is compared with the bicubic
        enlargement of the input, the others with the target.
    """
    truth = _part(ground_truth)
    told = {}
    for kind in OWN_FUNCTION:
        low, *outputs = rows[f"{network}, {kind}"].values()
        start = _enlarged(low)
        images = [_part(image) for image in (start, *outputs)]
        first, whole, *masked = (float(psnr(image, truth, 0)) for image in images)
        shown = [
            Shown(f"{kind} input", _part(low), first, None, ""),
            Shown("target", images[1], whole, whole - first, ""),
        ]
        for (function, (own, _)), image, value in zip(FUNCTIONS.items(), images[2:], masked, strict=True):
            costly = whole - value > spilled * (whole - first)
            frame = "own" if own == kind else "spilled" if costly else ""
            shown.append(Shown(f"without {function} filters", image, value, value - whole, frame))
        told[kind] = shown
    return told


def caption(rows: Mapping[str, list[Shown]], what: str, spilled: float) -> str:
    """What stands below the pictures of :func:`story`.

    Args:
        rows: the pictures.
        what: they show, in words.
        spilled: as there.
    """
    told = (
        f"{what}: PSNR of the part shown, and its change (target against the bicubic enlargement of the input, others "
        "against the target). Framed: the ability that this input needs is taken out."
    )
    if any(one.frame == "spilled" for shown in rows.values() for one in shown):
        told += f" Dashed: the other one is, and that costs more than {percent(spilled)} of what the target gains."
    return printed(told)


def _part(image: Tensor) -> Tensor:
    """The central part that is shown."""
    top, left = ((length - SIDE) // 2 for length in image.shape[-2:])
    return image[..., top : top + SIDE, left : left + SIDE]


def _enlarged(low: Tensor) -> Tensor:
    """The bicubic enlargement of an input whose every pixel is shown as a square of the network's scale."""
    scale = INPUTS["clean"].scale
    small = low[..., ::scale, ::scale]
    return torch.nn.functional.interpolate(small, scale_factor=scale, mode="bicubic", align_corners=False).clamp(0, 1)


def story_figure(rows: Mapping[str, list[Shown]]) -> Figure:
    """The pictures of :func:`story` as one that stands alone."""
    columns = len(next(iter(rows.values())))
    figure, axes = plt.subplots(len(rows), columns, figsize=(2.1 * columns, 2.45 * len(rows)), squeeze=False)
    for line, pictures in zip(axes, rows.values(), strict=True):
        for axis, one in zip(line, pictures, strict=True):
            show(axis, one.image, one.title)
            change = "" if one.change is None else f" ({number(one.change, '+.1f')})"
            below = {"transform": axis.transAxes, "ha": "center", "va": "top", "fontsize": 9}
            axis.text(0.5, -0.05, f"{one.psnr:.1f} dB{change}", **below)
            if one.frame:
                axis.add_patch(
                    plt.Rectangle(
                        (0, 0), 1, 1, transform=axis.transAxes, fill=False, ec="black", lw=4, ls=FRAMES[one.frame]
                    )
                )
    return finished(figure)


def as_story(rows: Mapping[str, list[Shown]], caption: str) -> str:
    """The pictures of :func:`story` as HTML.

    Args:
        rows: the pictures.
        caption: below them.
    """
    cells = []
    for shown in rows.values():
        for one in shown:
            large = one.image.repeat_interleave(ENLARGED, -2).repeat_interleave(ENLARGED, -1)
            change = "" if one.change is None else f"<span>{number(one.change, '+.1f')}</span>"
            alt = f"{shown[0].title}, {one.title}" if one.change is not None else one.title
            cells.append(
                f'<div class="cell {one.frame}"><span class="head">{as_html(one.title)}</span>'
                f'<img alt="{as_html(alt)}" src="{picture(large)}">'
                f'<span class="numbers"><span>{one.psnr:.1f} dB</span>{change}</span></div>'
            )
    return f'<figure class="story"><div class="grid">{"".join(cells)}</div><figcaption>{caption}</figcaption></figure>'
