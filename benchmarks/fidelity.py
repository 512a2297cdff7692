"""Time and fidelity of both rankings on a data set of images: the published algorithm against faiglib.

Fidelity is the overlap of the top 1 % with those of a Gauss-Legendre reference of many nodes, mean of the two
functions. Scores are averaged over images before they are ranked, and errors of single images average out, so that
fidelity depends on how many images there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks import published
from benchmarks.common import first_pairs, flops, main_pair, samples, seconds
from benchmarks.sizes import Size
from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE, ParameterPath, image_scores
from faiglib.attribution.quadrature import quadrature
from faiglib.companion.discovery import FUNCTIONS, KINDS
from faiglib.companion.workbench import Sample
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.networks import build
from faiglib.networks.zoo import Pair

Row = dict[str, Any]

#: FAIG of single images before elimination: {input: (images, filters)}.
Scores = dict[str, Tensor]

#: Proportion of filters (%) whose choice is compared.
PERCENT = 1


@dataclass(frozen=True)
class Scheme:
    """How the path integral of an image is computed."""

    rule: str
    nodes: int
    precision: str = "32-true"

    @property
    def name(self) -> str:
        """As printed."""
        return f"{self.rule} {self.nodes}" + ("" if self.precision == "32-true" else f", {self.precision}")


DEFAULT = Scheme(DEFAULT_RULE, DEFAULT_NODES)
RELEASED = Scheme("left", published.STEPS)
SCHEMES = (
    DEFAULT,
    Scheme(DEFAULT_RULE, DEFAULT_NODES, "bf16-mixed"),
    *(Scheme("midpoint", nodes) for nodes in (6, 8, 12, 25)),
    *(Scheme("gauss-legendre", nodes) for nodes in (6, 8, 12)),
    RELEASED,
)


@dataclass(frozen=True)
class Measured:
    """What a scheme gave: its scores, and seconds an image for both inputs."""

    scores: Scores
    seconds: float


def measured(pair: Pair, scenes: Sequence[Sample], scheme: Scheme) -> Measured:
    """Scores of every image by faiglib."""
    path = ParameterPath(pair.target, pair.baseline, precision=scheme.precision)
    points = quadrature(scheme.rule, scheme.nodes)
    scores: Scores = {}

    def work() -> None:
        for kind in KINDS:
            found = [image_scores(path, scene.inputs[kind], scene.ground_truth, points) for scene in scenes]
            scores[kind] = torch.stack(found)

    taken = seconds(work, warm_up=False)
    return Measured(scores, taken / len(scenes))


def rankings(index: FilterIndex, scores: Scores, images: slice) -> dict[str, FilterScores]:
    """Scores of both functions after elimination, averaged over some images."""
    return {
        function: FilterScores(index, (scores[own][images] - scores[other][images]).mean(0))
        for function, (own, other) in FUNCTIONS.items()
    }


def overlap(first: dict[str, FilterScores], second: dict[str, FilterScores]) -> float:
    """Share of the top 1 % that two pairs of rankings have in common, mean of the functions."""
    return sum(first[name].top(PERCENT).overlap(second[name].top(PERCENT)) for name in FUNCTIONS) / len(FUNCTIONS)


def fidelity(index: FilterIndex, scores: Scores, reference: Scores, count: int) -> float:
    """Overlap of the rankings from ``count`` images with the reference's from the same, mean over disjoint groups."""
    images = len(scores[KINDS[0]])
    groups = [slice(start, start + count) for start in range(0, images - count + 1, count)]
    return sum(overlap(*(rankings(index, one, group) for one in (scores, reference))) for group in groups) / len(groups)


def counts(images: int) -> list[int]:
    """1, 2, 4, ... up to the number of images."""
    return [2**power for power in range(images.bit_length())]


def plain(pair: Pair, scenes: Sequence[Sample]) -> tuple[dict[str, FilterScores], float]:
    """Both rankings by the published algorithm, and seconds an image."""
    index = FilterIndex.of(pair.target)
    states = [
        {name: value.contiguous() for name, value in one.state_dict().items()} for one in (pair.target, pair.baseline)
    ]
    found: dict[str, FilterScores] = {}

    def work() -> None:
        for function, (own, other) in FUNCTIONS.items():
            total = torch.zeros(index.total, dtype=torch.float64)
            for scene in scenes:
                inputs = (scene.inputs[own], scene.inputs[other])
                total += published.attribute(lambda: build(pair.network), *states, *inputs, scene.ground_truth).double()
            found[function] = FilterScores(index, total / len(scenes))

    taken = seconds(work, warm_up=False)
    return found, taken / len(scenes)


def by_images(
    network: str, index: FilterIndex, results: Mapping[Scheme, Any], reference: Any, images: int
) -> Iterator[Row]:
    """Fidelity of every scheme by the number of images that scores are averaged over."""
    for scheme, one in results.items():
        for count in counts(images):
            yield {
                "network": network,
                "scheme": scheme.name,
                "nodes": scheme.nodes,
                "images": count,
                "overlap": fidelity(index, one.scores, reference, count),
            }


def attribution(size: Size) -> Row:
    """Time an image and fidelity of every scheme and of the published algorithm.

    The published algorithm is timed on the first few images. Its scores of all of them are taken from faiglib's left
    rule, whose agreement with it on those few is part of the result.
    """
    main = main_pair()
    averaging: list[Row] = []
    for network, pair in first_pairs().items():
        index = FilterIndex.of(pair.target)
        scenes = samples(size.images if network == main.network else size.other_images, size.crop)
        for precision in ("32-true", "bf16-mixed"):
            measured(pair, scenes[:1], Scheme("midpoint", 1, precision))  # warms up
        reference = measured(pair, scenes, Scheme("gauss-legendre", size.reference)).scores
        results = {scheme: measured(pair, scenes, scheme) for scheme in dict.fromkeys(SCHEMES)}
        averaging += by_images(network, index, results, reference, len(scenes))
        if network == main.network:
            kept = (index, scenes, reference, results)
    index, scenes, reference, results = kept
    few = scenes[: size.published_images]
    plain_rankings, plain_seconds = plain(main, few)
    finer = measured(main, scenes, Scheme("trapezoid", size.reference + 1)).scores

    def row(name: str, scheme: Scheme, passes: int, taken: float) -> Row:
        scores = results[scheme].scores
        return {
            "name": name,
            "nodes": scheme.nodes,
            "passes": passes,
            "seconds": taken,
            "ratio": plain_seconds / taken,
            "overlap": fidelity(index, scores, reference, len(scenes)),
            "overlap_single": fidelity(index, scores, reference, 1),
        }

    def title(scheme: Scheme) -> str:
        return f"faiglib, {scheme.name}" + (" (default)" if scheme == DEFAULT else "")

    ours = [scheme for scheme in results if scheme != RELEASED]
    return {
        "network": main.network,
        "images": len(scenes),
        "published_images": len(few),
        "crop": size.crop,
        "reference_nodes": size.reference,
        "rows": [
            row("published (left 100)", RELEASED, 4 * published.STEPS, plain_seconds),
            *(row(title(one), one, 2 * one.nodes, results[one].seconds) for one in ours),
        ],
        "averaging": averaging,
        "agreement": overlap(plain_rankings, rankings(index, results[RELEASED].scores, slice(len(few)))),
        "resolution": 1 - fidelity(index, finer, reference, len(scenes)),
        "rebuild_seconds": seconds(lambda: build(main.network).load_state_dict(main.target.state_dict()), 3),
        "gflop_per_pass": flops(lambda: measured(main, scenes[:1], Scheme("midpoint", 1))) / len(KINDS) / 1e9,
    }
