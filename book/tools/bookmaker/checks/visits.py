"""Visits every page of a book in browsers without a network, one for each core, and says what is wrong with them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tqdm import tqdm

from bookmaker.checks import axe, offline
from bookmaker.checks.browser import DESKTOP, Browser
from bookmaker.finish.finishing import pages

#: The browser of this process, which visits one page after another.
_own: list[Browser] = []


def complaints(program: str, html: Path, script: str | None, workers: int) -> list[str]:
    """One line for everything that is wrong with a page of a folder, in the order of the pages.

    Args:
        program: The browser, see :func:`bookmaker.checks.browser.find`.
        html: The folder.
        script: axe-core, which then looks at every page too; None leaves it out.
        workers: Browsers that share the pages.

    Raises:
        BookError: If the browser does not start or does not answer.
    """
    paths = pages(html)
    if not paths:
        return []
    context = multiprocessing.get_context("spawn")
    visit = partial(_visited, program=program, html=html, script=script)
    with ProcessPoolExecutor(min(workers, len(paths)), context) as pool:
        found = pool.map(visit, paths)
        return [line for lines in tqdm(found, "pages", len(paths), unit="page") for line in lines]


def _visited(path: Path, program: str, html: Path, script: str | None) -> list[str]:
    if not _own:
        _own.append(Browser(program))  # which ends with its process
    return [f"{path}: {line}" for line in page_complaints(_own[0], path, html, script)]


def page_complaints(browser: Browser, path: Path, html: Path, script: str | None = None) -> Iterator[str]:
    """The lines for one page of the folder ``html``."""
    tab = browser.open(path.as_uri())
    yield from offline.complaints(tab, html)
    if script is not None:
        tab.resize(DESKTOP)
        yield from axe.complaints(tab, script)
    tab.close()
