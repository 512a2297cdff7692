"""The book as one PDF: all pages as one, printed by a headless browser."""

from __future__ import annotations

import shutil

from bookmaker import html
from bookmaker.checks.browser import Browser
from bookmaker.errors import BookError
from bookmaker.layout import Layout
from faiglib.system.files import atomic_write

#: Links to files that are not in the PDF become text.
NO_FILES = """for (const link of document.querySelectorAll("a[href]"))
  if (link.protocol === "file:" && link.pathname !== location.pathname) link.removeAttribute("href")"""


def make(layout: Layout, browser: Browser) -> None:
    """Prints ``build/source``, as the last run has left it, to ``build/book.pdf``, which stays as it is on failure.

    Raises:
        BookError: If there is nothing to print or it cannot be built.
    """
    if not layout.source.is_dir():
        raise BookError(f"there is no book in {layout.build} yet; nox -s reproduce makes one")
    page = html.run_sphinx(layout, "singlehtml", strict=False) / "index.html"
    tab = browser.open(page.as_uri())
    tab.evaluate(NO_FILES)
    printed = tab.pdf()
    tab.close()
    with atomic_write(layout.pdf) as file:
        file.write(printed)
    shutil.rmtree(html.work_folder(layout), ignore_errors=True)
