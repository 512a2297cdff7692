"""Notebooks opened in JupyterLab: what is saved there comes back to the .py file, and no cell is ever lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupytext.cli import jupytext as run_jupytext

PROJECT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.py"))


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A copy of the notebooks with the project's settings for jupytext."""
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    shutil.copytree(PROJECT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("*.ipynb", "__*"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sync(path: Path) -> Path:
    """Synchronises a notebook as JupyterLab does on opening and saving; returns the paired .ipynb."""
    run_jupytext(["--sync", str(path)])
    (paired,) = Path("build/lab").rglob(f"{path.stem}.ipynb")
    return paired


def cells(path: Path) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]


def with_metadata(path: Path) -> list[tuple[str, str, dict]]:
    return [(cell.cell_type, cell.source, cell.metadata) for cell in jupytext.read(path).cells]


def make_newer(path: Path, than: Path) -> None:
    """Makes a file newer than another, whatever the resolution of the clock."""
    later = than.stat().st_mtime + 10
    os.utime(path, (later, later))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_opening_and_saving_changes_nothing(project, notebook):
    text = project / "notebooks" / notebook.name
    before = with_metadata(text)
    paired = sync(text)
    assert with_metadata(paired) == before
    make_newer(paired, text)
    sync(text)
    assert with_metadata(text) == before


def test_edits_in_lab_come_back_and_those_in_the_text_go_there(project):
    text = project / "notebooks" / NOTEBOOKS[0].name
    paired = sync(text)
    notebook = nbformat.read(paired, as_version=4)
    count = len(notebook.cells)
    code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code.outputs = [nbformat.v4.new_output("stream", text="kept")]
    notebook.cells.insert(2, nbformat.v4.new_code_cell("x = '# %%'\n!ls\n%timeit x"))
    notebook.cells.insert(3, nbformat.v4.new_markdown_cell("Prose with θ\n\n# and a heading"))
    notebook.cells.append(nbformat.v4.new_raw_cell("raw"))
    notebook.cells.append(nbformat.v4.new_code_cell(""))
    nbformat.write(notebook, paired)
    make_newer(paired, text)
    sync(text)
    edited = [(cell.cell_type, cell.source) for cell in notebook.cells]
    assert len(edited) == count + 4
    assert cells(text) == edited

    text.write_text(text.read_text(encoding="utf-8") + "\n# %%\nlast = 1\n", encoding="utf-8")
    make_newer(text, paired)
    sync(text)
    assert cells(paired) == [*edited, ("code", "last = 1")]
    first = next(cell for cell in nbformat.read(paired, as_version=4).cells if cell.cell_type == "code")
    assert first.outputs[0].text == "kept"
