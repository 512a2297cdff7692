"""What is added to the pages when they are staged and built: scorecard, provenance, and explained words."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import docutils.core
import pytest
import yaml
from bs4 import BeautifulSoup
from docutils import nodes

from bookmaker.checks import check
from bookmaker.errors import BookError
from bookmaker.layout import Layout
from bookmaker.pages import colophon, scorecard
from bookmaker.sphinx import glossary
from faiglib.companion.criteria import CLAIMS

PROJECT = Path(__file__).resolve().parents[2]


def test_every_item_of_the_paper_has_a_row_with_a_link():
    entries = yaml.safe_load((PROJECT / "book/items.yml").read_text(encoding="utf-8"))
    _, _, *rows = scorecard.items(Layout(PROJECT))
    assert len(rows) == len(entries)
    for row, entry in zip(rows, entries, strict=True):
        assert entry["item"] in row
        assert f"[]({entry['page']}." in row
        for letter in entry.get("claims", []):
            assert CLAIMS[letter].page == entry["page"], f"{entry['item']} is not where claim {letter} is judged"
            assert f"{letter}: " in row
    assert {letter for entry in entries for letter in entry.get("claims", [])} == set(CLAIMS)
    assert "{numref}`fig-masking-curves` in [](notebooks/03_masking.ipynb) | b: " in "\n".join(rows)


def test_the_front_page_has_its_places():
    text = (PROJECT / "book/index.md").read_text(encoding="utf-8")
    assert text.count(scorecard.CLAIMS) == text.count(scorecard.ITEMS) == text.count(scorecard.STORY) == 1


@pytest.fixture
def made(tmp_path):
    listed = json.loads((PROJECT / "models" / "manifest.json").read_text())["models"][0]
    listed |= {"file": "a.safetensors", "sha256": "12345678" * 8}
    (tmp_path / "manifest.json").write_text(json.dumps({"models": [listed]}))
    return colophon.made_with("cpu", {"set14": "87654321ffff"}, tmp_path)


def test_a_chapter_ends_with_what_made_it(tmp_path, made):
    record = {"finished": "2026-01-02T03:04:05+00:00", "seconds": 6.7, "made_with": made}
    end = colophon.of_chapter(Layout(tmp_path), "03_masking", {"profile": "quick", "seed": 4, "device": "cpu"}, record)
    for words in (
        "2026-01-02T03:04:05+00:00, took 6.7 s",
        "profile quick, device cpu, seed 4",
        "a.safetensors 12345678",
        "set14 87654321",
        "nox -s reproduce -- --profile quick --only 03",
        "notebooks/03_masking.py",
        f"PyTorch {made['torch']}",
    ):
        assert words in end
    assert "mybinder" not in end
    assert str(tmp_path) not in end


def test_a_chapter_from_github_can_be_launched(tmp_path, made):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    origin = "git@github.com:someone/faiglib.git"
    subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "origin", origin], check=True)
    end = colophon.of_chapter(Layout(tmp_path), "03_masking", {}, {"made_with": {**made, "commit": "abc"}})
    assert "https://mybinder.org/v2/gh/someone/faiglib/abc?urlpath=lab/tree/notebooks/03_masking.py" in end


def test_a_device_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(BookError, match="--device: the device 'nonsense' cannot be used here"):
        colophon.made_with("nonsense", {}, tmp_path)


def test_the_first_use_of_a_word_is_linked_and_explained():
    page = docutils.core.publish_doctree("drop\n  What is\n  lost.\n\nfilter set\n  Many.\n")
    for term in page.findall(nodes.term):
        term["ids"] = [f"term-{term.astext().replace(' ', '-')}"]
    words = glossary.definitions(page) | {"filter": ("term-filter", "One kernel.")}
    assert words["drop"][1] == "What is lost."
    left = dict(words)
    parts = glossary._linked("The filter sets cause drops, and a drop of filters; dropped.", left, "glossary.html")
    links = [part for part in parts if isinstance(part, nodes.reference)]
    assert [link.astext() for link in links] == ["filter sets", "drops", "filters"]
    assert links[1]["reftitle"] == "What is lost."
    assert links[2]["refuri"] == "glossary.html#term-filter"
    assert "".join(part.astext() for part in parts) == "The filter sets cause drops, and a drop of filters; dropped."
    assert left == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("on 2 crop(s)", "a plural in brackets"),
        ("<td>-0.00</td>", "a zero with a sign"),
        ("<td>-9.77</td>", "a hyphen for a minus"),
        ("from 48% to", "a percentage without its space"),
        ("the baseline's filters", "a straight apostrophe"),
    ],
)
def test_misprints_on_a_page_are_found(text, complaint):
    page = BeautifulSoup(f"<article>−9.77, 0.00, 48 %, the baseline’s, 2026-11-26 {text}</article>", "html.parser")
    found = list(check.misprints(page))
    assert any(line.startswith(complaint) for line in found)
    code = BeautifulSoup(f"<article><pre>{text}</pre><code>{text}</code></article>", "html.parser")
    assert list(check.misprints(code)) == []
