"""Below every figure and table of a chapter: its number, the code that made it, and its data as CSV.

The outputs of an executed notebook carry both, see :mod:`faiglib.companion.page.source`. The CSV files are staged below
``extra/data/CHAPTER``, whose parent Sphinx copies to the root of the book; the code is among the pages of viewcode.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from faiglib.companion.page.escaping import as_html
from faiglib.system.files import write_text_atomic

EXTRA = "extra"
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
OPENING = re.compile(r"<table\b[^>]*>")
ROLE = re.compile(r":\w+:`~?([^`]*)`")


def add(page: Any, name: str, source: Path, tables: Iterator[int]) -> None:
    """Puts the line below each output that knows its source.

    Args:
        page: The notebook as it is shown; changed in place.
        name: Of the chapter.
        source: The staged source of the book.
        tables: Numbers for the tables.
    """
    import nbformat

    from faiglib.companion.page.source import MIME

    figures = count(1)
    cells = []
    section = ""
    for cell in page.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            section = [section, *HEADING.findall(cell.source)][-1]
        outputs: list[Any] = []
        for output in cell.get("outputs", []):
            outputs.append(output)
            made_of = output.get("data", {}).pop(MIME, None)
            if made_of is None:
                continue
            named = _figure_name(cell)
            if named or "image/png" in output["data"]:
                stem, title = named or f"figure-{next(figures)}", ""
            else:
                number = next(tables)
                stem, title = f"table-{number}", f"Table {number}."
                _caption(output["data"], title, _of_what(made_of["function"]) or section)
            line = _line(stem, title, made_of["function"], list(_write(made_of["tables"], name, stem, source)))
            if title:
                outputs.append(nbformat.v4.new_output("display_data", {"text/html": line}))
            else:  # MyST-NB would make a figure of all outputs of the cell
                cells.append(nbformat.v4.new_markdown_cell(line))
        if outputs:
            cell.outputs = outputs
    page.cells = cells


def _figure_name(cell: Any) -> str | None:
    name: str | None = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
    return name


def _caption(data: Any, number: str, words: str) -> None:
    """Puts the number in front of the caption of a table, which gets one if it has none."""
    html, number = data.get("text/html", ""), f"<strong>{number}</strong>"
    if "<caption>" in html:
        data["text/html"] = html.replace("<caption>", f"<caption>{number} ", 1)
    else:
        data["text/html"] = OPENING.sub(lambda tag: f"{tag[0]}<caption>{number} {as_html(words)}</caption>", html, 1)


def _of_what(function: str) -> str:
    """The first paragraph of what a chapter's function says of itself; nothing of a function for any table."""
    module, _, name = function.rpartition(".")
    if not module.startswith("faiglib.") or module == "faiglib.companion.page.tables":
        return ""
    text = inspect.getdoc(getattr(importlib.import_module(module), name)) or ""
    return ROLE.sub(r"\1", " ".join(text.partition("\n\n")[0].split())).removesuffix(".") + "."


def _write(tables: dict[str, str], name: str, stem: str, source: Path) -> Iterator[tuple[str, str]]:
    """Writes the tables; yields the argument and the address of each."""
    for argument, text in tables.items():
        file = f"{stem}.csv" if len(tables) == 1 else f"{stem}-{argument}.csv"
        write_text_atomic(source / EXTRA / "data" / name / file, text)
        yield argument, f"../data/{name}/{file}"


def _line(stem: str, title: str, function: str, links: list[tuple[str, str]]) -> str:
    module, _, short = function.rpartition(".")
    page = as_html(module.replace(".", "/"))
    code = f'<a href="../_modules/{page}.html#{as_html(short)}"><code>{as_html(function)}</code></a>'
    data = ", ".join(
        f'<a href="{as_html(address)}" download>{"CSV" if len(links) == 1 else f"{as_html(argument)} (CSV)"}</a>'
        for argument, address in links
    )
    anchor = f' id="{as_html(stem)}"' if title else ""
    return f'<p class="made-of"{anchor}>Code: {code} in the cell above{f"; data: {data}" if data else ""}.</p>'
