"""RO-Crates of recorded runs and of built books, read by the package `rocrate`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from bookmaker import staleness
from bookmaker.layout import Layout
from bookmaker.records import crate

ROOT = Path(__file__).resolve().parents[2]


def referred(value: object) -> set[str]:
    """Every place that something in a crate refers to."""
    if isinstance(value, list):
        return set().union(*map(referred, value)) if value else set()
    if isinstance(value, dict):
        return {value["@id"]} if set(value) == {"@id"} else set().union(*map(referred, value.values()))
    return set()


def checked(folder: Path) -> ROCrate:
    """A crate that `rocrate` reads: every file is there with its sha256, every reference leads somewhere."""
    graph = {one["@id"]: one for one in json.loads((folder / crate.FILE).read_text())["@graph"]}
    outside = {"https://w3id.org/ro/crate/1.1"}
    assert referred(list(graph.values())) - outside <= set(graph)
    found = ROCrate(folder)
    assert found.root_dataset["conformsTo"].id == crate.PROFILE
    for entity in found.data_entities:
        content = (folder / entity.id).read_bytes()
        assert entity["sha256"] == hashlib.sha256(content).hexdigest(), f"{entity.id}: record it again"
        assert entity["contentSize"] == str(len(content))
    return found


@pytest.mark.parametrize("profile", ["standard", "quick"])
def test_recorded_runs_are_process_run_crates(profile):
    folder = ROOT / "results" / profile
    found = checked(folder)
    there = {path.name for path in folder.iterdir()} - {crate.FILE}
    assert {entity.id for entity in found.data_entities} == there
    actions = found.get_by_type("CreateAction")
    assert actions
    results = {one.id for action in actions for one in action["result"]}
    assert results == {name for name in there if name.endswith(".csv") or f"{name[:-5]}.csv" in there}
    manifest = json.loads((ROOT / "models" / "manifest.json").read_text())
    known = {entry["file"]: entry["sha256"] for entry in manifest["models"]}
    for action in actions:
        assert "agent" not in action.properties()
        assert action["instrument"]["name"] == "faiglib"
        assert len(action["instrument"]["version"]) == 40
        weights = [one for one in action["object"] if one["name"].startswith("models/")]
        assert weights
        assert all(known[one["name"].removeprefix("models/")] == one["sha256"] for one in weights)
        assert {one["name"] for one in action["environment"]} >= {"python", "torch", "cpu"}


def test_a_built_book_is_one(tmp_path):
    layout = Layout(tmp_path)
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_one.py").touch()
    (tmp_path / "book" / "index.md").touch()
    (tmp_path / "book" / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n  - file: notebooks/01_one\n")
    assert crate.write_book(layout) is None, "nothing has been executed"
    layout.executed.mkdir(parents=True)
    (layout.executed / "01_one.ipynb").write_text("{}")
    made_with = {
        "faiglib": "0.1.0", "commit": None, "sources": "e" * 64, "torch": "2.13.0", "gpu": None,
        "weights": {"srresnet-target-seed0.safetensors": "a" * 64}, "images": {"set14": "b" * 64},
    }  # fmt: skip
    cost = staleness.Cost(1.0, None, 0, 0, "2026-11-27T10:00:00+00:00")
    staleness.remember(layout, "01_one", {}, cost, made_with, "quick", {})
    assert crate.write_book(layout) is None, "nothing has been built"
    for name in ("index.html", "notebooks/01_one.html", "notebooks/data.csv", "_static/theme.html"):
        (layout.html / name).parent.mkdir(parents=True, exist_ok=True)
        (layout.html / name).write_text(name)
    assert crate.write_book(layout) == layout.html / crate.FILE
    found = checked(layout.html)
    assert {one.id for one in found.data_entities} == {"index.html", "notebooks/01_one.html", "notebooks/data.csv"}
    (action,) = found.get_by_type("CreateAction")
    assert [one.id for one in action["result"]] == ["notebooks/01_one.html"]
    assert {one["name"] for one in action["object"]} == {"Set14", "models/srresnet-target-seed0.safetensors"}
    assert {one["name"]: one["value"] for one in action["environment"]} == {"torch": "2.13.0"}
    assert action["instrument"]["version"] == f"sources {'e' * 64}"
