"""Where the filters of the sets lie in the networks (main Fig. 7)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from faiglib.companion import paper
from faiglib.companion.discovery import Rankings, attributions, discover
from faiglib.companion.workbench import Workbench
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterSet
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks.zoo import Pair

#: Proportion of filters that the chapter is about, in percent.
PERCENT = 1.0

#: How many convolutions count as "the last layers": the one at full resolution and the output layer. The convolution
#: before them, which feeds the pixel shuffle, holds 42 % of the filters of the SRCNN-style network.
LAST = 2


def locations(bench: Workbench, percent: float = PERCENT) -> pd.DataFrame:
    """Place of every discovered filter (FAIG), for the map.

    Returns:
        One row per ``network``, ``seed``, ``filters`` (function) and ``id``: ``layer`` and its ``number`` from 0,
        ``output_channel`` and ``input_channel``; ``output`` and ``input``, the same as a fraction of the layer's
        channels, (channel + ½) ÷ channels; ``score``, by which the filter was found.
    """
    rows = []
    for pair in bench.pairs():
        rankings = discover(bench, pair, bench.test_set)
        for function in FUNCTIONS:
            found = rankings.top("faig", function, percent)
            scores = rankings.scores["faig", function].values
            for filter_id in found.ids.tolist():
                place = found.index.locate(filter_id)
                number = found.index.names.index(place.layer)
                layer = found.index.layers[number]
                rows.append(
                    {
                        "network": pair.network,
                        "seed": pair.seed,
                        "filters": function,
                        "id": filter_id,
                        "layer": place.layer.removesuffix(".weight"),
                        "number": number,
                        "output_channel": place.output,
                        "input_channel": place.input,
                        "output": (place.output + 0.5) / layer.outputs,
                        "input": (place.input + 0.5) / layer.inputs,
                        "score": float(scores[filter_id]),
                    }
                )
    return pd.DataFrame(rows)


def shares(bench: Workbench, percent: float = PERCENT) -> pd.DataFrame:
    """How the top filters of every method divide among the layers.

    Returns:
        One row per ``network``, ``seed``, ``method``, ``filters`` (function) and layer: ``layer``, its ``number`` from
        0 and ``depth``; ``found``, filters of the set in it; ``held``, all filters in it; ``share`` of the set and
        ``uniform``, the share that an even spread would put there; ``fraction`` of the layer that is in the set.
    """
    tables = []
    for pair in bench.pairs():
        rankings = discover(bench, pair, bench.test_set)
        for method in paper.METHODS:
            for function in FUNCTIONS:
                table = layer_shares(rankings.top(method, function, percent))
                for column, value in (
                    ("filters", function),
                    ("method", method),
                    ("seed", pair.seed),
                    ("network", pair.network),
                ):
                    table.insert(0, column, value)
                tables.append(table)
    return pd.concat(tables, ignore_index=True)


def layer_shares(chosen: FilterSet) -> pd.DataFrame:
    """How one set divides among the layers: the columns of :func:`shares` from ``layer`` on."""
    index: FilterIndex = chosen.index
    held = np.array([layer.filters for layer in index.layers])
    found = np.bincount(index.layer_numbers()[chosen.ids].numpy(), minlength=len(held))
    numbers = np.arange(len(held))
    return pd.DataFrame(
        {
            "layer": [name.removesuffix(".weight") for name in index.names],
            "number": numbers,
            "depth": numbers / max(1, len(held) - 1),
            "found": found,
            "held": held,
            "share": found / max(1, len(chosen)),
            "uniform": held / index.total,
            "fraction": found / held,
        }
    )


def overlaps(bench: Workbench, percent: float = PERCENT) -> pd.DataFrame:
    """What the deblurring and the denoising set have in common, mean over seeds.

    Returns:
        One row per ``network`` and ``ranking``: ``overlap``, the share of filters that are in both sets (``percent`` ÷
        100 by chance), and ``layer_overlap``, Σ over layers of the smaller of the two shares: 1 when both sets divide
        among the layers in the same way.
    """
    rows = []
    for pair in bench.pairs():
        rankings = discover(bench, pair, bench.test_set)
        for name, (first, second) in _both_sets(bench, pair, rankings, percent).items():
            shared = np.minimum(layer_shares(first)["share"], layer_shares(second)["share"])
            rows.append(
                {
                    "network": pair.network,
                    "ranking": name,
                    "overlap": first.overlap(second),
                    "layer_overlap": float(shared.sum()),
                }
            )
    return pd.DataFrame(rows).groupby(["network", "ranking"], sort=False).mean().reset_index()


def _both_sets(
    bench: Workbench, pair: Pair, rankings: Rankings, percent: float
) -> dict[str, tuple[FilterSet, FilterSet]]:
    """Deblurring and denoising set by the name of the ranking."""
    raw = attributions(bench, pair, bench.test_set)
    first, second = (raw["faig", own].top(percent) for own, _ in FUNCTIONS.values())
    sets = {"FAIG": _tops(rankings, "faig", percent), "FAIG without elimination": (first, second)}
    for method in ("intinf", "random"):
        sets[paper.METHODS[method]] = _tops(rankings, method, percent)
    return sets


def _tops(rankings: Rankings, method: str, percent: float) -> tuple[FilterSet, FilterSet]:
    first, second = (rankings.top(method, function, percent) for function in FUNCTIONS)
    return first, second
