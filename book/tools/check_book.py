"""Checks the built book: every page and item there, every picture described, all of it working without a network.

The last part is done in a headless Chromium; without one, it is left out, and said so
(the variable FAIGLIB_BROWSER can name one). So is what axe-core says of every page, light and dark, where
`nox -s axe` has installed it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bookmaker.checks import axe, browser, visits
from bookmaker.checks.check import complaints
from bookmaker.errors import BookError
from bookmaker.layout import Layout
from faiglib.system import interruption, provenance


def main() -> int:
    """Prints what is wrong; the exit code is 1 if anything is."""
    layout = Layout(Path(__file__).resolve().parents[2])
    try:
        found = complaints(layout)
        program = browser.find()
        if program is None:
            print("NOT CHECKED in a browser: no Chromium or Chrome was found.", file=sys.stderr)
        elif layout.html.is_dir():
            script = axe.find(layout)
            if script is None:
                print("NOT CHECKED by axe-core: `nox -s axe` installs it; wants npm.", file=sys.stderr)
            found += visits.complaints(program, layout.html, script, provenance.cores() or 1)
    except BookError as error:
        found = [str(error)]
    for complaint in found:
        print(complaint, file=sys.stderr)
    if not found:
        print(f"The book in {layout.html} is complete" + (" and works without a network." if program else "."))
    return bool(found)


if __name__ == "__main__":
    sys.exit(interruption.ended_by_signals(main))
