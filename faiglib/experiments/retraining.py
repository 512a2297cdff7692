"""Re-training (paper, section 4.2): how much of an ability comes back when only the discovered filters may learn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from faiglib import paper
from faiglib.experiments.discovery import FUNCTIONS, Rankings, discover
from faiglib.experiments.workbench import Sample, Workbench
from faiglib.filters import FilterSet
from faiglib.metrics import psnr
from faiglib.networks import TITLES
from faiglib.profiles import Profile
from faiglib.restoration import restore
from faiglib.training import Recipe, fabric_on, train
from faiglib.zoo import Pair

PERCENT = 1
PEAK_LR = 5e-4
#: Rows of the log, so that curves have points.
POINTS = 5


@dataclass(frozen=True, eq=False)
class Job:
    """One re-training: the task that is trained and tested, and the filters that may move.

    Attributes:
        task: a key of :data:`FUNCTIONS`; its input is the one trained on and tested with.
        method: key of :data:`faiglib.paper.METHODS`, or ``all`` for the upper bound.
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
        yield Job(task, "all", "all", FilterSet(index, torch.arange(index.total)))
        for function in FUNCTIONS:
            for method in paper.METHODS:
                yield Job(task, method, function, rankings.top(method, function, PERCENT))


def as_released(job: Job) -> Job:
    """The same without filters of the first layer, which the released code never re-trains."""
    index, ids = job.filters.index, job.filters.ids
    return replace(job, filters=FilterSet(index, ids[ids >= index.layers[0].filters]))


def recipe_of(profile: Profile, pair: Pair, task: str) -> Recipe:
    """The recipe of every re-training of a pair; seeds and therefore patches are the same for all methods."""
    budget = (profile.retraining_iterations, profile.retraining_batch, profile.retraining_patch)
    return Recipe(pair.network, task, pair.seed, *budget, PEAK_LR)


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
            trained[same] = list(_run(pair, job, samples, images, recipe_of(profile, pair, job.task)))
        rows += [{"task": job.task, "method": job.method, "filters": job.function, **row} for row in trained[same]]
    return pd.DataFrame(rows)


def _run(
    pair: Pair, job: Job, samples: list[Sample], images: list[Tensor], recipe: Recipe
) -> Iterator[dict[str, object]]:
    """Re-train one job: ``step`` and ``psnr`` of every logged step, the untouched baseline first."""
    kind, _ = FUNCTIONS[job.task]
    device = next(pair.baseline.parameters()).device
    result = train(
        recipe,
        images,
        initial=pair.baseline.state_dict(),
        trainable=job.filters.masks(),
        validation={sample.name: (sample.inputs[kind], sample.ground_truth) for sample in samples},
        fabric=fabric_on(device),
        log_every=max(1, recipe.iterations // POINTS),
        progress=False,
    )
    yield {"step": 0, "psnr": _mean_psnr(pair.baseline, samples, kind)}
    for row in result.log:
        values = [value for name, value in row.items() if name.startswith("psnr_")]
        yield {"step": int(row["step"]), "psnr": sum(values) / len(values)}


def _mean_psnr(network: torch.nn.Module, samples: list[Sample], kind: str) -> float:
    values = [float(psnr(restore(network, one.inputs[kind]), one.ground_truth)) for one in samples]
    return sum(values) / len(values)


def final(table: pd.DataFrame) -> pd.DataFrame:
    """PSNR at the end of every re-training, mean and standard deviation over seeds, beside the paper's.

    Returns:
        One row per ``network``, ``task``, ``filters`` and ``method``: ``measured`` (dB), ``spread`` (over seeds; NaN
        for one), ``seeds``, ``gain`` (dB over the untouched baseline), ``recovered`` (share of the gain of
        re-training all filters), ``paper`` and ``paper_std``.
    """
    cells = ["network", "task", "filters", "method"]
    last = table[table["step"] == table["step"].max()].set_index([*cells, "seed"])["psnr"]
    first = table[table["step"] == 0].set_index([*cells, "seed"])["psnr"]
    grouped = last.groupby(level=cells, sort=False)
    result = pd.DataFrame({"measured": grouped.mean(), "spread": grouped.std(), "seeds": grouped.size()})
    result["gain"] = (last - first).groupby(level=cells, sort=False).mean()
    bound = result["gain"].xs(("all", "all"), level=("filters", "method"))
    result = result.reset_index()
    result["recovered"] = result["gain"] / [
        bound[network, task] for network, task in zip(result["network"], result["task"], strict=True)
    ]
    published = {(one.network, one.task, one.filters, one.method): one for one in paper.retraining()}
    found = [published.get(tuple(row)) for row in result[cells].itertuples(index=False)]
    result["paper"] = [one.mean if one else float("nan") for one in found]
    result["paper_std"] = [one.std if one else float("nan") for one in found]
    return result


@dataclass(frozen=True)
class Verdict:
    """How FAIG's locations compare with the others when they are re-trained for their own function.

    Attributes:
        cells: network × function.
        won: cells in which FAIG ends above every other method.
        least_lead: smallest difference in dB to the best other method.
        below_random: cells, over both functions and tasks, in which IG or |θ − θ̄| ends below random locations.
        comparisons: cells that ``below_random`` counts in.
        deepest: how far they end below at most, in dB; 0 if none does.
    """

    cells: int
    won: int
    least_lead: float
    below_random: int
    comparisons: int
    deepest: float


def verdict(final_table: pd.DataFrame) -> Verdict:
    """Judge claim (e) of the paper on the table of :func:`final`."""
    wide = final_table[final_table["method"] != "all"].pivot_table(
        index=["network", "task", "filters"], columns="method", values="measured", sort=False
    )
    own = wide[wide.index.get_level_values("task") == wide.index.get_level_values("filters")]
    lead = own["faig"] - own.drop(columns="faig").max(axis=1)
    gap = wide[["intinf", "filter_change"]].sub(wide["random"], axis=0).to_numpy()
    return Verdict(
        len(own), int((lead > 0).sum()), float(lead.min()), int((gap < 0).sum()), gap.size, float(-min(gap.min(), 0))
    )


def in_words(final_table: pd.DataFrame) -> str:
    """Who leads for its own function, and whether FAIG's own filters beat those of the other function, by network."""
    ends = final_table.set_index(["network", "task", "filters", "method"])["measured"].sort_index()
    items = []
    for network in final_table["network"].unique():
        parts = []
        for task in FUNCTIONS:
            own = ends[network, task, task]
            best = str(own.idxmax())
            led = f"FAIG's filters learn most ({own['faig']:.2f} dB)"
            if best != "faig":
                named = "random filters" if best == "random" else f"{paper.METHODS[best]}'s filters"
                led = f"{named} learn most ({own[best]:.2f} dB, FAIG's {own['faig']:.2f})"
            (other,) = (name for name in FUNCTIONS if name != task)
            crossed = ends[network, task, other, "faig"]
            order = "more" if own["faig"] > crossed else "no more"
            parts.append(
                f"for {task}, {led}; FAIG's own filters learn {order} than its {other} ones ({crossed:.2f} dB)"
            )
        items.append(f"- **{TITLES[network]}**: {'; '.join(parts)}.")
    return "\n".join(items)
