"""Masking every trained pair by every method (supp. Tables 3 to 6, main Figs. 3 and 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from torch import Tensor, nn

from faiglib.companion import paper
from faiglib.companion.discovery import KINDS, Rankings, discover
from faiglib.companion.masked import Mask, measure
from faiglib.companion.workbench import Workbench
from faiglib.filters.substitution import substitute
from faiglib.images.degradations import FUNCTIONS
from faiglib.images.restoration import restore
from faiglib.networks.zoo import Pair

#: Proportions of masked filters that a reader can choose for one picture, in percent.
CHOICES = (0, 0.5, 1, 2, 3, 5, 10, 20, 50, 100)


def masks(rankings: Rankings, methods: Sequence[str], percents: Sequence[float]) -> Iterator[Mask]:
    """Every combination of method, function and proportion."""
    for method in methods:
        for function in FUNCTIONS:
            for percent in percents:
                yield Mask(method, function, percent, rankings.top(method, function, percent))


def drops(bench: Workbench) -> pd.DataFrame:
    """Masking results of every trained pair, image set, method, function and proportion of the profile.

    Returns:
        The columns of :func:`measure` after ``network``, ``seed`` and ``image_set``.
    """
    profile = bench.profile
    return _over_pairs(
        bench,
        "drops",
        tuple(paper.MASKED),
        profile.percents,
        profile.evaluation_images,
        profile.evaluation_crop,
        tuple(bench.image_sets),
    )


def curves(bench: Workbench) -> pd.DataFrame:
    """Masking curves (main Fig. 3): FAIG against random over proportions from 0 to 100 %, on one image set.

    The set is the workbench's test set. Columns as for :func:`drops`.
    """
    profile = bench.profile
    return _over_pairs(
        bench,
        "curves",
        ("faig", "random"),
        profile.curve_percents,
        profile.curve_images,
        profile.discovery_crop,
        (bench.test_set,),
    )


def _over_pairs(
    bench: Workbench,
    name: str,
    methods: tuple[str, ...],
    percents: tuple[float, ...],
    limit: int | None,
    crop: int | None,
    image_sets: tuple[str, ...],
) -> pd.DataFrame:
    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        label = f"masking ({name}): {pair.title} seed {pair.seed}, {bench.image_set(image_set).title}"
        chosen = list(masks(discover(bench, pair, image_set), methods, percents))
        return measure(pair, chosen, bench.samples(image_set, limit, crop), label)

    return bench.table_per_pair(
        f"masking/{name}", image_sets, compute, methods=methods, percents=percents, limit=limit, crop=crop
    )


@dataclass(frozen=True, eq=False)
class Gallery:
    """Restored images of one scene for the qualitative grid (main Fig. 4).

    Attributes:
        ground_truth: (1, 3, H, W).
        rows: {network and input: {column title: image}}; the columns are the input enlarged, the target, and the masked
            networks.
    """

    ground_truth: Tensor
    rows: dict[str, dict[str, Tensor]]


def galleries(bench: Workbench, image_set: str, image: str, percent: float, crop: int) -> Gallery:
    """Blurry and noisy input restored by every network's first target, whole and without either ability.

    Args:
        bench: where things are.
        image_set: set that holds the image; filters are discovered on the workbench's test set.
        image: its file name without the ending.
        percent: proportion of masked filters.
        crop: side of the central crop in HR pixels.
    """
    sample = next(one for one in bench.samples(image_set, None, crop) if one.name == image)
    rows = {}
    for network, seed in bench.first_pairs:
        pair, named = bench.pair(network, seed), bench.named(network, seed)
        rankings = discover(bench, pair, bench.test_set)
        networks = {"target": pair.target}
        for function in FUNCTIONS:
            filters = rankings.top("faig", function, percent)
            networks[f"without {percent:g} % {function} filters"] = substitute(pair.target, pair.baseline, filters)
        for kind in KINDS:
            low = sample.inputs[kind]
            enlarged = nn.functional.interpolate(low, scale_factor=2.0, mode="nearest")
            rows[f"{named}, {kind}"] = {f"{named}, {kind} input": enlarged.cpu()} | {
                title: restore(one, low).cpu() for title, one in networks.items()
            }
    return Gallery(sample.ground_truth.cpu(), rows)


def choices(bench: Workbench, pair: Pair, image_set: str, image: str, crop: int) -> dict[float, list[list[Tensor]]]:
    """One scene restored with more and more filters masked, for every proportion of :data:`CHOICES`.

    The arguments are those of :func:`galleries`.

    Returns:
        {percent: rows}: a row per input of :data:`KINDS`, in it the restorations, (1, 3, H, W) each, without the
        deblurring, without the denoising and without random filters.
    """
    rankings = discover(bench, pair, bench.test_set)
    sample = next(one for one in bench.samples(image_set, None, crop) if one.name == image)
    sets = [("faig", function) for function in FUNCTIONS] + [("random", next(iter(FUNCTIONS)))]
    result = {}
    for percent in CHOICES:
        networks = [
            substitute(pair.target, pair.baseline, rankings.top(method, function, percent)) for method, function in sets
        ]
        result[float(percent)] = [
            [restore(network, sample.inputs[kind]).cpu() for network in networks] for kind in KINDS
        ]
    return result
