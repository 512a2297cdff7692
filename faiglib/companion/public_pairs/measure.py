"""The claims on the strongest public pair: what masking, controls, a knob and overlaps say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import pandas as pd
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.attribution import eliminate, eliminate_each, faig, filter_change, intinf, random_scores
from faiglib.attribution.overlap import filters_of_image, overlap_scores
from faiglib.attribution.parameter_path import ParameterPath
from faiglib.companion import paper
from faiglib.companion.masked import mean_drop, with_controls
from faiglib.companion.public_pairs.pairs import (
    CONTROL,
    CONTROL_INPUT,
    FUNCTIONS,
    INPUTS,
    MAIN,
    Scene,
    scenes,
)
from faiglib.companion.workbench import Workbench
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores, FilterSet
from faiglib.filters.substitution import Substitutions
from faiglib.images.metrics import gradient_error, levelled, psnr
from faiglib.images.restoration import restore_all
from faiglib.networks import waifu2x

#: Proportions that are masked, those of the paper's tables; controls, knobs and overlaps are of the first.
PERCENTS = (1.0, 5.0)
#: λ of the knobs.
LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: What is masked: the paper's methods, and FAIG of one degradation without the other's taken from it.
METHODS: Mapping[str, str] = {**paper.MASKED, "raw": "FAIG, nothing eliminated"}

Ends = tuple[nn.Module, nn.Module]


def key(bench: Workbench, **more: object) -> dict[str, object]:
    """Store key of a result: the wheel, the images, the seed, the kind of device, the budget, and what is added."""
    return {
        "wheel": waifu2x.WHEEL.sha256,
        "images": bench.image_set(bench.test_set).digest,
        "seed": bench.seed,
        "device": bench.device.type,
        "profile": bench.profile,
        **more,
    }


def stored(bench: Workbench, name: str, compute: Callable[[], pd.DataFrame], **more: object) -> pd.DataFrame:
    """A table of the chapter, from the store or computed."""
    return bench.store.table(f"public_pairs/{name}", key(bench, **more), compute)


def abilities(bench: Workbench) -> pd.DataFrame:
    """PSNR of all models: one row per ``style``, ``model`` and ``input``: ``psnr`` in dB, mean over images."""

    def compute() -> pd.DataFrame:
        found = scenes(bench, bench.profile.curve_images, bench.profile.discovery_crop)
        rows = []
        for style in waifu2x.STYLES:
            for model in waifu2x.MODELS:
                network = waifu2x.load(style, model, bench.data_dir).to(bench.device)
                for kind in INPUTS:
                    outputs = restore_all(network, [scene.inputs[kind] for scene in found])
                    values = [float(psnr(one, scene.truth)) for one, scene in zip(outputs, found, strict=True)]
                    rows.append((style, model, kind, sum(values) / len(values)))
        return pd.DataFrame(rows, columns=["style", "model", "input", "psnr"])

    return stored(bench, "abilities", compute)


def rankings(bench: Workbench, ends: Ends) -> dict[tuple[str, str], FilterScores]:
    """Scores of the main pair's filters by method of :data:`METHODS` and function, and FAIG's for the control."""
    target, baseline = ends
    index = FilterIndex.of(target)
    made = bench.store.tensors("public_pairs/rankings", key(bench), partial(_attributions, bench, ends))
    raw = {name: FilterScores(index, values) for name, values in made.items()}
    changes: dict[str, Literal["as_published", "as_released"]] = {
        "filter_change": "as_published",
        paper.RELATIVE_CHANGE: "as_released",
    }
    found = {}
    for number, (function, (own, other)) in enumerate(FUNCTIONS.items()):
        found["faig", function] = eliminate(raw[f"faig/{own}"], raw[f"faig/{other}"])
        found["raw", function] = raw[f"faig/{own}"]
        found["intinf", function] = raw[f"intinf/{own}"]
        found["random", function] = random_scores(index, 1000 * bench.seed + number)
        for method, how in changes.items():
            found[method, function] = filter_change(target, baseline, how)
    every = {kind: raw[f"faig/{kind}"] for kind in (*(own for own, _ in FUNCTIONS.values()), CONTROL_INPUT)}
    found["faig", CONTROL] = eliminate_each(every)[CONTROL_INPUT]
    return found


def _attributions(bench: Workbench, ends: Ends) -> dict[str, Tensor]:
    """FAIG and IG by input, before any elimination."""
    profile = bench.profile
    found = scenes(bench, profile.discovery_images, profile.discovery_crop)
    how: dict[str, Any] = {"rule": profile.rule, "nodes": profile.nodes}
    made = {}
    for kind in (*(own for own, _ in FUNCTIONS.values()), CONTROL_INPUT):
        pairs = [scene.pair(kind) for scene in found]
        made[f"faig/{kind}"] = faig(*ends, pairs, **how, progress=f"FAIG: {MAIN.title}, {kind}").values
        if kind != CONTROL_INPUT:
            changes = [(scene.inputs["clean"], scene.inputs[kind]) for scene in found]
            made[f"intinf/{kind}"] = intinf(ends[0], changes, **how, progress=f"IG: {MAIN.title}, {kind}").values
    return made


def drops(bench: Workbench) -> pd.DataFrame:
    """What masking costs every input.

    Returns:
        One row per ``method``, ``filters`` (function; the control's of FAIG alone), ``percent``, ``input`` (all of
        FAIG's filters, of others those that there are functions for) and ``image``: ``drop`` (gradient-map MSE ×10³
        against the target's output), ``drop_all`` (when all filters are the baseline's), and ``psnr`` and ``level``
        (dB, the second with the means of the channels put right), both also ``_target`` and ``_baseline``.
    """

    def compute() -> pd.DataFrame:
        ends = MAIN.load(bench)
        found = rankings(bench, ends)
        tested = scenes(bench, bench.profile.evaluation_images, bench.profile.discovery_crop)
        every, few = (Judge(ends, tested, kinds) for kinds in (tuple(INPUTS), [own for own, _ in FUNCTIONS.values()]))
        masks = Substitutions(*ends)
        known: dict[tuple[int, ...], list[dict[str, object]]] = {}
        rows = []
        for (method, function), scores in tqdm(found.items(), f"masking: {MAIN.title}", unit="ranking"):
            for percent in PERCENTS:
                filters = scores.top(percent)
                chosen = tuple(filters.ids.tolist())
                if chosen not in known:
                    known[chosen] = (every if method == "faig" else few).of(masks.of(filters))
                named = {"method": method, "filters": function, "percent": percent}
                rows += [named | row for row in known[chosen]]
        return pd.DataFrame(rows)

    return stored(bench, "drops", compute)


class Judge:
    """Compares outputs of a changed target with the truth and with the target's own, on some inputs of scenes."""

    def __init__(self, ends: Ends, found: Sequence[Scene], kinds: Sequence[str]) -> None:
        self.cases = [(scene, kind) for scene in found for kind in kinds]
        self.inputs = [scene.inputs[kind] for scene, kind in self.cases]
        every = Substitutions(*ends).of(FilterSet.every(FilterIndex.of(ends[0])))
        self.own, base, replaced = (restore_all(network, self.inputs) for network in (*ends, every))
        self.ends = [
            {
                "drop_all": float(gradient_error(whole, own)),
                **_quality(own, scene.truth, "_target"),
                **_quality(first, scene.truth, "_baseline"),
            }
            for (scene, _), own, first, whole in zip(self.cases, self.own, base, replaced, strict=True)
        ]

    def of(self, network: nn.Module) -> list[dict[str, object]]:
        """A row per image and input, see :func:`drops`."""
        outputs = restore_all(network, self.inputs)
        return [
            {
                "input": kind,
                "image": scene.name,
                "drop": float(gradient_error(output, own)),
                **_quality(output, scene.truth),
                **ends,
            }
            for (scene, kind), output, own, ends in zip(self.cases, outputs, self.own, self.ends, strict=True)
        ]


def _quality(output: Tensor, truth: Tensor, suffix: str = "") -> dict[str, float]:
    return {
        f"psnr{suffix}": float(psnr(output, truth)),
        f"level{suffix}": float(psnr(levelled(output, truth), truth)),
    }


def controls(bench: Workbench) -> pd.DataFrame:
    """Drops on the own input of FAIG's filters, of matched controls and of random filters.

    Returns:
        One row per ``filters`` (function), ``kind`` (``faig``, ``matched`` or ``random``) and ``draw``: ``drop``.
    """

    def compute() -> pd.DataFrame:
        profile, ends = bench.profile, MAIN.load(bench)
        found, change = rankings(bench, ends), filter_change(*ends)
        tested = scenes(bench, profile.curve_images, profile.discovery_crop)
        masks = Substitutions(*ends)
        rows = []
        for function, (own, _) in FUNCTIONS.items():
            inputs = [scene.inputs[own] for scene in tested]
            whole = restore_all(ends[0], inputs)
            chosen, draws = found["faig", function].top(PERCENTS[0]), profile.control_draws
            sets = list(with_controls(chosen, change, draws, max(1, draws // 5)))
            for kind, draw, filters in tqdm(sets, f"controls for {function}: {MAIN.title}", unit="set"):
                outputs = restore_all(masks.of(filters), inputs)
                rows.append((function, kind, draw, mean_drop(outputs, whole)))
        return pd.DataFrame(rows, columns=["filters", "kind", "draw", "drop"])

    return stored(bench, "controls", compute)


def sweep(bench: Workbench) -> pd.DataFrame:
    """One knob at a time: FAIG's filters at θ_λ.

    Returns:
        One row per ``filters`` (function of the knob), ``lambda``, ``input`` and ``image``: ``psnr`` (dB), and
        ``distance`` from the target's output (root mean square, 8-bit levels).
    """

    def compute() -> pd.DataFrame:
        ends = MAIN.load(bench)
        found = rankings(bench, ends)
        tested = scenes(bench, bench.profile.interpolation_images, bench.profile.discovery_crop)
        cases = [(scene, kind) for scene in tested for kind, _ in FUNCTIONS.values()]
        inputs = [scene.inputs[kind] for scene, kind in cases]
        whole = restore_all(ends[0], inputs)
        turned = Substitutions(*ends)
        rows = []
        for function, strength in tqdm(list(_knobs()), f"λ: {MAIN.title}", unit="λ"):
            filters = found["faig", function].top(PERCENTS[0])
            outputs = restore_all(turned.of(filters, 1 - strength), inputs)
            for (scene, kind), output, own in zip(cases, outputs, whole, strict=True):
                distance = 255 * float((output - own).double().square().mean().sqrt())
                rows.append((function, strength, kind, scene.name, float(psnr(output, scene.truth)), distance))
        return pd.DataFrame(rows, columns=["filters", "lambda", "input", "image", "psnr", "distance"])

    return stored(bench, "sweep", compute)


def _knobs() -> Iterator[tuple[str, float]]:
    for function in FUNCTIONS:
        for strength in LAMBDAS:
            yield function, strength


def overlaps(bench: Workbench) -> pd.DataFrame:
    """Overlap of every image's own filters with those of either degradation, without its ground truth.

    Returns:
        One row per ``image``, ``input`` and ``filters`` (function): ``score`` in [0, 1], and ``present``, whether the
        input needs the function.
    """

    def compute() -> pd.DataFrame:
        profile, ends = bench.profile, MAIN.load(bench)
        found = rankings(bench, ends)
        sets = {function: found["faig", function].top(PERCENTS[0]) for function in FUNCTIONS}
        path = ParameterPath(*ends)
        how: dict[str, Any] = {"rule": profile.prediction_rule, "nodes": profile.prediction_nodes}
        rows = []
        tested = scenes(bench, profile.prediction_images, profile.discovery_crop)
        for scene in tqdm(tested, f"prediction: {MAIN.title}", unit="image"):
            for kind, _ in FUNCTIONS.values():
                own = filters_of_image(path, scene.inputs[kind], percent=PERCENTS[0], **how)
                for function, score in overlap_scores(own, sets).items():
                    rows.append((scene.name, kind, function, score, FUNCTIONS[function][0] == kind))
        return pd.DataFrame(rows, columns=["image", "input", "filters", "score", "present"])

    return stored(bench, "overlaps", compute)


def layers(bench: Workbench) -> pd.DataFrame:
    """How FAIG's filters divide among layers: by ``filters`` and ``layer``, ``share``, and ``even``, an even one's."""

    def compute() -> pd.DataFrame:
        ends = MAIN.load(bench)
        rows = []
        for (method, function), scores in rankings(bench, ends).items():
            if method == "faig" and function in FUNCTIONS:
                chosen = scores.top(PERCENTS[0])
                for layer, part in chosen.index.split(chosen.member()):
                    shares = float(part.sum()) / len(chosen), layer.filters / chosen.index.total
                    rows.append((function, layer.name.removesuffix(".weight"), *shares))
        return pd.DataFrame(rows, columns=["filters", "layer", "share", "even"])

    return stored(bench, "layers", compute)
