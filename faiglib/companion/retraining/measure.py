"""Re-training the found filters of every baseline (paper, the re-training table)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
from tqdm import tqdm

from faiglib.companion import paper
from faiglib.companion.discovery import Rankings, discover
from faiglib.companion.retrained import psnr_by_step, recipe_of
from faiglib.companion.workbench import Workbench
from faiglib.filters.scores import FilterSet
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks.zoo import Pair

PERCENT = 1


@dataclass(frozen=True, eq=False)
class Job:
    """One re-training: the task that is trained and tested, and the filters that may move.

    Attributes:
        task: a key of :data:`FUNCTIONS`; its input is the one trained on and tested with.
        method: key of :data:`faiglib.companion.paper.METHODS`, or ``all`` for the upper bound.
        function: whose filters may move; ``all`` for the upper bound.
        filters: the filters.
    """

    task: str
    method: str
    function: str
    filters: FilterSet


def jobs(rankings: Rankings) -> Iterator[Job]:
    """Every cell of the paper's table, the upper bound (all filters may move) first.

    Args:
        rankings: of all methods.
    """
    index = rankings.scores["faig", "deblurring"].index
    for task in FUNCTIONS:
        yield Job(task, "all", "all", FilterSet.every(index))
        for function in FUNCTIONS:
            for method in paper.METHODS:
                yield Job(task, method, function, rankings.top(method, function, PERCENT))


def as_released(job: Job) -> Job:
    """The same without filters of the first layer, which the released code never re-trains."""
    index, ids = job.filters.index, job.filters.ids
    return replace(job, filters=FilterSet(index, ids[ids >= index.layers[0].filters]))


def retraining(bench: Workbench) -> pd.DataFrame:
    """Re-train the chosen filters of every baseline, and measure PSNR along the way.

    Training images are BSD400, or scikit-image's photographs where that is not on the machine; test images are those of
    the workbench's test set, on which the filters are discovered, too, as for masking.

    Returns:
        One row per ``network``, ``seed``, ``task``, ``method``, ``filters`` (function) and ``step``: ``psnr`` (dB,
        mean over the test images of the task's input) and ``image_set``. Step 0 is the untouched baseline.
    """

    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        return _retrained(bench, pair, list(jobs(discover(bench, pair, image_set))))

    return bench.table_per_pair("retraining", (bench.test_set,), compute, training=bench.training_set.digest)


def released_difference(bench: Workbench, runs: pd.DataFrame) -> pd.DataFrame:
    """What it changes that the released code never re-trains the first layer: FAIG's filters for their own function.

    For the first pair of each network. Runs that hold no filter of the first layer are not repeated.

    Args:
        bench: where things are.
        runs: from :func:`retraining`.

    Returns:
        One row per ``network``, ``seed`` and ``filters``: ``chosen`` and ``first_layer`` (numbers of filters), ``psnr``
        after re-training all of them and ``psnr_released`` without the first layer (dB).
    """
    last = runs[(runs["step"] == runs["step"].max()) & (runs["method"] == "faig") & (runs["task"] == runs["filters"])]
    ends = last.set_index(["network", "seed", "filters"])["psnr"]

    def compared(item: tuple[tuple[str, int], str]) -> dict[str, object]:
        (network, seed), function = item
        pair = bench.pair(network, seed)
        job = Job(function, "faig", function, discover(bench, pair, bench.test_set).top("faig", function, PERCENT))
        other = as_released(job)
        published = released = float(ends[network, seed, function])
        if len(other.filters) < len(job.filters):
            key = bench.key(
                pair, bench.test_set, profile=bench.profile, training=bench.training_set.digest, function=function
            )
            table = bench.store.table("retraining/released", key, partial(_retrained, bench, pair, [other]))
            released = float(table["psnr"].iloc[-1])
        return {
            "network": network,
            "seed": seed,
            "filters": function,
            "chosen": len(job.filters),
            "first_layer": len(job.filters) - len(other.filters),
            "psnr": published,
            "psnr_released": released,
        }

    return pd.DataFrame(bench.in_parallel(compared, itertools.product(bench.first_pairs, FUNCTIONS)))


def _retrained(bench: Workbench, pair: Pair, wanted: list[Job]) -> pd.DataFrame:
    """The rows of some jobs of one pair, without the columns that name it."""
    profile = bench.profile
    samples = bench.samples(bench.test_set, profile.curve_images, profile.discovery_crop)
    images = bench.training_images(profile.retraining_images)
    trained: dict[tuple[str, tuple[int, ...]], list[dict[str, object]]] = {}
    rows = []
    for job in tqdm(wanted, desc=f"re-training: {pair.title} seed {pair.seed}", unit="run"):
        same = (job.task, tuple(job.filters.ids.tolist()))  # |θ − θ̄| has one set for both functions
        if same not in trained:
            trained[same] = list(psnr_by_step(pair, job.filters, recipe_of(profile, pair, job.task), samples, images))
        rows += [{"task": job.task, "method": job.method, "filters": job.function, **row} for row in trained[same]]
    return pd.DataFrame(rows)
