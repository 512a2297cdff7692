"""What chosen filters take away, and what they bring: curves by method, and controls of the same layers."""

from __future__ import annotations

import timeit
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.attribution import faig, filter_change
from faiglib.companion.discovery import KINDS, Rankings, discover
from faiglib.companion.faithfulness import recorded
from faiglib.companion.faithfulness.rankings import METHODS, TRAINED, rankings, trained_rankings
from faiglib.companion.masked import mean_drop, with_controls
from faiglib.companion.retrained import psnr_by_step, recipe_of
from faiglib.companion.workbench import Sample, Workbench
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterSet
from faiglib.filters.substitution import Substitutions
from faiglib.images.degradations import FUNCTIONS
from faiglib.images.metrics import gradient_error, levelled, psnr
from faiglib.images.restoration import restore_all
from faiglib.networks.zoo import Pair

#: Proportion of the filters that controls are drawn for.
PERCENT = 1.0
#: Methods that train nothing.
UNTRAINED = tuple(name for name in METHODS if name not in (*TRAINED, "bound"))
#: What is exchanged: the baseline's filters put into the target, or the target's into the baseline.
WAYS = ("deletion", "insertion")
#: Columns of the curves that say what both ends are, whatever is exchanged.
ENDS = ("psnr_target", "psnr_baseline", "drop_baseline")


def curves(bench: Workbench, where: Path | None = None) -> pd.DataFrame:
    """Deletion (baseline's filters into the target) and insertion (target's into the baseline) by every method.

    For the first pair of each network, on the workbench's test set; the images are those of the masking curves. What
    methods that train exchange comes from the recorded run where there is one, but for the smallest network.

    Args:
        bench: what is measured on.
        where: folder of the recorded run; the checkout's unless given.

    Returns:
        One row per ``network``, ``seed``, ``method`` (of :data:`faiglib.companion.faithfulness.rankings.METHODS`; masks
        of the bound each by itself), ``filters`` (function), ``way`` (``deletion`` or ``insertion``), ``percent``,
        ``input`` and ``image``: ``psnr`` (dB, with the means of the channels put right) and ``drop`` (gradient-map MSE
        ×10³ against the target's output), of both ends ``psnr_target``, ``psnr_baseline`` and ``drop_baseline``, and
        ``recorded``, whether it comes from the recorded run.

    Raises:
        StoreError: the recorded run cannot be read.
    """
    anew = smallest(bench)
    place = where or recorded.folder()
    known = {one: None if one == anew else recorded.read(bench, bench.pair(*one), place) for one in bench.first_pairs}
    sources = [
        (one, methods)
        for methods in (UNTRAINED, TRAINED)
        for one in known
        if methods == UNTRAINED or known[one] is None
    ]
    # First all rankings, so that no way of exchanging a network's filters waits while the other one makes them.
    bench.in_parallel(lambda source: _ranked(bench, bench.pair(*source[0]), source[1]), sources)
    wanted = [(one, way, methods) for one, methods in sources for way in WAYS]
    parts = bench.in_parallel(lambda part: _part(bench, bench.pair(*part[0]), *part[1:]), wanted)
    measured: dict[tuple[object, ...], list[pd.DataFrame]] = {}
    for (one, _, methods), table in zip(wanted, parts, strict=True):
        measured.setdefault((one, methods), []).append(table)
    tables = []
    for (network, seed), of_record in known.items():
        table = pd.concat(measured[(network, seed), UNTRAINED], ignore_index=True)
        if of_record is None:
            trained = pd.concat(measured[(network, seed), TRAINED], ignore_index=True).assign(recorded=False)
        else:
            ends = table[["input", "image", *ENDS]].drop_duplicates()
            trained = of_record.merge(ends, on=["input", "image"], validate="many_to_one").assign(recorded=True)
        both = pd.concat([table.assign(recorded=False), trained], ignore_index=True)
        columns = list(both.columns)
        tables.append(both.assign(network=network, seed=seed)[["network", "seed", *columns]])
    return pd.concat(tables, ignore_index=True)


def trained_curves(bench: Workbench, pair: Pair) -> pd.DataFrame:
    """The rows of :func:`curves` for the methods that train, of one pair, measured here."""
    return pd.concat([_part(bench, pair, way, TRAINED) for way in WAYS], ignore_index=True)


def _part(bench: Workbench, pair: Pair, way: str, methods: tuple[str, ...]) -> pd.DataFrame:
    name = "trained_curves" if methods == TRAINED else "curves"
    key = bench.key(pair, bench.test_set, profile=bench.profile, way=way)
    return bench.store.table(f"faithfulness/{name}", key, partial(_curves, bench, pair, way, methods))


def _ranked(bench: Workbench, pair: Pair, methods: tuple[str, ...]) -> Rankings:
    return (trained_rankings if methods == TRAINED else rankings)(bench, pair, bench.test_set)


def smallest(bench: Workbench) -> tuple[str, int]:
    """The first pair of the network that has the fewest filters."""
    return min(bench.first_pairs, key=lambda one: FilterIndex.of(bench.pair(*one).target).total)


def check(bench: Workbench, curves: pd.DataFrame, where: Path | None = None) -> float | None:
    """How far the recorded run is from what the smallest network's trained methods give here.

    Args:
        bench: what is measured on.
        curves: from :func:`curves`.
        where: as there.

    Returns:
        The largest difference in PSNR, in dB; None without a recorded run of this network.
    """
    network, seed = smallest(bench)
    known = recorded.read(bench, bench.pair(network, seed), where or recorded.folder())
    if known is None:
        return None
    point = ["method", "filters", "way", "percent", "input", "image"]
    here = curves[(curves["network"] == network) & (curves["seed"] == seed)].set_index(point)["psnr"]
    return float((known.set_index(point)["psnr"] - here).dropna().abs().max())


def _curves(bench: Workbench, pair: Pair, way: str, methods: tuple[str, ...]) -> pd.DataFrame:
    found = _ranked(bench, pair, methods)
    judge = _Judge(pair, bench.samples(bench.test_set, bench.profile.curve_images, bench.profile.discovery_crop))
    exchanged = Substitutions(*((pair.target, pair.baseline) if way == "deletion" else (pair.baseline, pair.target)))
    sets = list(_sets(found, methods, bench.profile.exchanged_percents))
    known: dict[tuple[int, ...], list[dict[str, object]]] = {}
    rows = []
    for method, function, percent, filters in tqdm(sets, f"{way}: {pair.title} seed {pair.seed}", unit="set"):
        chosen = tuple(filters.ids.tolist())
        if chosen not in known:
            known[chosen] = judge.of(exchanged.of(filters))
        named = {"method": method, "filters": function, "way": way, "percent": percent}
        rows += [named | row for row in known[chosen]]
    return pd.DataFrame(rows)


def _sets(
    found: Rankings, methods: Sequence[str], percents: Sequence[float]
) -> Iterator[tuple[str, str, float, FilterSet]]:
    """Method, function, proportion and filters of every point of the curves."""
    for method in methods:
        for function in FUNCTIONS:
            for percent in percents:
                yield method, function, percent, found.top(method, function, percent)


class _Judge:
    """Compares the outputs of a network with ground truth and with the target's, on fixed images."""

    def __init__(self, pair: Pair, samples: Sequence[Sample]) -> None:
        self.cases = [(sample, kind) for sample in samples for kind in KINDS]
        self.inputs = [sample.inputs[kind] for sample, kind in self.cases]
        self.targets = restore_all(pair.target, self.inputs)
        bases = restore_all(pair.baseline, self.inputs)
        self.ends = [
            {
                "psnr_target": _quality(own, sample.ground_truth),
                "psnr_baseline": _quality(base, sample.ground_truth),
                "drop_baseline": float(gradient_error(base, own)),
            }
            for (sample, _), own, base in zip(self.cases, self.targets, bases, strict=True)
        ]

    def of(self, network: nn.Module) -> list[dict[str, object]]:
        """A row per image and input."""
        return [
            {
                "input": kind,
                "image": sample.name,
                "psnr": _quality(output, sample.ground_truth),
                "drop": float(gradient_error(output, own)),
                **ends,
            }
            for (sample, kind), output, own, ends in zip(
                self.cases, restore_all(network, self.inputs), self.targets, self.ends, strict=True
            )
        ]


def _quality(output: Tensor, truth: Tensor) -> float:
    return float(psnr(levelled(output, truth), truth))


def seconds_per_gradient(bench: Workbench) -> dict[str, float]:
    """What one gradient of a crop that filters are discovered on takes here, in seconds, by network; least of three."""
    found = {}
    for network, seed in bench.first_pairs:
        pair = bench.pair(network, seed)
        (sample, *_) = bench.samples(bench.test_set, 1, bench.profile.discovery_crop)
        scene = [(sample.inputs[KINDS[0]], sample.ground_truth)]
        run = partial(faig, pair.target, pair.baseline, scene, rule="left", nodes=1)
        found[network] = min(timeit.repeat(run, number=1, repeat=3))
    return found


def controls(bench: Workbench) -> pd.DataFrame:
    """What masking FAIG's filters, matched controls and random filters costs their own input.

    On images of the workbench's test set, for every trained pair.

    Returns:
        One row per ``network``, ``seed``, ``baseline``, ``image_set``, ``filters`` (function), ``kind`` (``faig``,
        ``matched`` or ``random``) and ``draw``: ``drop``, ×10³, mean over images.
    """
    profile = bench.profile

    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        samples = bench.samples(image_set, profile.control_images, profile.discovery_crop)
        found, change = discover(bench, pair, image_set), filter_change(pair.target, pair.baseline)
        masks = Substitutions(pair.target, pair.baseline)
        rows: list[dict[str, object]] = []
        for function, (own, _) in FUNCTIONS.items():
            inputs = [sample.inputs[own] for sample in samples]
            whole = restore_all(pair.target, inputs)
            draws = profile.control_draws
            drawn = list(with_controls(found.top("faig", function, PERCENT), change, draws, max(1, draws // 5)))
            label = f"controls for {function}: {pair.title} seed {pair.seed}"
            for kind, draw, filters in tqdm(drawn, label, unit="set"):
                outputs = restore_all(masks.of(filters), inputs)
                rows.append({"filters": function, "kind": kind, "draw": draw, "drop": mean_drop(outputs, whole)})
        return pd.DataFrame(rows)

    return bench.table_per_pair("faithfulness/controls", (bench.test_set,), compute)


def trainings(bench: Workbench) -> pd.DataFrame:
    """How much comes back when FAIG's filters of the baseline are re-trained, or matched controls.

    For the first pair of the smallest network, with the budget and the patches of the chapter on re-training.

    Returns:
        One row per ``network``, ``seed``, ``filters`` (function, also what is trained), ``kind`` (``faig`` or
        ``matched``) and ``draw``: ``gain`` over the untouched baseline in dB on the own input, mean over images.
    """
    pair = bench.pair(*smallest(bench))
    key = bench.key(pair, bench.test_set, profile=bench.profile, training=bench.training_set.digest)
    table = bench.store.table("faithfulness/trainings", key, partial(_trainings, bench, pair))
    return table.assign(network=pair.network, seed=pair.seed)


def _trainings(bench: Workbench, pair: Pair) -> pd.DataFrame:
    profile = bench.profile
    found, change = discover(bench, pair, bench.test_set), filter_change(pair.target, pair.baseline)
    images = bench.training_images(profile.retraining_images)
    samples = bench.samples(bench.test_set, profile.curve_images, profile.discovery_crop)
    wanted = [
        (function, *drawn)
        for function in FUNCTIONS
        for drawn in with_controls(found.top("faig", function, PERCENT), change, profile.control_trainings, 0)
    ]

    def gain(item: tuple[str, str, int, FilterSet]) -> dict[str, object]:
        function, kind, draw, filters = item
        before, after = psnr_by_step(pair, filters, recipe_of(profile, pair, function), samples, images, points=1)
        gained = float(str(after["psnr"])) - float(str(before["psnr"]))
        return {"filters": function, "kind": kind, "draw": draw, "gain": gained}

    return pd.DataFrame(bench.in_parallel(gain, tqdm(wanted, f"re-training: {pair.title}", unit="run")))


def signs(bench: Workbench) -> pd.DataFrame:
    """How many of FAIG's filters help, that is, lower the loss on their own input as a whole.

    Returns:
        One row per ``network``, ``seed`` and ``filters``: ``helpful``, share of the top :data:`PERCENT` %, and
        ``helpful_all``, share of all filters.
    """
    rows = []
    for network, seed in bench.first_pairs:
        found = rankings(bench, bench.pair(network, seed), bench.test_set)
        for function in FUNCTIONS:
            helps = found.scores["signed", function].values > 0
            chosen = helps[found.top("faig", function, PERCENT).ids]
            share, whole = (float(one.to(torch.float64).mean()) for one in (chosen, helps))
            rows.append((network, seed, function, share, whole))
    return pd.DataFrame(rows, columns=["network", "seed", "filters", "helpful", "helpful_all"])
