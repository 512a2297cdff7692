"""The page on data says of every set what the registry knows."""

from __future__ import annotations

import hashlib

import pytest

from bookmaker.layout import Layout
from bookmaker.pages import availability
from faiglib.images import registry


def test_every_set_has_terms_and_a_section():
    assert registry.TERMS.keys() == registry.TITLES.keys()
    text = "\n".join(availability.sections())
    assert text.count("\n| terms, as [its origin](https://") == len(registry.NAMES)
    assert all(
        not str(value).endswith(".") and value for terms in registry.TERMS.values() for value in vars(terms).values()
    )


@pytest.mark.parametrize("name", registry.NAMES)
def test_facts_are_those_of_the_registry(name):
    facts = dict(availability.facts(name))
    files = registry.registered_files(name)
    assert ("size" in facts) == bool(files)
    if files:
        assert facts["size"].startswith(f"{len(files)} files, ")
        for file in files:
            assert file.repository in facts["fetched from"]
            assert file.commit in facts["fetched from"]
        assert ("in one archive, where many are missing" in facts) == (name in ("bsd100", "bsd400"))
        assert facts["else from"].startswith("Software Heritage")


def test_the_digest_is_that_of_what_sha256sum_prints():
    """By hand: sha256, two spaces, path, a line each, sorted by path."""
    by_hand = hashlib.sha256()
    for file in sorted(registry.registered_files("set5"), key=lambda one: one.path):
        by_hand.update(f"{file.sha256}  {file.path}\n".encode())
    assert availability.digest("set5") == by_hand.hexdigest()
    assert availability.digest("set14") != availability.digest("set5")


def test_the_page_is_filled_when_the_book_is_staged(tmp_path):
    layout = Layout(tmp_path)
    layout.source.mkdir(parents=True)
    page = layout.source / availability.PAGE
    page.write_text(f"# Data\n\n{availability.PLACE}\n")
    availability.fill(layout)
    assert "## Kodak24" in page.read_text()
    assert availability.PLACE not in page.read_text()
