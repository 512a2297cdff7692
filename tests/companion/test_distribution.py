from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from faiglib.companion import paper
from faiglib.companion.discovery import attributions, discover
from faiglib.companion.distribution import measure, report, show
from faiglib.filters.index import FilterIndex, Layer
from faiglib.filters.scores import FilterSet
from faiglib.images.degradations import FUNCTIONS
from tests.helpers.srresnet import FILTERS, TOP

INDEX = FilterIndex(
    (
        Layer("first.weight", 4, 3, (3, 3)),
        Layer("middle.weight", 5, 4, (3, 3)),
        Layer("before.weight", 4, 5, (1, 1)),
        Layer("last.weight", 3, 4, (3, 3)),
    )
)


def table_of(counts, held=(10, 50, 30, 10)):
    """Shares from {(seed, method, function): filters found in each of four layers}."""
    rows = []
    for (seed, method, function), found in counts.items():
        for number, (here, all_) in enumerate(zip(found, held, strict=True)):
            rows.append(
                {
                    "network": "srresnet",
                    "seed": seed,
                    "method": method,
                    "filters": function,
                    "layer": f"layer{number}",
                    "number": number,
                    "depth": number / 3,
                    "found": here,
                    "held": all_,
                    "share": here / sum(found),
                    "uniform": all_ / sum(held),
                    "fraction": here / all_,
                }
            )
    return pd.DataFrame(rows)


def claimed(seeds=(0, 1), deblurring=((0, 2, 4, 2), (0, 1, 4, 3)), denoising=((1, 5, 3, 3), (1, 5, 2, 4))):
    """A network that is as the claim says, with random filters that lie exactly evenly."""
    counts = {}
    for number, seed in enumerate(seeds):
        counts[seed, "faig", "deblurring"] = deblurring[number]
        counts[seed, "faig", "denoising"] = denoising[number]
        for function in FUNCTIONS:
            counts[seed, "random", function] = (1, 5, 3, 1)
    return table_of(counts)


def test_layer_shares_count_what_locating_every_filter_counts():
    ids = torch.tensor([0, 11, 12, 40, 41, 51, 52, 63])
    table = measure.layer_shares(FilterSet(INDEX, ids)).set_index("layer")
    by_hand = dict.fromkeys(("first", "middle", "before", "last"), 0)
    for filter_id in ids.tolist():
        by_hand[INDEX.locate(filter_id).layer.removesuffix(".weight")] += 1
    assert table["found"].to_dict() == by_hand == {"first": 2, "middle": 1, "before": 3, "last": 2}
    assert table["held"].tolist() == [12, 20, 20, 12]
    assert table["depth"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert table["share"].tolist() == pytest.approx([2 / 8, 1 / 8, 3 / 8, 2 / 8])
    assert table["uniform"].tolist() == pytest.approx([12 / 64, 20 / 64, 20 / 64, 12 / 64])
    assert table["fraction"].tolist() == pytest.approx([2 / 12, 1 / 20, 3 / 20, 2 / 12])


def test_shares_of_every_method_add_up_to_its_set(bench):
    table = measure.shares(bench)
    grouped = table.groupby(["method", "filters"])
    assert set(grouped.groups) == {(method, function) for method in paper.METHODS for function in FUNCTIONS}
    assert (grouped["found"].sum() == TOP).all()
    assert np.allclose(grouped["share"].sum(), 1)
    assert (grouped["held"].sum() == FILTERS).all()
    assert (table["found"] <= table["held"]).all()


def test_map_leads_back_to_the_filters_found(bench):
    table = measure.locations(bench)
    found = discover(bench, bench.pair("srresnet", 0), "skimage").top("faig", "denoising", 1)
    rows = table[table["filters"] == "denoising"]
    index = found.index
    ids = []
    for row in rows.to_dict("records"):
        layer = index.layers[row["number"]]
        assert layer.name == f"{row['layer']}.weight"
        output, input_ = (round(row["output"] * layer.outputs - 0.5), round(row["input"] * layer.inputs - 0.5))
        ids.append(index.offsets[row["number"]] + output * layer.inputs + input_)
    assert sorted(ids) == found.ids.tolist()


def test_centroids_over_two_seeds_have_a_t_interval():
    table = report.centroids(claimed()).set_index(["method", "filters"])
    # Mean depths by hand: (2·1 + 4·2 + 2·3) / 24 and (1·1 + 4·2 + 3·3) / 24.
    first, second = 16 / 24, 18 / 24
    row = table.loc[("faig", "deblurring")]
    assert row["centroid"] == pytest.approx((first + second) / 2)
    half = 12.7062 * abs(first - second) / 2  # t of one degree of freedom times deviation / √2
    assert row["high"] - row["centroid"] == pytest.approx(half, rel=1e-4)
    assert row["centroid"] - row["low"] == pytest.approx(half, rel=1e-4)
    assert row["uniform"] == pytest.approx((0 * 10 + 1 * 50 + 2 * 30 + 3 * 10) / 300)
    assert (row["seeds"], row["interval"]) == (2, "seeds")
    even = table.loc[("random", "denoising")]
    assert even["centroid"] == pytest.approx(even["uniform"])
    difference = table.loc[("faig", "difference"), "centroid"]
    assert difference == pytest.approx(row["centroid"] - table.loc[("faig", "denoising"), "centroid"])


def test_centroid_of_one_seed_has_an_interval_as_wide_as_the_filters_scatter():
    found = np.array([100, 500, 300, 100])
    counts = {(0, "faig", function): tuple(found.tolist()) for function in FUNCTIONS}
    row = report.centroids(table_of(counts), resamples=4000).iloc[0]
    depths = np.repeat(np.arange(4) / 3, found)
    half = 1.96 * depths.std() / np.sqrt(len(depths))
    assert row["interval"] == "filters"
    assert row["low"] == pytest.approx(depths.mean() - half, abs=0.1 * half)
    assert row["high"] == pytest.approx(depths.mean() + half, abs=0.1 * half)


def test_spread_of_an_even_and_of_a_clustered_set():
    counts = {
        (0, "faig", "deblurring"): (10, 50, 30, 10),
        (0, "faig", "denoising"): (50, 30, 5, 15),
    }
    even, clustered = report.spread(table_of(counts)).to_dict("records")
    assert even["uneven"] == pytest.approx(0)
    assert even["last_ratio"] == even["output_ratio"] == pytest.approx(1)
    # The two layers before the last two hold 10 : 50 filters, the set has 50 : 30 there.
    assert clustered["uneven"] == pytest.approx(50 / 80 - 10 / 60)
    assert clustered["last_share"] == pytest.approx(0.2)
    assert clustered["last_ratio"] == pytest.approx(0.2 / 0.4)
    assert clustered["output_fraction"] == pytest.approx(15 / 10)


def test_sets_overlap_only_without_elimination(bench):
    table = measure.overlaps(bench).set_index("ranking")
    assert table.loc["FAIG", "overlap"] == 0
    raw = attributions(bench, bench.pair("srresnet", 0), "skimage")
    tops = [np.argsort(-raw["faig", kind].values.numpy())[:TOP] for kind in ("blurry", "noisy")]
    shared = len(np.intersect1d(*tops)) / TOP
    assert shared > 0.05
    assert table.loc["FAIG without elimination", "overlap"] == pytest.approx(shared)
    assert table["layer_overlap"].between(0, 1).all()
    assert (table["layer_overlap"] >= table["overlap"] - 1e-12).all()


def test_verdict_tells_the_claimed_network_from_the_opposite():
    back = ((0, 10, 40, 50), (0, 11, 40, 49))
    even = ((10, 50, 5, 35), (10, 50, 6, 34))
    held = report.verdict(claimed(deblurring=back, denoising=even)).iloc[0]
    assert held[["back", "behind", "even"]].tolist() == [True, True, True]
    assert not held["cluster"]  # 40 % in the last two layers, which have 40 % of all filters
    opposite = report.verdict(
        claimed(deblurring=((60, 30, 10, 0), (59, 31, 10, 0)), denoising=((90, 8, 1, 1), (90, 8, 1, 1)))
    ).iloc[0]
    assert opposite[["back", "even", "cluster"]].tolist() == [False, False, False]
    words = report.in_words(pd.DataFrame([opposite]))
    assert "in front of that of an even spread" in words
    assert "not even by the limit" in words
    assert "no cluster" in words


def test_the_largest_layer_and_the_last_ones_are_told():
    table = claimed()  # 3 of 16 deblurring filters lie in the layer that holds half of all, 10 of 24 denoising ones
    sentence = report.largest_layer(table)
    assert (
        "SRResNet: layer1 with 50 % of all filters, 19 % of the deblurring set and 42 % of the denoising set"
        in sentence
    )
    told = report.last_layers(report.spread(table), ("faig", "random"))
    # deblurring 6/8 and 7/8, denoising 6/12 in both runs; random 4/10
    assert told == f"SRResNet: FAIG {100 * (13 / 16 + 1 / 2) / 2:.0f} %, random 40 %"


def test_a_cluster_is_twice_an_even_spread():
    head = {(0, "random", function): (10, 50, 30, 10) for function in FUNCTIONS}
    for found, expected in (((10, 9, 40, 41), True), ((10, 11, 39, 40), False)):
        counts = head | {(0, "faig", "deblurring"): (10, 50, 30, 10), (0, "faig", "denoising"): found}
        assert report.verdict(table_of(counts)).iloc[0]["cluster"] == expected


def test_figures_draw_what_the_tables_hold(bench):
    shares = measure.shares(bench)
    locations = measure.locations(bench)
    drawn = show.filter_map(locations, shares)
    assert [len(axis.collections[0].get_offsets()) for axis in drawn.axes] == [TOP, TOP]
    bars = show.layer_bars(shares)
    heights = [bar.get_height() for bar in bars.axes[1].patches]
    expected = shares[(shares["method"] == "faig") & (shares["filters"] == "denoising")]["share"]
    assert heights == pytest.approx((100 * expected).tolist())
    curves = show.depth_curves(shares)
    assert [line.get_ydata()[-1] for line in curves.axes[0].lines] == pytest.approx([100, 100, 100])
    centroids = report.centroids(shares)
    assert len(show.centroids(centroids).axes) == 1


def test_tables_say_what_the_interval_is_of():
    several = show.depths(report.centroids(claimed())).to_html()
    assert "t over 2 fine-tuning runs" in several
    assert "deblurring − denoising" in several
    one = show.depths(report.centroids(claimed(seeds=(0,)))).to_html()
    assert "bootstrap over filters" in one
    spread = show.layer_spread(report.spread(claimed())).to_html()
    assert "random" in spread
    assert "1.0×" in spread
