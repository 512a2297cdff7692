"""Runs the notebooks that are out of date and builds the book: ``python book/tools/reproduce.py --help``."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from bookmaker.driver import main  # not where a process of its own finishes pages

    sys.exit(main())
