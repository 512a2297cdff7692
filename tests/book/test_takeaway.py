"""The notebook that a reader takes away installs what it needs, and the page shows nothing of that."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from bookmaker.layout import Layout
from bookmaker.pages import limits, takeaway

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def taken(tmp_path: Path, origin: str | None) -> list:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    if origin:
        subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "origin", origin], check=True)
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title")])
    takeaway.add(page, tmp_path, COMMIT)
    nbformat.validate(page)
    return page.cells


@pytest.mark.parametrize("origin", ["https://github.com/someone/faiglib", "git@github.com:someone/faiglib"])
def test_a_first_cell_installs_the_commit_with_its_pins(tmp_path, monkeypatch, capsys, origin):
    badge, install, title = taken(tmp_path, origin)
    assert title.source == "# Title"
    assert badge.source.startswith("[![Open in Colab](https://colab.research.google.com/")
    assert badge.metadata.tags == install.metadata.tags == ["remove-cell"]
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: ran.append(command))
    exec(compile(install.source, "cell", "exec"), {})
    assert ran == []  # faiglib is here
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    exec(compile(install.source, "cell", "exec"), {})
    clone, checkout, pip = ran
    assert clone[:2] == ["git", "clone"]
    assert clone[-2:] == ["https://github.com/someone/faiglib", takeaway.FOLDER]
    assert checkout[-1] == COMMIT
    assert pip[0] == sys.executable
    assert pip[pip.index("-c") + 1] == f"{takeaway.FOLDER}/constraints.txt"
    assert pip[-1] == f"{takeaway.FOLDER}[book]"
    assert (ROOT / "constraints.txt").is_file()
    assert "Restart" in capsys.readouterr().out


@pytest.mark.parametrize("origin", [None, "/srv/faiglib", "file:///srv/faiglib"])
def test_nobody_is_sent_to_a_folder_of_another_machine(tmp_path, origin):
    assert [cell.source for cell in taken(tmp_path, origin)] == ["# Title"]


@pytest.mark.parametrize("profile", ["quick", "standard"])
def test_the_recorded_run_is_within_the_limits_of_neurolibre(profile):
    layout = Layout(ROOT)
    found = {need.what: need for need in limits.needs(layout, profile)}
    if not (ROOT / "results" / profile / "costs.json").is_file():
        assert found["hours"].used is None
        found = {"data (GB)": found["data (GB)"]}
    assert all(need.used is not None and 0 < need.used <= need.most for need in found.values()), found


def test_needs_are_added_up_by_hand(tmp_path):
    for folder in ("book", "notebooks", "models"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    layout = Layout(tmp_path)
    record = tmp_path / "results" / "quick" / "costs.json"
    record.parent.mkdir(parents=True)
    costs = {
        name: f'"{name}": {{"seconds": 3600, "memory_gib": {number}, "finished": ""}}'
        for number, name in enumerate(layout.notebooks(), 1)
    }
    record.write_text("{" + ", ".join(costs.values()) + "}")
    count = len(costs)
    hours, memory, _ = limits.needs(layout, "quick")
    assert hours.used == count
    assert memory.used == pytest.approx((count + count - 1) * 1.073741824)
    assert hours.used > hours.most
    record.write_text("{" + ", ".join(list(costs.values())[1:]) + "}")
    assert [need.used for need in limits.needs(layout, "quick")][:2] == [None, None]
    assert "not recorded" in "\n".join(limits.table(layout, ("quick",)))
