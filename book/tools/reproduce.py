"""Runs the notebooks that are out of date and builds the book: ``python book/tools/reproduce.py --help``."""

from __future__ import annotations

import sys

from bookmaker.driver import main

if __name__ == "__main__":
    sys.exit(main())
