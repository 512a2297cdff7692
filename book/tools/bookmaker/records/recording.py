"""How a script that records something ends."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from bookmaker.errors import BookError
from faiglib.errors import FaiglibError


def ended(name: str, write: Callable[[], Path]) -> int:
    """The exit status of a script, after it has said what was written, or in a sentence why that was not possible.

    Args:
        name: Of the script's nox session.
        write: Writes the record and returns its place.
    """
    try:
        print(write())
    except (BookError, FaiglibError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0
