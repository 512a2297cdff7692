"""Lays out the source of the book in ``build/source``: written pages, executed notebooks, API page."""

from __future__ import annotations

import shutil
from itertools import count
from typing import Any

from bookmaker import staleness
from bookmaker.execute import read_notebook, write_notebook
from bookmaker.finish import sources
from bookmaker.layout import Layout
from bookmaker.pages import api, artifact, availability, banner, colophon, differs, drift, opposite, scorecard, takeaway

NOT_PAGES = ("tools", "items.yml", "__pycache__", ".*")
SHOWN = "show-input"  # tag of cells whose code is not folded
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

    tables = count(1)
    shutil.rmtree(layout.source, ignore_errors=True)
    shutil.copytree(layout.root / "book", layout.source, ignore=shutil.ignore_patterns(*NOT_PAGES))
    shutil.copyfile(layout.root / "_config.yml", layout.source / "_config.yml")
    api.fill(layout)
    artifact.fill(layout)
    availability.fill(layout)
    differs.fill(layout)
    drift.fill(layout)
    scorecard.fill(layout)
    (layout.source / "notebooks").mkdir()
    (layout.source / sources.EXTRA).mkdir()
    opposite.fill(layout)
    for name in layout.pages():
        path = layout.source / f"{name}.md"
        if path.is_file():
            text = below_title(path.read_text(encoding="utf-8").rstrip(), banner.of(layout, name))
            path.write_text(f"{text}\n\n{colophon.of_page(layout, name)}\n", encoding="utf-8")
    without_results = []
    for name in layout.notebooks():
        executed = layout.executed / f"{name}.ipynb"
        if executed.is_file():
            notebook = nbformat.read(executed, as_version=4)
            parameters = notebook.metadata.get("papermill", {}).get("parameters", {})
            record = staleness.read_execution(layout, name) or {}
            page = as_page(notebook)
            sources.add(page, name, layout.source, tables)
            if notice := banner.of(layout, name):
                add_notice(page, notice)
            page.cells.append(nbformat.v4.new_markdown_cell(colophon.of_chapter(layout, name, parameters, record)))
            takeaway.add(page, layout.root, record.get("made_with", {}).get("commit"))
        else:
            page = read_notebook(layout.notebook(name))
            add_notice(page, NOT_EXECUTED.format(number=name.split("_")[0]))
            without_results.append(name)
        write_notebook(layout.source / "notebooks" / f"{name}.ipynb", page)
    return without_results


def as_page(notebook: Any) -> Any:
    """An executed notebook as it is shown: code folded, and nothing that belongs to the execution alone."""
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in _tags(cell)]
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        # Warnings name folders of this machine, and are in the notebook for whoever executes it.
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        # The defaults among the parameters need not be the values that the page was made with.
        if "parameters" in _tags(cell):
            cell.metadata["tags"] = [*_tags(cell), "remove-cell"]
        elif SHOWN not in _tags(cell):
            cell.metadata["tags"] = [*_tags(cell), "hide-input"]
    notebook.metadata.pop("papermill", None)
    return notebook


def below_title(text: str, notice: str) -> str:
    """A page in Markdown with a notice behind its title."""
    if not notice:
        return text
    before, title, rest = text.partition("\n# ") if not text.startswith("# ") else ("", "# ", text[2:])
    first, _, rest = rest.partition("\n")
    return f"{before}{title}{first}\n\n{notice}\n{rest}"


def add_notice(notebook: Any, text: str) -> None:
    """Puts a notice behind the first cell, which holds the title of the page."""
    import nbformat

    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(text))


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))
