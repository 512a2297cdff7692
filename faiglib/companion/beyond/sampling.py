"""What sampling the path at random does to scores."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from torch import Tensor

from faiglib.attribution.elimination import eliminate
from faiglib.companion.discovery import KINDS, pairs_of, scores_by_image
from faiglib.companion.statistics import rank_correlation, top_overlap
from faiglib.companion.workbench import Workbench
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks.zoo import Pair

#: Midpoint nodes of the path integrals of :func:`sampling`: their error is small beside that of few images.
SAMPLING_NODES = 8


def sampling(bench: Workbench) -> pd.DataFrame:
    """How many images a ranking needs, and how large: FAIG with elimination from fewer or smaller crops.

    The reference is the mean over ``sampling_images`` of the test set at the largest of the ``sampling_crops``, both of
    the profile. It is compared with the means over disjoint groups of fewer images at that crop, which are part of it,
    and over all images at smaller central crops. One pair of each network.

    Returns:
        One row per ``network``, ``varied`` ("images" or "crop"), ``amount`` (images, HR pixels a side) and ``filters``:
        ``overlap`` (of the top 1 % with the reference's) and ``spearman``, means over the groups.
    """

    def of_pair(name: tuple[str, int]) -> pd.DataFrame:
        pair = bench.pair(*name)
        key = bench.key(pair, bench.test_set, profile=bench.profile, nodes=SAMPLING_NODES)
        part = bench.store.table("beyond/sampling", key, partial(_sampled, bench, pair))
        return part.assign(network=pair.network)

    return pd.concat(bench.in_parallel(of_pair, bench.first_pairs), ignore_index=True)


def _sampled(bench: Workbench, pair: Pair) -> pd.DataFrame:
    index = FilterIndex.of(pair.target)
    crops = bench.profile.sampling_crops
    scores: dict[tuple[int, str], Tensor] = {}
    for crop in crops:
        samples = bench.samples(bench.test_set, bench.profile.sampling_images, crop)
        for kind in KINDS:
            label = f"FAIG of {crop}-pixel crops: {pair.title} seed {pair.seed}, {kind}"
            scores[crop, kind] = scores_by_image(pair, pairs_of(samples, kind), "midpoint", SAMPLING_NODES, label)
    count = len(scores[crops[0], KINDS[0]])
    rows = []
    for function, (own, other) in FUNCTIONS.items():
        single = {crop: eliminate(scores[crop, own], scores[crop, other]) for crop in crops}
        largest = single[crops[-1]]
        reference = FilterScores(index, largest.mean(0))
        groups = {("crop", crop): [single[crop]] for crop in crops}
        size = 1
        while size < count:
            groups["images", size] = list(largest[: count // size * size].split(size))
            size *= 2
        groups["images", count] = [largest]
        for (varied, amount), members in groups.items():
            rankings = [FilterScores(index, member.mean(0)) for member in members]
            overlaps = [top_overlap(one, reference) for one in rankings]
            correlations = [rank_correlation(one.values, reference.values) for one in rankings]
            rows.append((varied, amount, function, float(np.mean(overlaps)), float(np.mean(correlations))))
    return pd.DataFrame(rows, columns=["varied", "amount", "filters", "overlap", "spearman"])
