"""Trains the masks and waypoints of chapter 13 and records what they exchange: ``nox -s masks``."""

from __future__ import annotations

import sys

from faiglib.companion.faithfulness import measure, recorded
from faiglib.companion.workbench import open_workbench
from faiglib.errors import FaiglibError


def main() -> int:
    """Writes the record for the image set that is here; the exit code is 1 where that is not possible."""
    try:
        bench = open_workbench("standard")
        print(recorded.write(bench, lambda pair: measure.trained_curves(bench, pair), recorded.folder()))
    except FaiglibError as error:
        print(f"masks: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
