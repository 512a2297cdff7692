"""Overlap scores of every image (paper, section 4.4)."""

from __future__ import annotations

import pandas as pd
from tqdm import tqdm

from faiglib.attribution.overlap import filters_of_image, overlap_scores
from faiglib.attribution.parameter_path import ParameterPath
from faiglib.companion.discovery import discover
from faiglib.companion.prediction.roles import roles
from faiglib.companion.workbench import Sample, Workbench
from faiglib.filters.scores import FilterSet
from faiglib.images.degradations import INPUTS
from faiglib.images.quality import laplacian_energy, noise_level
from faiglib.networks.zoo import Pair

#: Function whose filters speak for a degradation.
DEGRADATIONS = {"blur": "deblurring", "noise": "denoising"}

#: Inputs that show a degradation.
PRESENT = {"blur": ("blurry", "blurry+noisy"), "noise": ("noisy", "blurry+noisy")}

#: Inputs that thresholds are chosen from or tested with.
CASES = {"two": ("blurry", "noisy"), "four": tuple(INPUTS)}

#: Predictors as printed.
PREDICTORS = {"pseudo": "overlap, blind", "oracle": "overlap, oracle", "plain": "plain rule"}

#: Proportion of filters in filter^D and filter^x, in %, as in the paper.
PERCENT = 1

#: Network and seed in the rows of the plain rule, which has neither.
NO_NETWORK = "none"

RUN = ["network", "seed", "predictor", "degradation"]


def scores(bench: Workbench) -> pd.DataFrame:
    """Overlap scores of every trained pair, and the plain rule's, on the sets that have a part.

    Args:
        bench: from :func:`widen`.

    Returns:
        One row per ``network``, ``seed``, ``predictor``, ``degradation``, ``image_set``, ``image`` and ``input``:
        ``score`` (overlap in [0, 1]; for the plain rule the noise level on the [0, 1] scale and the negative decadic
        logarithm of the Laplacian's variance), and ``present``, whether the input shows the degradation. The plain rule
        has network ``none`` and seed 0.
    """
    parts = roles(bench)
    tables = [_plain_scores(bench, image_set) for image_set in parts.scored]

    def of_pair(pair: Pair) -> pd.DataFrame:
        rankings = discover(bench, pair, parts.discovery)
        filters = {name: rankings.top("faig", function, PERCENT) for name, function in DEGRADATIONS.items()}
        return pd.concat([_pair_scores(bench, pair, filters, image_set) for image_set in parts.scored])

    return pd.concat([*tables, *bench.over_pairs(of_pair)], ignore_index=True)


def _pair_scores(bench: Workbench, pair: Pair, filters: dict[str, FilterSet], image_set: str) -> pd.DataFrame:
    profile = bench.profile

    def compute() -> pd.DataFrame:
        samples = bench.samples(image_set, profile.prediction_images, profile.prediction_crop)
        label = f"prediction: {pair.title} seed {pair.seed}, {bench.image_set(image_set).title}"
        path = ParameterPath(pair.target, pair.baseline)
        rows = []
        for sample in tqdm(samples, desc=label, unit="image"):
            for kind, image in sample.inputs.items():
                for predictor, truth in (("pseudo", None), ("oracle", sample.ground_truth)):
                    own = filters_of_image(
                        path,
                        image,
                        truth,
                        percent=PERCENT,
                        rule=profile.prediction_rule,
                        nodes=profile.prediction_nodes,
                    )
                    rows += _rows(sample, kind, predictor, overlap_scores(own, filters))
        return pd.DataFrame(rows)

    key = bench.key(
        pair,
        image_set,
        percent=PERCENT,
        filters={name: one.ids for name, one in filters.items()},
        rule=profile.prediction_rule,
        nodes=profile.prediction_nodes,
        limit=profile.prediction_images,
        crop=profile.prediction_crop,
    )
    table = bench.store.table("prediction/scores", key, compute)
    return table.assign(network=pair.network, seed=pair.seed, image_set=image_set)


def _plain_scores(bench: Workbench, image_set: str) -> pd.DataFrame:
    rows = []
    for sample in bench.samples(image_set, bench.profile.prediction_images, bench.profile.prediction_crop):
        for kind, image in sample.inputs.items():
            rows += _rows(sample, kind, "plain", {"blur": -laplacian_energy(image), "noise": noise_level(image)})
    return pd.DataFrame(rows).assign(network=NO_NETWORK, seed=0, image_set=image_set)


def _rows(sample: Sample, kind: str, predictor: str, values: dict[str, float]) -> list[dict[str, object]]:
    return [
        {
            "predictor": predictor,
            "degradation": degradation,
            "image": sample.name,
            "input": kind,
            "score": value,
            "present": kind in PRESENT[degradation],
        }
        for degradation, value in values.items()
    ]


def integrals(bench: Workbench) -> int:
    """How many path integrals :func:`scores` takes, one an image, kind of input, predictor and pair."""
    limit, parts = bench.profile.prediction_images, roles(bench)
    images = sum(len(bench.image_set(name).select(limit)) for name in parts.scored)
    return images * len(INPUTS) * len(("pseudo", "oracle")) * len(bench.pair_names)


def stability(bench: Workbench, factor: int = 4) -> pd.DataFrame:
    """How much filter^x and its scores move when the integral gets ``factor`` times as many nodes.

    On the main pair and a few images of the thresholds' set.

    Args:
        bench: from :func:`widen`.
        factor: of refinement.

    Returns:
        One row per ``image``, ``input`` (blurry and noisy), ``predictor``: ``common``, the share of filter^x that
        stays, ``blur`` and ``noise``, the change of the overlap scores, and ``blur_score`` and ``noise_score``, what
        they were before.
    """
    profile, parts = bench.profile, roles(bench)
    pair = bench.pair(*bench.main_pair)
    rankings = discover(bench, pair, parts.discovery)
    filters = {name: rankings.top("faig", function, PERCENT) for name, function in DEGRADATIONS.items()}

    def compute() -> pd.DataFrame:
        path = ParameterPath(pair.target, pair.baseline)
        samples = bench.samples(parts.thresholds, profile.prediction_check_images, profile.prediction_crop)
        rows = []
        for sample in tqdm(samples, desc=f"prediction, more nodes: {pair.title} seed {pair.seed}", unit="image"):
            for kind in CASES["two"]:
                for predictor, truth in (("pseudo", None), ("oracle", sample.ground_truth)):
                    coarse, fine = (
                        filters_of_image(
                            path,
                            sample.inputs[kind],
                            truth,
                            percent=PERCENT,
                            rule=profile.prediction_rule,
                            nodes=nodes,
                        )
                        for nodes in (profile.prediction_nodes, factor * profile.prediction_nodes)
                    )
                    before, after = (overlap_scores(own, filters) for own in (coarse, fine))
                    change = {name: after[name] - before[name] for name in before}
                    row = {"image": sample.name, "input": kind, "predictor": predictor}
                    coarsely = {f"{name}_score": score for name, score in before.items()}
                    rows.append({**row, "common": fine.overlap(coarse), **change, **coarsely})
        return pd.DataFrame(rows)

    key = bench.key(
        pair,
        parts.thresholds,
        percent=PERCENT,
        filters={name: one.ids for name, one in filters.items()},
        rule=profile.prediction_rule,
        nodes=profile.prediction_nodes,
        factor=factor,
        limit=profile.prediction_check_images,
        crop=profile.prediction_crop,
    )
    return bench.store.table("prediction/stability", key, compute)
