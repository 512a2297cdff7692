"""Measures standard's cheapest tables in one setting: ``python -m bookmaker.records.remeasure float32 all``.

Threads and kernels come from the environment, which libraries read when they start, so that every setting has a process
of its own. Its tables lie where :mod:`faiglib.companion.record` keeps those of a run, beside them the filters' scores.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pandas as pd
import torch

from faiglib.companion import record
from faiglib.companion.discovery import discover
from faiglib.companion.distribution import measure as distribution
from faiglib.companion.distribution import report as distribution_report
from faiglib.companion.masking import measure as masking
from faiglib.companion.masking import report as masking_report
from faiglib.companion.workbench import Workbench, open_workbench
from faiglib.errors import DatasetError, FaiglibError
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import build
from faiglib.system.tensors import save_weights

PROFILE, IMAGE_SET, SMALLEST = "standard", "set14", "srresnet_s"
#: That depend on the images and are computed with gradients.
METHODS = ("faig", "intinf")
SCORES = "scores.safetensors"


def bench_of(smallest: bool = False) -> Workbench:
    """The profile standard, cut down to the first pair of every network and one image set.

    Args:
        smallest: Whether to cut it down to the smallest network.

    Raises:
        FaiglibError: The image set is not here, or there are no weights.
    """
    bench = open_workbench(PROFILE, "cpu")
    if IMAGE_SET not in bench.image_sets:
        raise DatasetError(f"the image set {IMAGE_SET} is not here; `faiglib fetch {IMAGE_SET}` downloads it")
    networks = (SMALLEST,) if smallest else None
    return replace(bench, profile=replace(bench.profile, seeds=1, image_sets=(IMAGE_SET,), networks=networks))


def measure(bench: Workbench, reduced: bool) -> None:
    """Keeps the tables, and the scores of all filters by ``network/method/filters``.

    Args:
        bench: From :func:`bench_of`.
        reduced: Whether the networks' convolutions and their gradients are in bfloat16.

    Raises:
        FaiglibError: Something cannot be computed or written.
    """
    if reduced:
        for kind in {type(build(name)) for name, _ in bench.pair_names}:
            # The class, since masked networks are copies; inputs and measures stay as they are.
            kind.forward = torch.autocast("cpu", torch.bfloat16)(kind.forward)
    drops, shares, scores = [], [], {}
    for network, seed in bench.pair_names:
        # One pair at a time, in this thread, so that all threads are for its operations.
        alone = replace(bench, profile=replace(bench.profile, networks=(network,)))
        drops.append(masking.drops(alone))
        shares.append(distribution.shares(alone))
        rankings = discover(alone, alone.pair(network, seed), IMAGE_SET)
        for method in METHODS:
            for function in FUNCTIONS:
                scores[f"{network}/{method}/{function}"] = rankings.scores[method, function].values
    masked, spread = pd.concat(drops, ignore_index=True), pd.concat(shares, ignore_index=True)
    record.keep(bench, "masking", masking_report.summary(masked))
    record.keep(bench, "selectivity", masking_report.selectivity(masked))
    record.keep(bench, "centroids", distribution_report.centroids(spread))
    record.keep(bench, "layers", distribution_report.spread(spread))
    save_weights(bench.places.measured(PROFILE) / SCORES, scores, {})


def main() -> int:
    """Measures; the exit code is 1 where that is not possible."""
    try:
        arithmetic, networks = sys.argv[1:]
        measure(bench_of(networks == "smallest"), arithmetic == "bfloat16")
    except FaiglibError as error:
        print(f"rounding: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
