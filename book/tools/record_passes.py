"""Studies where gradients are spent best and records it: ``nox -s passes``."""

from __future__ import annotations

import sys

from faiglib.companion.speed import passes, recorded
from faiglib.companion.workbench import open_workbench
from faiglib.errors import FaiglibError


def main() -> int:
    """Writes results/passes; the exit code is 1 where that is not possible."""
    study = passes.Study()
    try:
        bench = open_workbench("standard")
        pairs = [bench.pair(*one) for one in bench.first_pairs]
        measured = bench.in_parallel(lambda pair: passes.measure(bench, pair, study), pairs)
        found = dict(zip(pairs, measured, strict=True))
        print(recorded.write(bench, study, found, passes.published_pixels(bench), recorded.folder()))
    except FaiglibError as error:
        print(f"passes: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
