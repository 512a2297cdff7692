"""Filters found with and replaced by other baselines; elimination left out (supp. Fig. 8)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pandas as pd
from torch import Tensor

from faiglib.attribution.elimination import eliminate
from faiglib.companion.discovery import (
    BASELINES,
    FUNCTIONS,
    KINDS,
    ablation_scores,
    attributions,
    baseline_network,
)
from faiglib.companion.masked import Mask, measure
from faiglib.companion.workbench import Workbench
from faiglib.filters.scores import FilterScores
from faiglib.filters.substitution import substitute
from faiglib.images.metrics import mean_luminance, psnr
from faiglib.images.restoration import restore
from faiglib.networks.zoo import Pair

#: Proportion of masked filters (%) in the comparison of baselines, as in supp. Fig. 8.
PERCENT = 1.0

#: Proportions of masked filters (%) with and without elimination.
ELIMINATION_PERCENTS = (1.0, 5.0)


def ablation(bench: Workbench) -> pd.DataFrame:
    """Mask 1 % of the filters, found with each baseline and replaced by each baseline (supp. Fig. 8 in numbers).

    Returns:
        The columns of :func:`faiglib.companion.masked.measure`
        after ``network``, ``seed`` and ``image_set``, with ``found_with``
        in place of ``method``, and ``replaced_by``. ``psnr_baseline`` belongs to the network ``replaced_by``.
    """

    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        masks = [
            Mask(name, function, PERCENT, scores.of(function).top(PERCENT))
            for name in BASELINES
            for scores in (ablation_scores(bench, pair, name),)
            for function in FUNCTIONS
        ]
        samples = bench.samples(image_set, bench.profile.ablation_images, bench.profile.evaluation_crop)
        parts = []
        for name in BASELINES:
            replaced = dataclasses.replace(pair, baseline=baseline_network(bench, pair, name))
            label = f"masking by θ̄_{name}: {pair.title} seed {pair.seed}"
            part = measure(replaced, masks, samples, label).rename(columns={"method": "found_with"})
            part.insert(1, "replaced_by", name)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    return bench.table_per_pair("baseline_ablation/masking", (bench.test_set,), compute)


def completeness(bench: Workbench) -> pd.DataFrame:
    """How well the path integral towards each baseline converged.

    Returns:
        One row per ``network``, ``seed``, ``found_with`` and ``input``: ``error_percent``, the mean over images of the
        absolute completeness error in percent of the change of the loss.
    """
    rows = []
    for pair in bench.pairs():
        for name in BASELINES:
            errors = ablation_scores(bench, pair, name).errors
            rows += [
                {
                    "network": pair.network,
                    "seed": pair.seed,
                    "found_with": name,
                    "input": kind,
                    "error_percent": 100 * float(errors[kind].abs().mean()),
                }
                for kind in KINDS
            ]
    return pd.DataFrame(rows)


def elimination(bench: Workbench) -> pd.DataFrame:
    """Mask the filters that FAIG ranks highest with and without subtracting the other degradation.

    The path integrals are those of the chapter on masking, from the test set.

    Returns:
        The columns of :func:`faiglib.companion.masked.measure`
        after ``network``, ``seed`` and ``image_set``; ``method`` is
        ``with`` or ``without`` (elimination).
    """

    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        masks = [
            Mask(method, function, percent, scores.top(percent))
            for (method, function), scores in elimination_scores(bench, pair).items()
            for percent in ELIMINATION_PERCENTS
        ]
        samples = bench.samples(image_set, bench.profile.ablation_images, bench.profile.evaluation_crop)
        return measure(pair, masks, samples, f"elimination: {pair.title} seed {pair.seed}")

    return bench.table_per_pair("baseline_ablation/elimination", (bench.test_set,), compute)


def elimination_scores(bench: Workbench, pair: Pair) -> dict[tuple[str, str], FilterScores]:
    """FAIG of the test set with and without elimination: {(``with`` or ``without``, function): scores}."""
    raw = attributions(bench, pair, bench.test_set)
    scores = {}
    for function, (own, other) in FUNCTIONS.items():
        scores["with", function] = eliminate(raw["faig", own], raw["faig", other])
        scores["without", function] = raw["faig", own]
    return scores


def common_filters(bench: Workbench) -> pd.DataFrame:
    """Share of filters that are among the best for deblurring and for denoising at once.

    Returns:
        One row per ``network``, ``seed``, ``method`` (``with`` or ``without``) and ``percent``: ``overlap``, 0 to 1.
    """
    rows = []
    for pair in bench.pairs():
        scores = elimination_scores(bench, pair)
        for method in ("with", "without"):
            for percent in ELIMINATION_PERCENTS:
                first, second = (scores[method, function].top(percent) for function in FUNCTIONS)
                rows.append(
                    {
                        "network": pair.network,
                        "seed": pair.seed,
                        "method": method,
                        "percent": percent,
                        "overlap": first.overlap(second),
                    }
                )
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Picture:
    """A restored image with what is wrong with it.

    Attributes:
        image: (1, 3, H, W).
        psnr: dB.
        shift: mean gray level against the target's output, 8-bit levels.
    """

    image: Tensor
    psnr: float
    shift: float


@dataclass(frozen=True, eq=False)
class AblationGallery:
    """One scene for supp. Fig. 8.

    Attributes:
        references: {title: picture}: target, trained baseline, ground truth.
        cells: {(found_with, replaced_by): picture}.
    """

    references: dict[str, Picture]
    cells: dict[tuple[str, str], Picture]


def gallery(
    bench: Workbench, pair: Pair, function: str, image: str = "chelsea", crop: int = 120, image_set: str = "skimage"
) -> AblationGallery:
    """The own input of a function, restored without its filters, for every way of finding and replacing them.

    Args:
        bench: where things are.
        pair: target and trained baseline.
        function: key of :data:`faiglib.images.degradations.FUNCTIONS`.
        image: file name without ending.
        crop: side of the central crop in HR pixels.
        image_set: that holds the image.
    """
    sample = next(one for one in bench.samples(image_set, None, crop) if one.name == image)
    low = sample.inputs[FUNCTIONS[function][0]]
    target = restore(pair.target, low)

    def picture(output: Tensor) -> Picture:
        shift = 255 * float(mean_luminance(output) - mean_luminance(target))
        return Picture(output.cpu(), float(psnr(output, sample.ground_truth)), shift)

    networks = {name: baseline_network(bench, pair, name) for name in BASELINES}
    cells = {}
    for found in BASELINES:
        filters = ablation_scores(bench, pair, found).of(function).top(PERCENT)
        for name, network in networks.items():
            cells[found, name] = picture(restore(substitute(pair.target, network, filters), low))
    references = {
        "target": picture(target),
        "trained baseline": picture(restore(pair.baseline, low)),
        "ground truth": picture(sample.ground_truth),
    }
    return AblationGallery(references, cells)
