"""What archives and catalogues read says what the citation file says."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from bookmaker.errors import BookError
from bookmaker.records import citation
from faiglib import __version__

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("name", ["codemeta.json", ".zenodo.json"])
def test_files_are_those_of_the_citation(name):
    made = citation.made_of(citation.read(ROOT), PROJECT["requires-python"])
    assert (ROOT / name).read_text(encoding="utf-8") == citation.as_text(made[name]), "nox -s metadata writes it anew"


def test_all_of_them_agree_with_the_package_and_among_themselves():
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    codemeta, zenodo = (json.loads((ROOT / name).read_text()) for name in ("codemeta.json", ".zenodo.json"))
    assert {cff["version"], codemeta["version"], zenodo["version"]} == {PROJECT["version"]}
    assert cff["license"] == zenodo["license"] == PROJECT["license"]
    assert codemeta["license"].rsplit("/", 1)[1] == PROJECT["license"]
    assert codemeta["runtimePlatform"] == f"Python {PROJECT['requires-python']}"
    assert [one["name"] for one in codemeta["author"]] == [one["name"] for one in zenodo["creators"]]
    assert set(cff["keywords"]) <= set(PROJECT["keywords"]) | {"reproducibility"}
    families = [one["familyName"] for one in codemeta["referencePublication"]["author"]]
    assert families == ["Xie", "Wang", "Dong", "Qi", "Shan"]
    assert zenodo["related_identifiers"] == [{"identifier": "arXiv:2108.01070", "relation": "isSupplementTo"}]


def test_a_change_of_the_citation_changes_both(tmp_path):
    text = (ROOT / "CITATION.cff").read_text().replace(f"version: {__version__}", "version: 9.9.9")
    (tmp_path / "CITATION.cff").write_text(text)
    assert [path.name for path in citation.write(tmp_path, ">=3.11")] == ["codemeta.json", ".zenodo.json"]
    assert all('"version": "9.9.9"' in path.read_text() for path in tmp_path.glob("*.json"))


@pytest.mark.parametrize("text", [None, "a: [", "- a list"])
def test_what_is_no_citation_is_one_sentence(tmp_path, text):
    if text is not None:
        (tmp_path / "CITATION.cff").write_text(text)
    with pytest.raises(BookError, match=r"CITATION\.cff") as error:
        citation.read(tmp_path)
    assert "\n" not in str(error.value)
