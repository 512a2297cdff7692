"""Prints the book that was built last to build/book.pdf; wants Chromium or Chrome."""

from __future__ import annotations

import sys
from pathlib import Path

import filelock

from bookmaker import pdf
from bookmaker.checks import browser
from bookmaker.errors import BookError
from bookmaker.layout import Layout
from faiglib.errors import FaiglibError
from faiglib.system import interruption


def main() -> int:
    """Prints the book; the exit code is 1 if that was not possible."""
    layout = Layout(Path(__file__).resolve().parents[2])
    try:
        program = browser.find()
        if program is None:
            raise BookError(f"no Chromium or Chrome was found; {browser.VARIABLE} can name one")
        layout.build.mkdir(exist_ok=True)
        with filelock.FileLock(layout.lock, timeout=0), browser.Browser(program) as opened:
            pdf.make(layout, opened)
    except filelock.Timeout:
        print("Another run is making this book at the moment; wait until it has ended.", file=sys.stderr)
        return 1
    except (BookError, FaiglibError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The book is printed: {layout.pdf}")
    return 0


if __name__ == "__main__":
    sys.exit(interruption.ended_by_signals(main))
