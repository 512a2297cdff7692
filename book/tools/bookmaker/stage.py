"""Lays out the source of the book in ``build/source``: written pages, executed notebooks, API page."""

from __future__ import annotations

import shutil
from typing import Any

from bookmaker import api, drift
from bookmaker.execute import read_notebook
from bookmaker.layout import Layout

NOT_PAGES = ("tools", "items.yml", "__pycache__", ".*")
NOT_EXECUTED = """```{{admonition}} Not executed
:class: warning
This page shows the chapter without results, because its notebook has not been executed here yet.
`nox -s reproduce -- --only {number}` executes it, `nox -s reproduce` everything.
```"""


def stage(layout: Layout) -> list[str]:
    """Makes ``build/source`` anew.

    Args:
        layout: The project.

    Returns:
        The notebooks that were staged without results, since no execution of them exists.
    """
    import nbformat

    shutil.rmtree(layout.source, ignore_errors=True)
    shutil.copytree(layout.root / "book", layout.source, ignore=shutil.ignore_patterns(*NOT_PAGES))
    shutil.copyfile(layout.root / "_config.yml", layout.source / "_config.yml")
    api.fill(layout)
    drift.fill(layout)
    (layout.source / "notebooks").mkdir()
    without_results = []
    for name in layout.notebooks():
        executed = layout.executed / f"{name}.ipynb"
        if executed.is_file():
            page = as_page(nbformat.read(executed, as_version=4))
        else:
            page = read_notebook(layout.notebook(name))
            add_notice(page, NOT_EXECUTED.format(number=name.split("_")[0]))
            without_results.append(name)
        nbformat.write(page, layout.source / "notebooks" / f"{name}.ipynb")
    return without_results


def as_page(notebook: Any) -> Any:
    """An executed notebook as it is shown: code folded, and nothing that belongs to the execution alone."""
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in _tags(cell)]
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        # The defaults among the parameters need not be the values that the page was made with; other code is folded.
        fate = "remove-cell" if "parameters" in _tags(cell) else "hide-input"
        cell.metadata["tags"] = [*_tags(cell), fate]
    notebook.metadata.pop("papermill", None)
    return notebook


def add_notice(notebook: Any, text: str) -> None:
    """Puts a notice behind the first cell, which holds the title of the page."""
    import nbformat

    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(text))


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))
