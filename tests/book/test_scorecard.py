"""The front page tells every verdict twice, with its criterion, and says where it was not this run that found it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from bookmaker import stage, staleness
from bookmaker.layout import Layout
from bookmaker.pages import banner, scorecard
from faiglib.companion.criteria import CLAIMS, GRADES, NOT_THEIRS, Part
from faiglib.companion.page.words import printed
from faiglib.companion.verdicts import Kept
from faiglib.images import datasets

PROJECT = Path(__file__).resolve().parents[2]
HELD = Part({"SRResNet": "held", "SRCNN-style": "did not hold"}, "1 of 2")
NOT = Part(why=NOT_THEIRS)


@pytest.fixture
def layout(tmp_path, monkeypatch):
    """A project with the book's own chapters, none of which has been executed."""
    for folder in ("book", "notebooks"):
        (tmp_path / folder).symlink_to(PROJECT / folder)
    made = Layout(tmp_path)
    executions: dict[str, dict] = {}
    monkeypatch.setattr(staleness, "read_execution", lambda _, name: executions.get(name))
    made.__dict__["executions"] = executions
    return made


def execute(layout, letter, paper, beyond, images=("set14",)):
    layout.executions[CLAIMS[letter].page.removeprefix("notebooks/")] = {
        "profile": "quick",
        "made_with": {"images": dict.fromkeys(images, "0")},
    }
    write(layout.measured("quick"), letter, paper, beyond)


def write(folder, letter, paper, beyond):
    folder.mkdir(parents=True, exist_ok=True)
    kept = Kept(letter, paper, beyond, folder.name, ["Set14"])
    (folder / f"verdict_{letter}.json").write_text(json.dumps(asdict(kept)))


def rows(layout):
    page = BeautifulSoup("".join(scorecard.claims(layout)), "html.parser")
    return {one["id"].removeprefix("claim-"): one for one in page.select("details.claim")}


def told(row, column):
    return [
        chip.parent.get_text(" ", strip=True).replace(scorecard.NO_BREAK, "-")
        for chip in row.summary.find_all("span", recursive=False)[column].select(".verdict")
    ]


def test_every_claim_has_a_row_with_both_criteria_the_reason_and_when_they_were_set(layout):
    found = rows(layout)
    assert list(found) == list(CLAIMS)
    for letter, claim in CLAIMS.items():
        text = found[letter].get_text(" ", strip=True)
        for part in (claim.short, claim.statement, claim.paper, claim.beyond, claim.reason, claim.declared):
            assert printed(part) in text
        assert found[letter].find("a")["href"] == f"{claim.page}.html"
        assert "not executed here" in text


def test_verdicts_are_told_by_network_and_setup(layout):
    execute(layout, "b", HELD, Part({"SRResNet": "partly"}, "3 of 8"))
    row = rows(layout)["b"]
    assert told(row, 2) == ["held SRResNet", "did not hold SRCNN-style"]
    assert told(row, 3) == ["partly SRResNet"]
    assert "1 of 2." in row.get_text()
    assert "3 of 8." in row.get_text()


def test_a_verdict_that_was_not_reached_says_why_and_what_the_record_has(layout):
    execute(layout, "b", NOT, HELD)
    write(layout.root / "results" / "standard", "b", Part({"SRResNet": "held"}, "4 of 4"), HELD)
    row = rows(layout)["b"]
    assert told(row, 2) == ["held SRResNet"]
    assert f"{NOT_THEIRS}; recorded:" in row.select("summary > span")[2].get_text()
    text = row.get_text(" ", strip=True)
    assert NOT_THEIRS in text
    assert "recorded, not run here (profile standard, Set14)" in text
    assert "4 of 4." in text


def test_the_record_is_not_shown_beside_a_verdict_of_this_run(layout):
    execute(layout, "b", HELD, HELD)
    write(layout.root / "results" / "standard", "b", Part({"SRResNet": "held"}, "4 of 4"), HELD)
    assert "not run here" not in rows(layout)["b"].get_text()


def test_signs_differ_by_more_than_colour():
    assert len({scorecard.chip(grade) for grade in GRADES}) == len(GRADES)
    css = (PROJECT / "book/assets/front.css").read_text(encoding="utf-8")
    for grade in GRADES:
        name = grade.replace(" ", "-")
        assert name == "partly" or f".verdict.{name}::before" in css


def test_every_claim_is_kept_by_its_chapter():
    for claim in CLAIMS.values():
        text = (PROJECT / f"{claim.page}.py").read_text(encoding="utf-8")
        assert "verdicts.keep(bench, " in text
    for path in (PROJECT / "notebooks").glob("*.py"):
        for letter, claim in CLAIMS.items():
            if f"`paper_{letter}:s`" in path.read_text(encoding="utf-8"):
                assert claim.page.endswith(path.stem)


# ---------------------------------------------------------------- glued HTML


def test_the_picture_is_taken_from_the_executed_chapter(layout):
    assert scorecard.glued_html(layout, "03_masking", "story") == ""
    output = nbformat.v4.new_output(
        "display_data",
        {"application/papermill.record/text/html": "<b>x</b>", "application/papermill.record/text/plain": "x"},
        metadata={"scrapbook": {"name": "story"}},
    )
    cell = nbformat.v4.new_code_cell(outputs=[output])
    layout.executed.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), layout.executed / "03_masking.ipynb")
    assert scorecard.glued_html(layout, "03_masking", "story") == "<b>x</b>"
    assert scorecard.glued_html(layout, "03_masking", "other") == ""


# ---------------------------------------------------------------- the banner


@pytest.mark.parametrize(
    ("images", "shown"), [(("skimage",), True), (("bsd100", "skimage"), False), (("kodak24",), True)]
)
def test_the_banner_is_on_pages_without_the_papers_images(layout, images, shown):
    execute(layout, "b", NOT, HELD, images)
    for page in ("03_masking", "index"):
        text = banner.of(layout, page)
        assert bool(text) == shown
        assert not shown or f"{len(datasets.find('skimage'))} photographs, none of the paper" in text
    assert banner.of(layout, "04_retraining") == ""


@pytest.mark.parametrize("before", ["", "---\nkey: value\n---\n\n", "(label)=\n"])
def test_the_banner_stands_behind_the_title(before):
    assert stage.below_title(f"{before}# Title\n\nText", "NOTICE") == f"{before}# Title\n\nNOTICE\n\nText"
    assert stage.below_title(f"{before}# Title\n\nText", "") == f"{before}# Title\n\nText"
