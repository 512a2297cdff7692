"""Places in the written pages that are filled when the book is staged."""

from __future__ import annotations

from collections.abc import Callable

from bookmaker.layout import Layout
from faiglib.system.files import write_text_atomic


def fill(layout: Layout, page: str, place: str, make: Callable[[], str]) -> None:
    """Replaces a marked place in a staged page by what ``make`` returns; without page or place nothing is made."""
    path = layout.source / page
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if place in text:
        write_text_atomic(path, text.replace(place, make()))
