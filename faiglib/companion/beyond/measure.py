"""Variants of the method, its details, and how stable its choice is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from faiglib.attribution import filter_change
from faiglib.attribution.elimination import eliminate
from faiglib.companion import paper
from faiglib.companion.beyond.integration import PERCENT, integral_scores
from faiglib.companion.discovery import KINDS, ablation_scores, discover, pairs_of, scores_by_image
from faiglib.companion.masked import Mask, measure
from faiglib.companion.statistics import rank_correlation, top_overlap
from faiglib.companion.workbench import Sample, Workbench
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks.zoo import Pair

#: Rankings that :func:`variants` masks by, with their names in tables.
VARIANTS = {
    **paper.METHODS,
    "filter_change_released": "|θ − θ̄| ÷ |θ̄| (as released)",
    "faig_default": "FAIG, convergence images, default rule",
    "faig_released": "FAIG, convergence images, left 100 (as released)",
    "faig_before": "FAIG, convergence images, absolute before integration",
}


def variant_scores(bench: Workbench, pair: Pair) -> dict[tuple[str, str], FilterScores]:
    """Scores of every variant and function: {(key of :data:`VARIANTS`, function): scores}.

    The paper's four methods are those of the chapter on masking, the last three come from the convergence images.
    """
    scores = dict(discover(bench, pair, bench.test_set).scores)
    relative = filter_change(pair.target, pair.baseline, "as_released")
    integrals = integral_scores(bench, pair)
    for function in FUNCTIONS:
        scores["filter_change_released", function] = relative
        for way in ("default", "released", "before"):
            scores[f"faig_{way}", function] = integrals[way, function]
    return scores


def variants(bench: Workbench) -> pd.DataFrame:
    """Mask the top 1 % of every variant and measure the drop on gray images and on the blue channel.

    Returns:
        The columns of :func:`faiglib.companion.masked.measure`
        after ``network``, ``seed`` and ``image_set``; ``method`` is a key
        of :data:`VARIANTS`.
    """

    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        masks = [
            Mask(variant, function, PERCENT, scores.top(PERCENT))
            for (variant, function), scores in variant_scores(bench, pair).items()
        ]
        samples = bench.samples(image_set, bench.profile.ablation_images, bench.profile.evaluation_crop)
        return measure(pair, masks, samples, f"variants: {pair.title} seed {pair.seed}")

    return bench.table_per_pair("beyond/variants", (bench.test_set,), compute)


#: Pairs of variants that differ in one detail: the sound one, the other one, what the detail is.
DETAILS = (
    ("filter_change", "filter_change_released", "change of a filter: absolute or relative"),
    ("faig_default", "faig_released", "integral: default rule or left 100"),
    ("faig_default", "faig_before", "absolute value: after or before the integration"),
)


def details(bench: Workbench, summary: pd.DataFrame) -> pd.DataFrame:
    """What each detail of :data:`DETAILS` changes: the choice of filters, and the drop that masking them causes.

    Args:
        bench: where things are.
        summary: from :func:`variant_summary`.

    Returns:
        One row per ``network``, ``detail`` and ``filters``, means over seeds: ``overlap`` (of the two top 1 %),
        ``spearman`` (of the two rankings), ``drop`` and ``drop_other`` (gray, own input, first and second variant).
    """
    rows = []
    for pair in bench.pairs():
        scores = variant_scores(bench, pair)
        for first, second, detail in DETAILS:
            for function in FUNCTIONS:
                one, two = scores[first, function], scores[second, function]
                rows.append(
                    {
                        "network": pair.network,
                        "detail": detail,
                        "filters": function,
                        "overlap": top_overlap(one, two),
                        "spearman": rank_correlation(one.values, two.values),
                    }
                )
    means = pd.DataFrame(rows).groupby(["network", "detail", "filters"], sort=False).mean().reset_index()
    drop = summary.set_index(["network", "filters", "method"])["drop"]
    for column, place in (("drop", 0), ("drop_other", 1)):
        variant = {detail: names[place] for *names, detail in DETAILS}
        means[column] = [drop[row.network, row.filters, variant[row.detail]] for row in means.itertuples()]
    return means


#: What two rankings differ in, in the order of the figure.
COMPARISONS = {
    "noise": "same images, other noise",
    "halves": "two halves of the images",
    "places": "two places in one image",
    "images": "two images",
    "image_sets": "two image sets",
    "fine_tunings": "two fine-tunings of one baseline",
    "seeds": "two training runs from the start",
}
#: Those that compare two networks.
BETWEEN_RUNS = ("fine_tunings", "seeds")


def quarter(sample: Sample, bottom: bool, right: bool) -> Sample:
    """One quarter of an image in all its degradations, cut after degrading.

    Args:
        sample: with LR sides that are even.
        bottom: the lower half instead of the upper one.
        right: the right half instead of the left one.
    """

    def cut(image: Tensor) -> Tensor:
        height, width = (side // 2 for side in image.shape[-2:])
        return image[..., bottom * height :, right * width :][..., :height, :width].contiguous()

    inputs = {kind: cut(image) for kind, image in sample.inputs.items()}
    return Sample(sample.name, cut(sample.ground_truth), inputs)


def stability(bench: Workbench) -> pd.DataFrame:
    """How much of the top 1 % of FAIG two rankings share that should agree (see :data:`COMPARISONS`).

    ``images`` compares single central crops of different images, ``places`` two crops of that size from one image (its
    top left and bottom right), ``halves`` the means over every second image, ``noise`` the means over the same images
    with two draws of noise, ``image_sets`` the rankings that the other chapters use, ``fine_tunings`` those of targets
    that share a baseline, ``seeds`` those of targets with a baseline each. Filter ids of networks from different
    initial weights do not correspond, so that chance, one percent, is the expectation for the last.

    Returns:
        One row per comparison: ``network``, ``seed`` (of the first), ``comparison``, ``which`` (the two), ``filters``,
        ``overlap`` (0 to 1), ``spearman``.
    """
    rows = []
    earlier: dict[str, list[tuple[Pair, str, FilterScores]]] = {}
    compared = bench.over_pairs(lambda pair: (pair, list(_compared(bench, pair))))
    for pair, comparisons in compared:
        for comparison, which, function, first, second in comparisons:
            rows.append(_agreement(pair.network, pair.seed, comparison, which, function, first, second))
        rankings = discover(bench, pair, bench.test_set)
        own = [(pair, function, rankings.scores["faig", function]) for function in FUNCTIONS]
        for (before, asked, first), (_, function, second) in itertools.product(earlier.get(pair.network, []), own):
            if asked == function:
                comparison = "fine_tunings" if _one_baseline(before, pair) else "seeds"
                which = f"seed {before.seed} | seed {pair.seed}"
                rows.append(_agreement(pair.network, before.seed, comparison, which, function, first, second))
        earlier.setdefault(pair.network, []).extend(own)
    return pd.DataFrame(rows)


def _one_baseline(first: Pair, second: Pair) -> bool:
    """Whether two pairs have the same baseline weights."""
    weights = zip(first.baseline.parameters(), second.baseline.parameters(), strict=True)
    return all(torch.equal(one, other) for one, other in weights)


def _agreement(
    network: str, seed: int, comparison: str, which: str, function: str, first: FilterScores, second: FilterScores
) -> dict[str, object]:
    return {
        "network": network,
        "seed": seed,
        "comparison": comparison,
        "which": which,
        "filters": function,
        "overlap": top_overlap(first, second),
        "spearman": rank_correlation(first.values, second.values),
    }


def _compared(bench: Workbench, pair: Pair) -> Iterator[tuple[str, str, str, FilterScores, FilterScores]]:
    """(comparison, which, function, scores, scores) within one pair."""
    whole = ablation_scores(bench, pair)
    other_noise = ablation_scores(replace(bench, seed=bench.seed + 1), pair, kinds=("noisy",))
    renoised = replace(whole, values=whole.values | other_noise.values)
    corners = [_corner_scores(bench, pair, place) for place in (False, True)]
    count = len(whole.errors[KINDS[0]])
    sets = {name: discover(bench, pair, name) for name in bench.image_sets}
    for function in FUNCTIONS:
        yield "noise", "seed | next seed", function, whole.of(function), renoised.of(function)
        if count > 1:
            halves = [whole.of(function, torch.arange(start, count, 2)) for start in (0, 1)]
            yield "halves", "even | odd", function, halves[0], halves[1]
        single = [whole.of(function, torch.tensor([number])) for number in range(count)]
        for (one, first), (two, second) in itertools.combinations(enumerate(single), 2):
            yield "images", f"{one} | {two}", function, first, second
        for number, (first, second) in enumerate(zip(*(corner[function] for corner in corners), strict=True)):
            yield "places", f"{number}: top left | bottom right", function, first, second
        for left, right in itertools.combinations(sets, 2):
            scores = [sets[name].scores["faig", function] for name in (left, right)]
            yield "image_sets", f"{left} | {right}", function, scores[0], scores[1]


def _corner_scores(bench: Workbench, pair: Pair, lower_right: bool) -> dict[str, list[FilterScores]]:
    """FAIG with elimination on one corner of every ablation image: {function: scores by image}."""
    profile = bench.profile
    crop = None if profile.ablation_crop is None else 2 * profile.ablation_crop

    def compute() -> dict[str, Tensor]:
        samples = bench.samples(bench.test_set, profile.ablation_images, crop)
        corners = [quarter(sample, lower_right, lower_right) for sample in samples]
        place = "bottom right" if lower_right else "top left"
        result = {}
        for kind in KINDS:
            label = f"FAIG {place}: {pair.title} seed {pair.seed}, {kind}"
            result[kind] = scores_by_image(pair, pairs_of(corners, kind), profile.rule, profile.nodes, label)
        return result

    key = bench.key(
        pair,
        bench.test_set,
        lower_right=lower_right,
        rule=profile.rule,
        nodes=profile.nodes,
        limit=profile.ablation_images,
        crop=crop,
    )
    stored = bench.store.tensors("beyond/corners", key, compute)
    index = FilterIndex.of(pair.target)
    return {
        function: [FilterScores(index, values) for values in eliminate(stored[own], stored[other])]
        for function, (own, other) in FUNCTIONS.items()
    }
