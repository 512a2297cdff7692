"""Runs the notebooks that are out of date and builds the book: ``python book/tools/reproduce.py --help``."""

from __future__ import annotations

import signal
import sys

from bookmaker.driver import main


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
