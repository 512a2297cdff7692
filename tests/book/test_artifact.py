"""The checklist and the page on badges: what the record decides is taken from it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bookmaker.layout import Layout
from bookmaker.pages import artifact
from faiglib.companion.criteria import CLAIMS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    for name in ("01_one", "02_two"):
        (tmp_path / "notebooks" / f"{name}.py").touch()
    (tmp_path / "book" / "index.md").touch()
    chapters = "".join(f"  - file: notebooks/{name}\n" for name in ("01_one", "02_two"))
    (tmp_path / "book" / "_toc.yml").write_text(f"format: jb-book\nroot: index\nchapters:\n{chapters}")
    (tmp_path / "results" / "standard").mkdir(parents=True)
    return Layout(tmp_path)


def record(layout: Layout, name: str, content: object) -> None:
    (layout.root / "results" / "standard" / name).write_text(json.dumps(content))


def test_costs_are_added_up(layout):
    assert "does not say what it cost" in artifact.cost(layout)
    record(layout, "costs.json", {"01_one": {"seconds": 50.0, "memory_gib": 1.5, "finished": ""}})
    assert "1 notebook took 50.0 s, added up, and at most 1.5 GiB" in artifact.cost(layout)
    assert "It does not say so of 1 notebook of the book." in artifact.cost(layout)
    both = {name: {"seconds": 50.0, "memory_gib": None, "finished": ""} for name in ("01_one", "02_two")}
    record(layout, "costs.json", both)
    assert artifact.cost(layout).endswith("2 notebooks took 1 min 40 s, added up.")


def test_costs_are_told_by_chapter(layout):
    assert list(artifact.by_chapter(layout)) == []
    whole = {"seconds": 90.0, "memory_gib": 1.5, "gradients": 1234, "pixels": 5_600_000, "finished": ""}
    record(layout, "costs.json", {"01_one": whole})
    head, rule, *rows = artifact.by_chapter(layout)
    assert head == "| chapter | standard: minutes | standard: gradients | standard: megapixels |"
    assert rule.count("|") == head.count("|")
    assert rows == [
        "| [](notebooks/01_one.ipynb) | 1.5 | 1,234 | 5.6 |",
        "| [](notebooks/02_two.ipynb) | – | – | – |",
    ]
    record(layout, "costs.json", {"02_two": {"seconds": 30.0, "memory_gib": None, "finished": ""}})
    assert list(artifact.by_chapter(layout))[-1] == "| [](notebooks/02_two.ipynb) | 0.5 | – | – |"


@pytest.mark.parametrize(
    ("grades", "expected"),
    [
        ({}, "nothing can be said"),
        ({"A": "not tested"}, "nothing can be said"),
        ({"A": "held", "B": "held"}, "replicated"),
        ({"A": "held", "B": "did not hold"}, "replicated in part"),
        ({"A": "partly"}, "replicated in part"),
        ({"A": "held", "B": "not tested"}, "replicated in part"),
        ({"A": "did not hold"}, "not replicated"),
    ],
)
def test_only_what_held_everywhere_is_replicated(layout, grades, expected):
    part = {"grades": grades, "measured": "", "why": ""}
    record(
        layout,
        "verdict_b.json",
        {"claim": "b", "paper": part, "beyond": part, "profile": "standard", "image_sets": [], "pairs": {}},
    )
    rows = [row for row in artifact.claims(layout) if row.startswith("| (")]
    assert len(rows) == len(CLAIMS)
    (row,) = (row for row in rows if row.startswith("| (b)"))
    assert row.endswith(f"| {expected} |")


@pytest.mark.parametrize("page", [artifact.CHECKLIST, artifact.BADGES])
def test_pages_lead_to_pages_of_the_book(page):
    text = (ROOT / "book" / page).read_text()
    links = re.findall(r"\]\(([\w/]+)\.(?:md|ipynb)\)", text)
    assert len(links) >= 3
    pages = Layout(ROOT).pages()
    assert set(links) <= set(pages)
    assert artifact.COST in text or artifact.CLAIMS in text
