"""Studies where gradients are spent best and records it: ``nox -s passes``."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from bookmaker.records import recording
from faiglib.companion.speed import passes, recorded
from faiglib.companion.workbench import open_workbench


def write(name: str) -> Path:
    """Writes the record of a study below results/passes."""
    study, bench = passes.STUDIES[name], open_workbench("standard")
    pairs = [bench.pair(*one) for one in bench.first_pairs]
    measured = bench.in_parallel(lambda pair: passes.measure(bench, pair, study), pairs)
    found = dict(zip(pairs, measured, strict=True))
    return recorded.write(bench, study, found, passes.published_pixels(bench), recorded.folder() / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[name for name in passes.STUDIES if name], help="one of the studies")
    only = parser.parse_args().only
    sys.exit(max(recording.ended("passes", partial(write, name)) for name in ([only] if only else passes.STUDIES)))
