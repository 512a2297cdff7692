"""What finished pages need besides what Sphinx, its theme, pandas and matplotlib put into them.

Each of the three parts changes a parsed page in place: the theme's faults, the tables, and the figures.
"""

from __future__ import annotations

from pathlib import Path

from bs4 import BeautifulSoup

from bookmaker import theme
from bookmaker.figures import finish_figures
from bookmaker.offline import pages
from bookmaker.tables import finish_tables
from faiglib.system.files import write_text_atomic


def finish(html: Path) -> None:
    """Finishes every page of a folder."""
    for path in pages(html):
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        theme.mend(page)
        finish_tables(page)
        finish_figures(page, path.parent)
        write_text_atomic(path, str(page))
