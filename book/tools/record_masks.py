"""Trains the masks and waypoints of chapter 13 and records what they exchange: ``nox -s masks``."""

from __future__ import annotations

import sys
from pathlib import Path

from bookmaker.records import recording
from faiglib.companion.faithfulness import measure, recorded
from faiglib.companion.workbench import open_workbench


def write() -> Path:
    """Writes the record for the image set that is here."""
    bench = open_workbench("standard")
    return recorded.write(bench, lambda pair: measure.trained_curves(bench, pair), recorded.folder())


if __name__ == "__main__":
    sys.exit(recording.ended("masks", write))
