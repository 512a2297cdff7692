"""Ranking the filters of a trained pair by the four methods of the paper, for both degradations at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from faiglib.attribution import faig, filter_change, intinf, random_scores
from faiglib.experiments.workbench import Sample, Workbench
from faiglib.filters import FilterIndex, FilterScores, FilterSet
from faiglib.zoo import Pair

#: Filters by what they remove: the input that needs them, and the one whose attribution is eliminated.
FUNCTIONS = {"deblurring": ("blurry", "noisy"), "denoising": ("noisy", "blurry")}


@dataclass(frozen=True)
class Rankings:
    """Scores by method and function.

    Attributes:
        scores: {(method, function): scores}; method is a key of :data:`faiglib.paper.METHODS`, function of
            :data:`FUNCTIONS`.
    """

    scores: Mapping[tuple[str, str], FilterScores]

    def top(self, method: str, function: str, percent: float) -> FilterSet:
        """The ``percent`` % filters that a method ranks highest for a function."""
        return self.scores[method, function].top(percent)


def discover(bench: Workbench, pair: Pair, image_set: str) -> Rankings:
    """Rank all filters of a pair on an image set by FAIG, IG, |θ − θ̄| and at random.

    FAIG of blurry and of noisy inputs are computed once each and subtracted both ways (paper, eq. 7); IG ranks each
    degradation by itself; the other two do not look at images. Path integrals are taken from the store when they are
    there.
    """
    raw = attributions(bench, pair, image_set)
    index = FilterIndex.of(pair.target)
    change = filter_change(pair.target, pair.baseline)
    chance = {
        function: random_scores(index, 1000 * bench.seed + 10 * pair.seed + number)
        for number, function in enumerate(FUNCTIONS)
    }
    scores: dict[tuple[str, str], FilterScores] = {}
    for function, (own, other) in FUNCTIONS.items():
        scores["faig", function] = raw["faig", own] - raw["faig", other]
        scores["intinf", function] = raw["intinf", own]
        scores["filter_change", function] = change
        scores["random", function] = chance[function]
    return Rankings(scores)


def attributions(bench: Workbench, pair: Pair, image_set: str) -> dict[tuple[str, str], FilterScores]:
    """FAIG and IG of every filter by input, before any elimination: {(method, input): scores}."""
    profile = bench.profile
    limit, crop = profile.discovery_images, profile.discovery_crop
    kinds = [own for own, _ in FUNCTIONS.values()]

    def compute() -> dict[str, FilterScores]:
        samples = bench.samples(image_set, limit, crop)
        results = {}
        for kind in kinds:
            label = f"{pair.title} seed {pair.seed}, {bench.image_set(image_set).title}, {kind}"
            results[f"faig/{kind}"] = faig(
                pair.target,
                pair.baseline,
                pairs_of(samples, kind),
                rule=profile.rule,
                nodes=profile.nodes,
                progress=f"FAIG: {label}",
            )
            results[f"intinf/{kind}"] = intinf(
                pair.target,
                [(sample.inputs["clean"], sample.inputs[kind]) for sample in samples],
                rule=profile.rule,
                nodes=profile.nodes,
                progress=f"IG: {label}",
            )
        return results

    key = bench.key(pair, image_set, rule=profile.rule, nodes=profile.nodes, limit=limit, crop=crop, kinds=kinds)
    stored = bench.store.tensors(
        "attributions", key, lambda: {name: scores.values for name, scores in compute().items()}
    )
    index = FilterIndex.of(pair.target)
    return {
        (method, kind): FilterScores(index, stored[f"{method}/{kind}"])
        for method in ("faig", "intinf")
        for kind in kinds
    }


def pairs_of(samples: Sequence[Sample], kind: str) -> list[tuple[Tensor, Tensor]]:
    """(network input, ground truth) of every sample for one kind of input."""
    return [(sample.inputs[kind], sample.ground_truth) for sample in samples]
