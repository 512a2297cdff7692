"""Boxes on a page that open and close."""

from __future__ import annotations

from collections.abc import Mapping

from faiglib.companion.page.escaping import as_html
from faiglib.companion.page.words import printed


def box(title: str, rows: Mapping[str, str], kind: str = "budget", opened: bool = False, more: str = "") -> str:
    """HTML of a box with a row for each name and text; those without a text are left out.

    Args:
        title: what one clicks on.
        rows: text by name, neither of them HTML.
        kind: its classes in ``book.css``.
        opened: whether it is open at first.
        more: HTML below the rows.
    """
    cells = "".join(
        f"<tr><th>{as_html(name)}</th><td>{as_html(printed(text))}</td></tr>" for name, text in rows.items() if text
    )
    start = f'<details class="{kind}"{" open" if opened else ""}><summary>{as_html(title)}</summary>'
    return f"{start}<table>{cells}</table>{more}</details>"
