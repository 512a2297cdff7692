"""The page that sets the paper and this book side by side, claim by claim."""

from __future__ import annotations

import importlib
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bookmaker.layout import Layout
from bookmaker.pages import opposite, scorecard
from faiglib.companion import claims, paper, record
from faiglib.companion.criteria import CHANCE, CLAIMS, SELECTIVE, Part
from faiglib.companion.profiles import PROFILES
from faiglib.companion.setups import AMOUNTS, SETUPS
from faiglib.companion.verdicts import Kept
from faiglib.images import registry
from faiglib.networks import TITLES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project with the book's own pages and record, of which nothing has been executed."""
    for folder in ("book", "notebooks", "results"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    made = Layout(tmp_path)
    (made.source / "extra").mkdir(parents=True)
    shutil.copy(ROOT / "book" / opposite.PAGE, made.source)
    return made


def kept(profile: str, sets: tuple[str, ...] = paper.IMAGE_SETS, networks: tuple[str, ...] = paper.NETWORKS) -> Kept:
    titles = [TITLES[name] for name in networks]
    part = Part(dict.fromkeys(titles, "held"), "")
    return Kept("b", part, part, profile, [registry.title(name) for name in sets], dict.fromkeys(titles, 3))


def differences(layout: Layout, found: Kept) -> dict[str, str]:
    return {row.what: row.difference for row in opposite.rows(layout, "b", SETUPS["b"], found)}


def test_every_claim_has_a_setup_that_names_what_there_is():
    assert SETUPS.keys() == CLAIMS.keys()
    for letter, setup in SETUPS.items():
        module, _, name = setup.code.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
        assert CLAIMS[letter].page.removeprefix("notebooks/")[3:].split("_vs_")[0][:4] in module
        assert set(setup.tables) <= record.TABLES.keys()
        assert set(setup.amounts) <= AMOUNTS.keys()
        assert set(setup.networks) <= TITLES.keys()
        assert set(setup.image_sets) <= set(registry.NAMES)


def test_who_spends_what_the_paper_spent_differs_in_nothing(layout):
    assert set(differences(layout, kept("paper")).values()) == {opposite.SAME}


def test_differences_are_those_of_the_run(layout):
    found = differences(layout, kept("quick", ("set14", "kodak24"), ("srresnet", "srresnet_s")))
    assert found["networks"] == "without SRCNN-style; SRResNet-S besides"
    assert found["image sets"] == "without BSD100 (BSDS500 val); Kodak24 besides"
    assert {found[what] for what in SETUPS["b"].amounts} == {"less"}
    assert str(PROFILES["quick"].nodes) in AMOUNTS["nodes of a path integral"](PROFILES["quick"])


def test_one_set_is_enough_where_the_paper_uses_one_or_the_other(layout):
    rows = {row.what: row for row in opposite.rows(layout, "f", SETUPS["f"], kept("paper"))}
    assert rows["image sets"].book == "Set14"
    assert rows["image sets"].difference == opposite.SAME


@pytest.mark.parametrize(("times", "grade"), [(0.99, "did not hold"), (1.01, "partly")])
def test_what_would_falsify_a_claim_is_what_its_verdict_says(times, grade):
    """Claim (b) on either side of the limit that its box prints; (c) on either side of its own."""
    shares = pd.DataFrame({"own": [0.3 * times, 0.4], "other": [0.3 / SELECTIVE, 0.1]})
    assert claims._selective(shares)[0] == grade
    assert f"{SELECTIVE:g} times" in SETUPS["b"].falsified
    assert claims._by_share(pd.DataFrame({"share": [3 * CHANCE / times]}))[0] == grade
    assert f"{300 * CHANCE:.0f} % of FAIG’s" in SETUPS["c"].falsified


def test_the_page_leads_to_code_data_and_record_that_are_there(layout):
    opposite.fill(layout)
    text = (layout.source / opposite.PAGE).read_text()
    assert opposite.PLACE not in text
    assert text.count('class="opposite"') == len(CLAIMS)
    files = re.findall(rf'href="({opposite.RECORD}/[^"]+)"', text)
    assert len(files) > len(CLAIMS)
    assert all((layout.source / "extra" / file).is_file() for file in files)


def test_a_row_of_the_front_page_leads_to_its_box(layout):
    wanted = re.findall(r'href="claims\.html#([\w-]+)"', "".join(scorecard.claims(layout)))
    there = re.findall(r"^\(([\w-]+)\)=$", "\n".join(opposite.boxes(layout)), re.MULTILINE)
    assert wanted == there == [f"what-{letter}" for letter in CLAIMS]
