"""Boxes around the plots of a finished page, by which style sheet and scripts know them from photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag


def boxed(page: BeautifulSoup, folder: Path) -> list[tuple[Tag, int]]:
    """Put a box around every plot among the outputs of a page, in place.

    A plot has no ground; its ink is turned light where the page is dark, it scrolls on a phone and opens in full size.

    Args:
        page: parsed.
        folder: of the page, where its pictures are looked for.

    Returns:
        Each box, and the width of its plot in CSS pixels.
    """
    found = []
    for picture in page.select(".cell_output img"):
        path = folder / str(picture.get("src", ""))
        if path.suffix != ".png" or not path.is_file():
            continue
        with Image.open(path) as image:
            width = image.width
        box = page.new_tag("div", attrs={"class": "scrolls plot", "style": f"--natural: {width}px"})
        picture.wrap(box)
        found.append((box, width))
    return found
