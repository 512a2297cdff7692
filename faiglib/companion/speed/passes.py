"""Where gradients are spent best: few nodes or many, few crops or many, small or large, for one ranking of a data set.

The ranking that matters is that of a data set. One half of its images, in large crops and with many nodes, is the
reference; rankings of small crops of its *other* images are held against it, so that none sees an image of the
reference. No budget can be expected to agree with it better than the other half does, made as it is: the ceiling.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from faiglib.attribution.elimination import eliminate
from faiglib.attribution.many_rules import shared_nodes
from faiglib.attribution.parameter_path import ParameterPath, squared_error
from faiglib.attribution.quadrature import Quadrature, quadrature
from faiglib.companion.discovery import KINDS, RELEASED
from faiglib.companion.statistics import top_overlap
from faiglib.companion.workbench import Sample, Workbench
from faiglib.filters.scores import FilterScores
from faiglib.images.degradations import FUNCTIONS, INPUTS
from faiglib.networks.zoo import Pair
from faiglib.system.passes import differentiating

#: Low-resolution pixel of a high-resolution one: crops begin and end between them.
SCALE = INPUTS["clean"].scale
#: Images of the published data set, Set14, whose integrals the released program takes whole.
PUBLISHED_IMAGES = 14


@dataclass(frozen=True)
class Study:
    """What is tried.

    Attributes:
        images: of every image set in each half, at most; as many as possible where there are fewer.
        side: of the crops of the halves, HR pixels.
        nodes: Gauss-Legendre nodes of the halves' integrals.
        crops: how many random crops are drawn, by their side in HR pixels.
        sizes: of the groups of crops that a ranking is made from.
        fixed: numbers of midpoint nodes, the same for every crop.
        shifted: numbers of equidistant nodes that are moved along the path from crop to crop, each a divisor of the
            last.
        draws: groups of one size, at most.
    """

    images: int = 9
    side: int = 192
    nodes: int = 10
    crops: tuple[tuple[int, int], ...] = ((32, 160), (48, 100), (64, 60), (96, 30))
    sizes: tuple[int, ...] = (5, 10, 20, 40, 80, 160)
    fixed: tuple[int, ...] = (1, 2, 3, 6, 9)
    shifted: tuple[int, ...] = (1, 3, 9)
    draws: int = 12


#: What is tried by the folder of its record below that of all: few crops in many ways, then, with the nodes of the
#: cheapest of the best ways, as many crops of each size as about a hundredth of what the published program
#: differentiates pays, and three times as many of the best size. The groups have other sizes than the first study's,
#: which has the same crops.
STUDIES = {
    "": Study(),
    "hundredth": Study(
        crops=((64, 256), (96, 342), (128, 64), (192, 28)), sizes=(7, 14, 28, 64, 114, 256), fixed=(), shifted=(3,)
    ),
}


def cut(sample: Sample, top: int, left: int, side: int, mirrored: bool = False) -> Sample:
    """A square of an image in all its degradations, cut after degrading.

    Args:
        sample: the image.
        top: of the square, HR pixels, a multiple of :data:`SCALE`.
        left: likewise.
        side: likewise.
        mirrored: left and right are exchanged.
    """

    def part(image: Tensor, scale: int) -> Tensor:
        rows, columns = (slice(start // scale, (start + side) // scale) for start in (top, left))
        found = image[..., rows, columns]
        return (found.flip(-1) if mirrored else found).contiguous()

    inputs = {kind: part(image, SCALE) for kind, image in sample.inputs.items()}
    return Sample(sample.name, part(sample.ground_truth, 1), inputs)


def centre(sample: Sample, side: int) -> Sample:
    """The central square of an image, of at most ``side`` HR pixels."""
    height, width = sample.ground_truth.shape[-2:]
    side = min(side, height, width) // SCALE * SCALE
    top, left = ((full - side) // 2 // SCALE * SCALE for full in (height, width))
    return cut(sample, top, left, side)


def halves(bench: Workbench, study: Study) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """The images of the reference, those of the other half, and all that are not in the reference."""
    first: list[Sample] = []
    second: list[Sample] = []
    outside: list[Sample] = []
    for name in bench.image_sets:
        samples = bench.samples(name, None, None)
        count = 2 * min(study.images, len(samples) // 2)
        chosen = [round(place) for place in np.linspace(0, len(samples) - 1, count)]
        first += [samples[place] for place in chosen[::2]]
        second += [samples[place] for place in chosen[1::2]]
        outside += [sample for place, sample in enumerate(samples) if place not in chosen[::2]]
    return first, second, outside


def random_crops(samples: Sequence[Sample], side: int, count: int, seed: int) -> Iterator[Sample]:
    """Squares at random places of random images, half of them mirrored."""
    generator = np.random.default_rng([seed, side])
    fitting = [sample for sample in samples if min(sample.ground_truth.shape[-2:]) >= side]
    for _ in range(count):
        sample = fitting[generator.integers(len(fitting))]
        top, left = (
            SCALE * int(generator.integers((full - side) // SCALE + 1)) for full in sample.ground_truth.shape[-2:]
        )
        yield cut(sample, top, left, side, bool(generator.integers(2)))


def schemes(study: Study, crop: int, seed: int) -> dict[tuple[str, int], Quadrature]:
    """The rules for a crop by (``fixed`` or ``shifted``, nodes); the shifted ones are parts of the largest of them."""
    rules = {("fixed", nodes): quadrature("midpoint", nodes) for nodes in study.fixed}
    generator, most = np.random.default_rng([seed, crop, 1]), study.shifted[-1]
    lattice = (np.arange(most) + generator.random()) / most
    for nodes in study.shifted:
        step = most // nodes
        chosen = lattice[int(generator.integers(step)) :: step]
        rules["shifted", nodes] = Quadrature("shifted", tuple(map(float, chosen)), (1 / nodes,) * nodes)
    return rules


@differentiating
def scores_by_rule(path: ParameterPath, inputs: Tensor, ground_truth: Tensor, rules: Sequence[Quadrature]) -> Tensor:
    """FAIG of every filter on one image by each of some rules, which share their gradients: (rules, filters) float64.

    Args:
        path: from target to baseline.
        inputs: (1, 3, h, w).
        ground_truth: (1, 3, H, W).
        rules: a node that several have is evaluated once.
    """
    totals = [[torch.zeros_like(weight) for weight in path.weights] for _ in rules]
    for alpha, users in shared_nodes(rules).items():
        path.move_to(alpha)
        gradients = path.gradients(path.weights, inputs, ground_truth, squared_error)
        for number, weight in users:
            torch._foreach_add_(totals[number], gradients, alpha=weight)
    found = []
    for total in totals:
        contributions = torch._foreach_mul(total, path.weight_direction)
        found.append(path.index.gather(dict(zip(path.index.weights, contributions, strict=True))).cpu())
    return torch.stack(found)


def effects(path: ParameterPath, samples: Sequence[Sample], study: Study, label: str) -> Tensor:
    """FAIG of every filter on the central crop of each image by the reference's rule: (images, inputs, filters)."""
    rule = [quadrature("gauss-legendre", study.nodes)]
    found = []
    for sample in tqdm(samples, label, unit="image"):
        crop = centre(sample, study.side)
        found.append(torch.cat([scores_by_rule(path, crop.inputs[k], crop.ground_truth, rule) for k in KINDS]))
    return torch.stack(found)


def by_function(path: ParameterPath, scores: Tensor) -> dict[str, FilterScores]:
    """Scores after elimination (paper, eq. 7), {function: scores}, from those of the inputs, (inputs, filters)."""
    named = dict(zip(KINDS, scores, strict=True))
    return {
        function: FilterScores(path.index, eliminate(named[own], named[other]))
        for function, (own, other) in FUNCTIONS.items()
    }


def missed(scores: FilterScores, reference: FilterScores) -> float:
    """1 − cos² of two rankings' scores: the share of the squared length that is not along the reference."""
    cosine = torch.nn.functional.cosine_similarity(scores.values, reference.values, dim=0)
    return float(1 - cosine.square())


@dataclass(frozen=True, eq=False)
class Measured:
    """What one pair of networks says.

    Attributes:
        table: one row per ``filters`` (function), ``side`` (HR pixels), ``rule`` (``fixed`` or ``shifted``), ``nodes``
            and ``crops``: ``groups``, how many rankings; their mean ``overlap`` of the top 1 % with the reference's,
            and ``missed``, the mean of :func:`missed`.
        ceiling: overlap of the two halves, by function.
        whole: the same of :data:`PUBLISHED_IMAGES` images of the other half with the reference, mean over draws.
    """

    table: pd.DataFrame
    ceiling: dict[str, float]
    whole: dict[str, float]


def measure(bench: Workbench, pair: Pair, study: Study) -> Measured:
    """Hold rankings of random crops against the reference, a part after the other from the store where it is there."""
    first, second, outside = halves(bench, study)
    path = ParameterPath(pair.target, pair.baseline)
    images = [bench.image_set(name).digest for name in bench.image_sets]
    key = {"pair": pair.digest, "seed": bench.seed, "sets": [*bench.image_sets], "images": images}
    held_against = {"limit": study.images, "side": study.side, "nodes": study.nodes}

    def reference() -> Mapping[str, Tensor]:
        label = f"{pair.title}: halves"
        return {name: effects(path, part, study, label) for name, part in (("first", first), ("second", second))}

    stored = bench.store.tensors("speed/halves", key | held_against, reference)
    ends = {name: by_function(path, stored[name].mean(0)) for name in ("first", "second")}
    held = ends["first"]
    parts = [
        bench.store.table(
            "speed/passes",
            key | {"study": study, "side": side},
            partial(_of_side, path, list(random_crops(outside, side, count, bench.seed)), held, study, bench.seed),
        )
        for side, count in study.crops
    ]
    return Measured(
        pd.concat(parts, ignore_index=True),
        {function: top_overlap(ends["second"][function], held[function]) for function in FUNCTIONS},
        _of_images(path, stored["second"], held, study, bench.seed),
    )


def _of_images(
    path: ParameterPath, scores: Tensor, held: Mapping[str, FilterScores], study: Study, seed: int
) -> dict[str, float]:
    generator = torch.Generator().manual_seed(seed)
    wanted = min(PUBLISHED_IMAGES, len(scores))
    drawn = [scores[torch.randperm(len(scores), generator=generator)[:wanted]].mean(0) for _ in range(study.draws)]
    found = [by_function(path, one) for one in drawn]
    return {
        function: float(np.mean([top_overlap(one[function], held[function]) for one in found])) for function in held
    }


def _of_side(
    path: ParameterPath, crops: Sequence[Sample], held: Mapping[str, FilterScores], study: Study, seed: int
) -> pd.DataFrame:
    names = list(schemes(study, 0, seed))
    scores = torch.empty(len(crops), len(KINDS), len(names), path.index.total)
    side = crops[0].ground_truth.shape[-1]
    for number, crop in enumerate(tqdm(crops, f"crops of {side} pixels", unit="crop")):
        rules = list(schemes(study, number, seed).values())
        for place, kind in enumerate(KINDS):
            scores[number, place] = scores_by_rule(path, crop.inputs[kind], crop.ground_truth, rules)
    rows = []
    for place, (rule, nodes) in enumerate(names):
        for size in (one for one in study.sizes if one <= len(crops)):
            groups = scores[: len(crops) // size * size, :, place].split(size)[: study.draws]
            found = [by_function(path, group.mean(0).double()) for group in groups]
            for function in held:
                overlaps = [top_overlap(one[function], held[function]) for one in found]
                away = float(np.mean([missed(one[function], held[function]) for one in found]))
                rows.append((function, side, rule, nodes, size, len(found), float(np.mean(overlaps)), away))
    columns = ["filters", "side", "rule", "nodes", "crops", "groups", "overlap", "missed"]
    return pd.DataFrame(rows, columns=columns)


def published_pixels(bench: Workbench) -> int:
    """Pixels of ground truth that the released program differentiates for a ranking: whole images times its nodes."""
    samples = itertools.islice(bench.image_set(bench.test_set).load(), PUBLISHED_IMAGES)
    return RELEASED[1] * sum(image.shape[-2] * image.shape[-1] for _, image in samples)
