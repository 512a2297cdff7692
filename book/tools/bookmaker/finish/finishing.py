"""What finished pages need besides what Sphinx, its theme, pandas and matplotlib put into them.

Each of the five parts changes a parsed page in place: the theme's faults, the tables, the figures, the spaces before
units, and the policy on scripts, which comes last.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bs4 import BeautifulSoup

from bookmaker.finish import policy, theme
from bookmaker.finish.figures import finish_figures
from bookmaker.finish.spaces import keep_units
from bookmaker.finish.tables import finish_tables
from faiglib.system.files import write_text_atomic

#: Fewer pages than these are finished before another process has started.
FEW = 20


def pages(html: Path) -> list[Path]:
    """All pages of a folder; the theme has templates among its static files, which are none."""
    return sorted(path for path in html.rglob("*.html") if "_static" not in path.relative_to(html).parts)


def finish(html: Path, workers: int = 1) -> None:
    """Finishes every page of a folder.

    Args:
        html: The folder.
        workers: Processes that share a folder of more than a few pages.

    Raises:
        StoreError: A page cannot be written.
    """
    paths = pages(html)
    if workers < 2 or len(paths) < FEW:
        for path in paths:
            _finish(path)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_finish, paths, chunksize=4))  # which raises what one of them raised


def _finish(path: Path) -> None:
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    theme.mend(page)
    finish_tables(page)
    finish_figures(page, path.parent)
    keep_units(page)
    policy.add(page)
    write_text_atomic(path, str(page))
