"""Where the discovered filters sit (paper, section 4.3; main Fig. 7): layer by layer, against an even spread.

The *depth* of a layer is its number divided by that of the last one: 0 is the first convolution, 1 the last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from faiglib.companion import paper
from faiglib.companion.distribution.measure import LAST
from faiglib.companion.intervals import t_interval
from faiglib.companion.page.words import beside, typeset
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import TITLES

#: A set is called evenly spread when at most this share of it would have to move to other layers. Chance alone moves
#: a few percent.
EVEN = 0.25

#: The last layers hold a cluster when they have at least this many times the filters of an even spread.
CLUSTER = 2.0


def centroids(table: pd.DataFrame, resamples: int = 2000, level: float = 0.95) -> pd.DataFrame:
    """Mean depth of the found filters with an interval, and how far it is from that of an even spread.

    With several seeds the interval is Student's t over seeds and covers further runs of the same kind: fine-tunings of
    one baseline where the seeds share theirs. With one seed it is a percentile bootstrap over the filters of the set,
    which only says how well so many filters fix a mean.

    Args:
        table: from :func:`shares`.
        resamples: of the bootstrap.
        level: coverage of the intervals.

    Returns:
        One row per ``network``, ``method`` and ``filters``, the functions and ``difference`` (deblurring minus
        denoising): ``centroid``, ``low``, ``high``, ``uniform`` (of an even spread; 0 for the difference), ``seeds``,
        ``interval`` (``seeds`` or ``filters``: what varied).
    """
    rows = []
    for (network, method), cell in table.groupby(["network", "method"], sort=False):
        seeds = list(cell["seed"].unique())
        per_seed: dict[str, list[float]] = {function: [] for function in FUNCTIONS}
        resampled: dict[str, np.ndarray] = {}
        uniform = 0.0
        for number, function in enumerate(FUNCTIONS):
            for seed in seeds:
                layers = cell[(cell["seed"] == seed) & (cell["filters"] == function)]
                depth, found = layers["depth"].to_numpy(), layers["found"].to_numpy()
                per_seed[function].append(float(found @ depth / found.sum()))
                uniform = float(layers["uniform"].to_numpy() @ depth)
                draws = np.random.default_rng([number, seed]).multinomial(
                    found.sum(), found / found.sum(), size=resamples
                )
                resampled[function] = draws @ depth / found.sum()
        names = list(FUNCTIONS)
        values = {name: np.array(per_seed[name]) for name in names}
        values["difference"] = values[names[0]] - values[names[1]]
        resampled["difference"] = resampled[names[0]] - resampled[names[1]]
        for name, measured in values.items():
            if len(seeds) > 1:
                low, high = t_interval(measured, level)
            else:
                low, high = np.quantile(resampled[name], [(1 - level) / 2, (1 + level) / 2])
            rows.append(
                {
                    "network": network,
                    "method": method,
                    "filters": name,
                    "centroid": float(measured.mean()),
                    "low": float(low),
                    "high": float(high),
                    "uniform": 0.0 if name == "difference" else uniform,
                    "seeds": len(seeds),
                    "interval": "seeds" if len(seeds) > 1 else "filters",
                }
            )
    return pd.DataFrame(rows)


def spread(table: pd.DataFrame, last: int = LAST) -> pd.DataFrame:
    """How even the sets lie, and what the last layers hold; mean over seeds.

    Args:
        table: from :func:`shares`.
        last: number of convolutions that count as the last layers.

    Returns:
        One row per ``network``, ``method`` and ``filters`` (function): ``uneven``, the share of the set's filters
        before the last layers that would have to move to other layers there to lie evenly (total variation distance,
        0 to 1); ``last_share`` of the set in the last layers, ``last_uniform``, the same for an even spread, and
        ``last_ratio`` of the two; ``output_share`` of the set in the output layer, ``output_fraction``, the part of the
        output layer's filters that is in the set, and ``output_ratio`` to an even spread.
    """
    rows = []
    keys = ["network", "method", "filters", "seed"]
    for key, layers in table.groupby(keys, sort=False):
        head, tail = layers.iloc[:-last], layers.iloc[-last:]
        output = layers.iloc[-1]
        measured = head["share"] / max(head["share"].sum(), 1e-12)
        even = head["uniform"] / head["uniform"].sum()
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "uneven": float((measured - even).abs().sum() / 2),
                "last_share": float(tail["share"].sum()),
                "last_uniform": float(tail["uniform"].sum()),
                "output_share": float(output["share"]),
                "output_uniform": float(output["uniform"]),
                "output_fraction": float(output["fraction"]),
            }
        )
    means = pd.DataFrame(rows).groupby(keys[:-1], sort=False).mean().drop(columns="seed").reset_index()
    means["last_ratio"] = means["last_share"] / means["last_uniform"]
    means["output_ratio"] = means["output_share"] / means.pop("output_uniform")
    return means


def verdict(table: pd.DataFrame) -> pd.DataFrame:
    """Claim (f) in numbers: deblurring filters towards the back, denoising filters even with a cluster at the end.

    Args:
        table: from :func:`shares`.

    Returns:
        One row per ``network``: ``seeds``; ``uniform``; for each function ``<function>_centroid``, ``_low``, ``_high``,
        ``_uneven``, ``_last_ratio``, ``_output_fraction``; ``difference``, ``difference_low``, ``difference_high``
        (deblurring minus denoising centroid); ``chance_uneven`` (random filters); and the tests of the claim's parts:
        ``back`` (the deblurring interval lies above the even spread), ``behind`` (deblurring lies behind denoising, its
        interval above 0), ``evener`` (fewer denoising than deblurring filters would have to move to lie evenly),
        ``even`` (see :data:`EVEN`) and ``cluster`` (see :data:`CLUSTER`) of the denoising filters.
    """
    places = centroids(table).set_index(["network", "method", "filters"]).sort_index()
    spreads = spread(table).set_index(["network", "method", "filters"]).sort_index()
    rows = []
    for network in table["network"].unique():
        row: dict[str, object] = {"network": network}
        for function in FUNCTIONS:
            place, lie = places.loc[(network, "faig", function)], spreads.loc[(network, "faig", function)]
            row |= {"seeds": int(place["seeds"]), "uniform": float(place["uniform"])}
            row |= {f"{function}_{column}": float(place[column]) for column in ("centroid", "low", "high")}
            row |= {
                f"{function}_{column}": float(lie[column])
                for column in ("uneven", "last_share", "last_ratio", "output_fraction")
            }
        difference = places.loc[(network, "faig", "difference")]
        row |= {
            "difference": float(difference["centroid"]),
            "difference_low": float(difference["low"]),
            "difference_high": float(difference["high"]),
            "chance_uneven": float(spreads.loc[(network, "random"), "uneven"].mean()),
        }
        rows.append(row)
    result = pd.DataFrame(rows)
    result["back"] = result["deblurring_low"] > result["uniform"]
    result["behind"] = result["difference_low"] > 0
    result["evener"] = result["denoising_uneven"] < result["deblurring_uneven"]
    result["even"] = result["denoising_uneven"] <= EVEN
    result["cluster"] = result["denoising_last_ratio"] >= CLUSTER
    return result


@typeset
def in_words(table: pd.DataFrame) -> str:
    """The rows of :func:`verdict` as a Markdown list, one item a network."""
    items = []
    for row in table.to_dict("records"):
        side = "behind" if row["deblurring_centroid"] > row["uniform"] else "in front of"
        order = "behind" if row["difference"] > 0 else "in front of"
        sure = "" if row["difference_low"] > 0 or row["difference_high"] < 0 else "; the interval does not part them"
        deblurring = beside(row["deblurring_centroid"], row["uniform"])
        denoising = beside(row["denoising_centroid"], row["deblurring_centroid"])
        uneven = beside(row["denoising_uneven"], EVEN, ".0%")
        ratio = beside(row["denoising_last_ratio"], CLUSTER, ".1f")
        items.append(
            f"- **{TITLES[row['network']]}**: the deblurring filters have their centre at depth {deblurring} "
            f"({row['deblurring_low']:.2f} to {row['deblurring_high']:.2f}), {side} that of an even spread "
            f"({row['uniform']:.2f}), and {order} the denoising filters ({denoising}{sure}). Of the denoising filters "
            f"before the last two convolutions {uneven} would have to move to lie evenly "
            f"({'even' if row['even'] else 'not even'} by the limit of {EVEN:.0%}; deblurring "
            f"{row['deblurring_uneven']:.0%}, chance {row['chance_uneven']:.0%}). The last two convolutions hold "
            f"{row['denoising_last_share']:.1%} of them, {ratio} times an even spread: "
            f"{'a cluster' if row['cluster'] else 'no cluster'} by the limit of {CLUSTER:g}."
        )
    return "\n".join(items)


@typeset
def largest_layer(table: pd.DataFrame) -> str:
    """A sentence on the layer of each network that holds most of its filters, and what FAIG's sets take of it.

    Args:
        table: from :func:`shares`.
    """
    parts = []
    for network, cell in table[table["method"] == "faig"].groupby("network", sort=False):
        layers = cell.groupby(["filters", "layer"], sort=False)[["share", "uniform"]].mean()
        name = str(layers.loc["deblurring", "uniform"].idxmax())
        taken = " and ".join(f"{layers.loc[(one, name), 'share']:.0%} of the {one} set" for one in FUNCTIONS)
        parts.append(
            f"{TITLES[str(network)]}: {name} with {layers.loc[('deblurring', name), 'uniform']:.0%} of all filters, "
            f"{taken}"
        )
    return f"The layer with most filters ({'; '.join(parts)}) weighs most in the depth of an even spread."


@typeset
def last_layers(spread_table: pd.DataFrame, methods: Sequence[str] = ("faig", "intinf")) -> str:
    """Which part of the sets of some methods lies in the last layers, mean over functions, in words by network.

    Args:
        spread_table: from :func:`spread`.
        methods: keys of :data:`faiglib.companion.paper.METHODS`.
    """
    held = spread_table.groupby(["network", "method"], sort=False)["last_share"].mean()
    return "; ".join(
        f"{TITLES[network]}: " + ", ".join(f"{paper.METHODS[one]} {held[network, one]:.0%}" for one in methods)
        for network in spread_table["network"].unique()
    )
