"""Studies where gradients are spent best and records it: ``nox -s passes``."""

from __future__ import annotations

import sys
from pathlib import Path

from bookmaker import recording
from faiglib.companion.speed import passes, recorded
from faiglib.companion.workbench import open_workbench


def write() -> Path:
    """Writes results/passes."""
    study, bench = passes.Study(), open_workbench("standard")
    pairs = [bench.pair(*one) for one in bench.first_pairs]
    measured = bench.in_parallel(lambda pair: passes.measure(bench, pair, study), pairs)
    found = dict(zip(pairs, measured, strict=True))
    return recorded.write(bench, study, found, passes.published_pixels(bench), recorded.folder())


if __name__ == "__main__":
    sys.exit(recording.ended("passes", write))
