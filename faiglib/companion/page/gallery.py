"""Photographs in rows, each with words of its own, as HTML: they flow on a phone, and open by a click.

Plots are matplotlib's; photographs are not, since their titles would shrink with the window and be black in the dark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from faiglib.companion.page.escaping import as_html
from faiglib.companion.page.interactive import picture


@dataclass(frozen=True)
class Shot:
    """A photograph and what is said of it.

    Attributes:
        image: (1, 3, H, W) in [0, 1].
        note: in small type at the end of its line, such as a PSNR.
        frame: function whose colour frames it.
    """

    image: Tensor
    note: str = ""
    frame: str = ""


class Gallery:
    """HTML that a notebook shows.

    Attributes:
        html: the gallery.
    """

    def __init__(self, html: str) -> None:
        self.html = html

    def _repr_html_(self) -> str:
        return self.html


def gallery(rows: Mapping[str, Mapping[str, Shot]] | Mapping[str, Mapping[str, Tensor]], columns: int = 0) -> Gallery:
    """Photographs by row and title.

    Args:
        rows: {title of the row: {title: photograph}}; a row without a title has no heading.
        columns: in a wide window; 0 for as many as the longest row has.
    """
    columns = columns or max(len(row) for row in rows.values())
    parts = []
    for name, row in rows.items():
        head = f'<p class="row-title">{as_html(name)}</p>' if name else ""
        shots = "".join(_shot(name, title, one) for title, one in row.items())
        parts.append(f'{head}<div class="row-of-shots">{shots}</div>')
    return Gallery(f'<div class="gallery" style="--columns: {columns}">{"".join(parts)}</div>')


def _shot(row: str, title: str, shot: Shot | Tensor) -> str:
    one = shot if isinstance(shot, Shot) else Shot(shot)
    note = f' <span class="note">{as_html(one.note)}</span>' if one.note else ""
    words = ", ".join(filter(None, (row, title, one.note)))
    return (
        f'<div class="shot" data-frame="{as_html(one.frame)}">'
        f'<div class="words"><span>{as_html(title)}</span>{note}</div>'
        f'<img alt="{as_html(words)}" src="{picture(one.image)}"></div>'
    )
