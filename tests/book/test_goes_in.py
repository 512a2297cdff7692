"""The page on what goes in names what the code takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from faiglib.images.files import SUFFIXES
from faiglib.system import environment
from faiglib.system.tensors import PREFIXES, WRAPPERS

PAGE = (Path(__file__).resolve().parents[2] / "book" / "goes_in.md").read_text(encoding="utf-8")


def named(row: str) -> list[str]:
    """What stands in code in the row of a table."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {row}")]
    return re.findall(r"`([^`]+)`", line)


@pytest.mark.parametrize(
    ("row", "known"),
    [
        ("endings that count as images", sorted(SUFFIXES)),
        ("a state dict below one of these keys", list(WRAPPERS)),
        ("taken off if all names have it", list(PREFIXES)),
    ],
)
def test_lists_are_those_of_the_code(row, known):
    assert named(row) == known


def test_every_folder_variable_is_named():
    for variable in environment.FOLDERS:
        assert f"`{variable}`" in PAGE
