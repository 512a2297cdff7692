"""A chapter runs from its text to its results in the quick profile, as `reproduce` runs it."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest

from bookmaker.execute import execute
from bookmaker.layout import Layout

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["10_training"])  # the cheapest; the quick book executes all
def test_chapter_executes_and_shows_its_tables_and_figures(name, tmp_path, monkeypatch):
    monkeypatch.setenv("FAIGLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / f"{name}.py", tmp_path / "notebooks")
    layout = Layout(tmp_path)
    parameters = {"profile": "quick", "device": "cpu", "seed": 0, "data_dir": None, "models_dir": str(ROOT / "models")}
    execute(layout, name, parameters)
    notebook = nbformat.read(layout.executed / f"{name}.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    kinds = [set(output.get("data", {})) for output in outputs]
    assert sum("image/png" in kind for kind in kinds) == 2
    tables = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any("peak learning" in table for table in tables)
    assert any("trained pairs" in table and 'class="budget"' in table for table in tables)
    assert not [output for output in outputs if output.output_type == "error"]
