"""Measures the cheapest tables with other kernels and records how far they move: ``nox -s rounding``."""

from __future__ import annotations

import sys
from pathlib import Path

from bookmaker import rounding
from bookmaker.errors import BookError
from bookmaker.layout import Layout
from faiglib.errors import FaiglibError


def main() -> int:
    """Writes results/rounding; the exit code is 1 where that is not possible."""
    try:
        print(rounding.make(Layout(Path(__file__).resolve().parents[2])))
    except (BookError, FaiglibError) as error:
        print(f"rounding: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
