"""Figures of finished pages: a box that scrolls, and the width of the window for the wide ones.

The style sheet does the rest: plots have no ground, and their ink is turned light where the page is dark; photographs
are shown as they are. The script ``enlarge.js`` opens both.
"""

from __future__ import annotations

from pathlib import Path

from bs4 import BeautifulSoup

from bookmaker.finish.tables import widen
from faiglib.companion.page.plots import boxed

#: Of figures in CSS pixels, from which on they take the width of the window.
WIDE = 760


def finish_figures(page: BeautifulSoup, folder: Path) -> None:
    """Finishes the figures of a page in ``folder``, in place."""
    for box, width in boxed(page, folder):
        cell = box.find_parent("div", class_="cell")
        if cell and width > WIDE:
            widen(cell)
    for gallery in page.select(".cell_output .gallery, .cell_output [data-kind=map]"):
        cell = gallery.find_parent("div", class_="cell")
        if cell:
            widen(cell)
