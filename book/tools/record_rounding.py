"""Measures the cheapest tables with other kernels and records how far they move: ``nox -s rounding``."""

from __future__ import annotations

import sys
from pathlib import Path

from bookmaker.layout import Layout
from bookmaker.records import recording, rounding


def write() -> Path:
    """Writes results/rounding."""
    return rounding.make(Layout(Path(__file__).resolve().parents[2]))


if __name__ == "__main__":
    sys.exit(recording.ended("rounding", write))
