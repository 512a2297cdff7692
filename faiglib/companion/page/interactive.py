"""Figures that readers move, as HTML for a page with ``book/assets/interactive.js``.

They are hidden where no script runs, so each of them goes with a still figure that shows the same. All they need is in
the HTML itself.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from faiglib.companion.page.escaping import as_html, as_json
from faiglib.companion.page.style import as_picture
from faiglib.errors import FaiglibError

#: Of the WebP pictures; high, because their noise is what readers look at.
QUALITY = 90


class Interactive:
    """HTML that a notebook shows.

    Attributes:
        html: the figure.
    """

    def __init__(self, kind: str, content: str, caption: str, data: object = None) -> None:
        script = f'<script type="application/json">{as_json(data)}</script>' if data is not None else ""
        self.html = (
            f'<figure class="interactive" data-kind="{kind}" hidden>{content}'
            f"<figcaption>{as_html(caption)}</figcaption>{script}</figure>"
        )

    def _repr_html_(self) -> str:
        return self.html


def picture(image: Tensor) -> str:
    """An image (1, 3, H, W) in [0, 1] as the address of a WebP picture that holds it."""
    pixels = (as_picture(image) * 255).round().astype("uint8")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def montage(rows: Sequence[Sequence[Tensor]], gap: int = 2) -> Tensor:
    """Images of one size, (1, 3, H, W) each, in rows with white gaps: (1, 3, H', W')."""
    tall, wide = rows[0][0].shape[-2:]
    sheet = torch.ones(1, 3, len(rows) * (tall + gap) - gap, len(rows[0]) * (wide + gap) - gap)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = i * (tall + gap), j * (wide + gap)
            sheet[..., top : top + tall, left : left + wide] = image
    return sheet


def frames(
    images: Mapping[tuple[str, ...], Tensor],
    names: Sequence[str],
    start: tuple[str, ...],
    caption: str,
    alt: str,
    heads: Sequence[str] = (),
) -> Interactive:
    """One picture for every setting of one or more sliders.

    Args:
        images: (1, 3, H, W) by setting, a value in words for each slider; every combination of the values that occur.
        names: what the sliders turn.
        start: setting at first.
        caption: below the picture.
        alt: what one sees, for those who do not; the setting is added.
        heads: of equally wide columns of the picture.

    Raises:
        FaiglibError: a combination of values has no picture, or ``start`` is none.
    """
    values = [list(dict.fromkeys(setting[axis] for setting in images)) for axis in range(len(names))]
    settings: list[tuple[str, ...]] = [()]
    for axis in values:
        settings = [(*setting, value) for setting in settings for value in axis]
    if set(settings) != set(images) or start not in images:
        raise FaiglibError("a picture is needed for every setting of the sliders and for the one at the start")
    pictures = [picture(images[setting]) for setting in settings]
    titles = "".join(f"<span>{as_html(head)}</span>" for head in heads)
    sliders = "".join(
        f'<label>{as_html(name)} <input type="range" min="0" max="{len(axis) - 1}" step="1" '
        f'value="{axis.index(value)}"> <output></output></label>'
        for name, axis, value in zip(names, values, start, strict=True)
    )
    content = (
        f'<div class="heads">{titles}</div><div class="stage"><img alt="{as_html(alt)}" '
        f'src="{pictures[settings.index(start)]}"></div>{sliders}'
    )
    axes = [{"name": name, "values": axis} for name, axis in zip(names, values, strict=True)]
    return Interactive("frames", content, caption, {"pictures": pictures, "axes": axes, "alt": alt})


def compare(images: Mapping[str, Tensor], caption: str) -> Interactive:
    """Two pictures of one size, by title, on top of each other; a slider moves the edge between them.

    Raises:
        FaiglibError: there are not two.
    """
    if len(images) != 2:
        raise FaiglibError(f"before and after are two pictures, not {len(images)}")
    (left, first), (right, second) = images.items()
    content = (
        f'<div class="heads"><span>{as_html(left)}</span>'
        f'<span class="end">{as_html(right)}</span></div>'
        f'<div class="stage">'
        f'<img draggable="false" alt="{as_html(left)}" src="{picture(first)}">'
        f'<img draggable="false" class="over" alt="{as_html(right)}" src="{picture(second)}"></div>'
        f'<input type="range" min="0" max="100" value="50" '
        f'aria-label="Share of the picture that shows {as_html(left)}">'
    )
    return Interactive("compare", content, caption)


def filter_map(table: pd.DataFrame, layers: Sequence[str], caption: str) -> Interactive:
    """Discovered filters at their places, of one function or all; the one pointed at, or walked to by key, is named.

    Args:
        table: one network and seed from :func:`faiglib.companion.distribution.measure.locations`.
        layers: names of all convolutions of the network.
        caption: below the map.
    """
    functions = list(table["filters"].unique())
    ranked = table.sort_values("score", ascending=False, kind="stable")
    filters = [
        [
            row.number,
            row.output_channel,
            row.input_channel,
            round(row.input, 4),
            round(row.output, 4),
            row.score,
            functions.index(row.filters),
        ]
        for row in ranked.itertuples()
    ]
    choices = "".join(
        f'<label><input type="radio" value="{as_html(value)}"{" checked" if value == "both" else ""}> '
        f"{as_html(value)}</label>"
        for value in (*functions, "both")
    )
    label = "Map of the filters; the arrow keys walk through them from the highest score down"
    content = (
        f'<fieldset class="choice"><legend>filters</legend>{choices}</fieldset>'
        f'<canvas tabindex="0" role="img" aria-label="{as_html(label)}"></canvas><output aria-live="polite"></output>'
    )
    return Interactive("map", content, caption, {"layers": list(layers), "functions": functions, "filters": filters})
