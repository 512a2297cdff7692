from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from faiglib.attribution import faig, many_rules, path_integral, quadrature
from faiglib.attribution.parameter_path import ParameterPath, integrate
from faiglib.companion import discovery, statistics
from faiglib.companion.beyond import agreement, integration, measure, report, sampling, show
from faiglib.companion.workbench import Sample, Workbench
from faiglib.filters.index import FilterIndex
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import build
from tests.helpers.srresnet import TOP


@pytest.fixture
def small_bench(bench, monkeypatch):
    """A workbench with few rules, so that a convergence study takes a second."""
    monkeypatch.setattr(integration, "NODES", {"left": (1, 4), "midpoint": (2,), "trapezoid": (3,)})
    for module in (discovery, integration, report, show):
        for name, rule in {"DEFAULT": ("midpoint", 2), "RELEASED": ("left", 4)}.items():
            monkeypatch.setattr(module, name, rule, raising=False)
    monkeypatch.setattr(integration, "FINEST", ("trapezoid", 3))
    profile = dataclasses.replace(
        bench.profile,
        ablation_images=2,
        ablation_crop=24,
        convergence_images=1,
        convergence_crop=24,
        reference_nodes=3,
        sampling_images=3,
        sampling_crops=(12, 24),
    )
    return dataclasses.replace(bench, profile=profile)


class Scale(nn.Module):
    """w·x, a network whose loss along any path is a parabola."""

    def __init__(self, weight):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1, bias=False, dtype=torch.float64)
        nn.init.constant_(self.conv.weight, weight)

    def forward(self, x):
        return self.conv(x)


def test_parabola_is_integrated_as_by_hand():
    inputs = torch.tensor([1.0, 2.0], dtype=torch.float64).view(1, 1, 1, 2)
    truth = torch.tensor([1.0, 2.0], dtype=torch.float64).view(1, 1, 1, 2)
    path = ParameterPath(Scale(0.5), Scale(2.0))  # w = 0.5 + 1.5 α; dL/dw = 2·5·(w − 1) = −5 + 15 α
    rules = [quadrature("midpoint", 1), quadrature("left", 3), quadrature("gauss-legendre", 2)]
    result = many_rules.integrate_rules(path, inputs, truth, rules, quadrature("left", 3))
    assert [float(one[0]) for one in result.signed] == pytest.approx([2.5, 0.0, 2.5])
    assert float(result.absolute[0]) == pytest.approx((5 + 0 + 5) / 3)
    assert result.change == pytest.approx(5 * (1.0 - 0.25))


def test_rules_share_their_positions_and_equal_single_integration(make_pair, random_image, small):
    target, baseline = make_pair(small)
    inputs, truth = random_image(6, 6), random_image(12, 12, 1)
    path = ParameterPath(target, baseline)
    rules = [
        quadrature(rule, count) for rule, count in (("left", 10), ("right", 5), ("midpoint", 5), ("trapezoid", 11))
    ]
    visited = []
    move_to = path.move_to
    path.move_to = lambda alpha: visited.append(alpha) or move_to(alpha)
    result = many_rules.integrate_rules(path, inputs, truth, rules, rules[2])
    assert sorted(visited) == sorted([*(step / 10 for step in range(11)), 0.0, 1.0])  # the ends again for the change
    path.move_to = move_to
    for rule, signed in zip(rules, result.signed, strict=True):
        for first, second in zip(signed, integrate(path, inputs, truth, rule), strict=True):
            assert torch.allclose(first, second, rtol=1e-10, atol=1e-14)
    for first, second in zip(result.absolute, result.signed[2], strict=True):
        assert (first >= second.abs() - 1e-12).all()


def test_released_and_default_rule_are_among_those_tried():
    for rule, count in (discovery.DEFAULT, discovery.RELEASED, integration.FINEST):
        assert count in integration.NODES[rule]
    positions = {
        alpha for rule, counts in integration.NODES.items() for n in counts for alpha in quadrature(rule, n).nodes
    }
    assert len(positions) == 273


def test_rank_correlation_is_spearmans():
    assert statistics.rank_correlation(torch.tensor([1.0, 2, 3]), torch.tensor([10.0, 100, 1000])) == pytest.approx(1)
    assert statistics.rank_correlation(torch.tensor([1.0, 2, 3]), torch.tensor([0.0, -1, -2])) == pytest.approx(-1)
    first, second = [1, 2, 2, 4], [3, 1, 2, 4]  # ranks 1, 2.5, 2.5, 4 and 3, 1, 2, 4
    a, b = np.array([1, 2.5, 2.5, 4]) - 2.5, np.array([3, 1, 2, 4]) - 2.5
    expected = (a @ b) / math.sqrt((a @ a) * (b @ b))
    assert statistics.rank_correlation(torch.tensor(first), torch.tensor(second)) == pytest.approx(expected)


def test_convergence_compares_every_rule_with_the_reference(small_bench):
    table = integration.convergence(small_bench)
    assert len(table) == (1 + 4) * 2
    reference = table[table["reference"]]
    assert (reference["overlap"] == 1).all()
    assert np.allclose(reference["spearman"], 1)

    pair = small_bench.pair("srresnet", 0)
    sample = small_bench.samples("skimage", 1, 24)[0]
    scores = {
        (rule, kind): faig(pair.target, pair.baseline, [(sample.inputs[kind], sample.ground_truth)], rule=rule, nodes=n)
        for rule, n in (("gauss-legendre", 3), ("left", 4), ("midpoint", 2))
        for kind in ("blurry", "noisy")
    }
    stored = integration.integral_scores(small_bench, pair)
    for way, rule in (("reference", "gauss-legendre"), ("released", "left"), ("default", "midpoint")):
        for function, (own, other) in FUNCTIONS.items():
            expected = (scores[rule, own] - scores[rule, other]).values
            assert torch.allclose(stored[way, function].values, expected, rtol=1e-3, atol=1e-4 * float(expected.std()))

    row = table[(table["rule"] == "left") & (table["nodes"] == 4) & (table["filters"] == "denoising")].iloc[0]
    tops = [
        set((scores[rule, "noisy"] - scores[rule, "blurry"]).ranking()[:TOP].tolist())
        for rule in ("left", "gauss-legendre")
    ]
    assert row["overlap"] == pytest.approx(len(tops[0] & tops[1]) / TOP, abs=2.1 / TOP)
    integral = path_integral(
        pair.target, pair.baseline, sample.inputs["noisy"], sample.ground_truth, rule="left", nodes=4
    )
    change = integral.loss_at_baseline - integral.loss_at_target
    assert row["error_percent"] == pytest.approx(100 * abs(integral.convergence_delta / change), rel=1e-2, abs=1e-3)


def test_absolute_value_before_integration_is_never_smaller(small_bench):
    pair = small_bench.pair("srresnet", 0)
    stored = integration._integrals(small_bench, pair)
    assert (stored["before/noisy"] >= stored["default/noisy"] * (1 - 1e-5)).all()
    assert not torch.allclose(stored["before/noisy"], stored["default/noisy"], rtol=1e-3)


def converged(default, released, spearman=(0.9, 0.8)):
    """Overlaps by cell of the default and of the released rule, in the columns of `convergence`."""
    rows = []
    for seed, overlaps in enumerate(zip(default, released, strict=True)):
        for (rule, nodes), overlap, correlation in zip(
            (discovery.DEFAULT, discovery.RELEASED), overlaps, spearman, strict=True
        ):
            rows.append((seed, rule, nodes, overlap, correlation, 0.5, False))
        rows.append((seed, *integration.FINEST, 0.998, 1.0, 0.1, False))
        rows.append((seed, "gauss-legendre", 64, 1.0, 1.0, 0.01, True))
    columns = ["seed", "rule", "nodes", "overlap", "spearman", "error_percent", "reference"]
    return pd.DataFrame(rows, columns=columns).assign(network="srresnet", filters="denoising")


@pytest.mark.parametrize(
    ("default", "released", "as_good", "words"),
    [
        ((0.99, 0.98), (0.991, 0.95), 2, "**is at least as faithful** as the released rule (left, 100 nodes) in all 2"),
        ((0.99, 0.98), (0.95, 0.99), 1, "**on average** and in 1 of 2 cells"),
        ((0.90, 0.98), (0.99, 0.98), 1, "**less faithful**"),
    ],
)
def test_verdict_on_the_default_follows_the_numbers(default, released, as_good, words):
    verdict = report.default_verdict(converged(default, released))
    assert (verdict.cells, verdict.as_good) == (2, as_good)
    assert verdict.overlap_default == pytest.approx(sum(default) / 2)
    assert verdict.overlap_released == pytest.approx(sum(released) / 2)
    assert verdict.error_reference == pytest.approx(0.01)
    assert verdict.resolution == pytest.approx(0.002)
    assert words in verdict.sentence
    assert "correlation is higher (0.90000 against 0.80000)" in verdict.sentence


def test_nodes_needed_is_the_least_that_reaches_the_released_rule():
    table = converged((0.99,), (0.98,))
    more = pd.DataFrame(
        [("left", 50, 0.97), ("midpoint", 8, 0.9795), ("midpoint", 4, 0.97), ("right", 100, 0.9)],
        columns=["rule", "nodes", "overlap"],
    ).assign(seed=0, spearman=1.0, error_percent=0.1, reference=False, network="srresnet", filters="denoising")
    rest = [{**more.iloc[0].to_dict(), "rule": "gauss-legendre", "nodes": 4, "overlap": 0.5}]
    needed = report.nodes_needed(pd.concat([table, more, pd.DataFrame(rest)])).set_index("rule")["nodes"]
    assert needed["left"] == 100
    assert needed["midpoint"] == 8
    assert needed["trapezoid"] == 101
    assert math.isnan(needed["right"])
    assert math.isnan(needed["gauss-legendre"])


def test_variants_and_details_cover_what_is_named(small_bench):
    table = measure.variants(small_bench)
    summary = report.variant_summary(table)
    assert list(summary["method"]) == [*measure.VARIANTS] * 2
    own = table[(table["method"] == "faig") & (table["filters"] == "denoising") & (table["input"] == "noisy")]
    row = summary[(summary["method"] == "faig") & (summary["filters"] == "denoising")].iloc[0]
    assert row["drop_blue"] == pytest.approx(own["drop_blue"].sum() / 2)
    details = measure.details(small_bench, summary)
    assert len(details) == 3 * 2
    assert details["overlap"].between(0, 1).all()

    pair = small_bench.pair("srresnet", 0)
    theta, base = (dict(network.named_parameters()) for network in (pair.target, pair.baseline))
    index = FilterIndex.of(pair.target)
    ratios = torch.cat(
        [
            ((theta[name] - base[name]).abs().double().sum((2, 3)) / base[name].abs().double().sum((2, 3))).flatten()
            for name in index.names
        ]
    )
    released = measure.variant_scores(small_bench, pair)["filter_change_released", "denoising"]
    assert torch.allclose(released.values, ratios.detach(), rtol=1e-6)


def test_metric_verdict_counts_equal_orders():
    rows = []
    for filters, gray, blue in (
        ("deblurring", (4, 3, 2, 1), (8, 6, 4, 2)),
        ("denoising", (4, 3, 2, 1), (1, 3, 2, 0.5)),
    ):
        for method, one, two in zip(("faig", "intinf", "filter_change", "random"), gray, blue, strict=True):
            rows.append(("srresnet", filters, method, one, two, two / one))
    columns = ["network", "filters", "method", "drop", "drop_blue", "blue_over_gray"]
    verdict = report.metric_verdict(pd.DataFrame(rows, columns=columns))
    assert (verdict.cells, verdict.same_best, verdict.same_order) == (2, 1, 1)
    assert (verdict.faig_best_gray, verdict.faig_best_blue) == (2, 1)
    assert (verdict.least, verdict.median, verdict.largest) == (0.25, 1.125, 2.0)


def test_quarters_tile_the_image_and_stay_aligned(random_image):
    truth = random_image(8, 12)
    sample = Sample("a", truth, {"clean": truth[..., ::2, ::2]})
    parts = [[measure.quarter(sample, bottom, right) for right in (False, True)] for bottom in (False, True)]
    whole = torch.cat([torch.cat([part.ground_truth for part in row], -1) for row in parts], -2)
    assert torch.equal(whole, truth)
    for row in parts:
        for part in row:
            assert torch.equal(part.inputs["clean"], part.ground_truth[..., ::2, ::2])


def test_stability_makes_every_comparison_that_is_possible(small_bench, monkeypatch):
    pair = small_bench.pair("srresnet", 0)
    twin = dataclasses.replace(pair, seed=1)
    stranger = dataclasses.replace(pair, seed=2, baseline=build("srresnet", seed=5), digest="other")
    monkeypatch.setattr(Workbench, "pairs", lambda _: iter((pair, twin, stranger)))
    table = measure.stability(small_bench)
    counts = table[table["seed"] == 0].groupby("comparison").size().to_dict()
    expected = {"noise": 2, "halves": 2, "images": 2, "places": 4, "fine_tunings": 2, "seeds": 2}  # one image set only
    assert counts == expected
    tunings, seeds = (table[table["comparison"] == name] for name in measure.BETWEEN_RUNS)
    assert (tunings["overlap"] == 1).all()  # the same weights under two seeds
    assert tunings["which"].unique().tolist() == ["seed 0 | seed 1"]
    assert seeds["which"].unique().tolist() == ["seed 0 | seed 2", "seed 1 | seed 2"]
    assert (seeds["overlap"] < 1).all()

    sample = small_bench.samples("skimage", 2, 48)[1]
    tops = []
    for cut in (slice(0, 12), slice(12, 24)):
        hr = slice(2 * cut.start, 2 * cut.stop)
        truth = sample.ground_truth[..., hr, hr]
        blurry, noisy = (
            faig(pair.target, pair.baseline, [(sample.inputs[k][..., cut, cut], truth)], rule="midpoint", nodes=2)
            for k in ("blurry", "noisy")
        )
        tops.append(set((blurry - noisy).ranking()[:TOP].tolist()))
    row = table[(table["which"] == "1: top left | bottom right") & (table["filters"] == "deblurring")].iloc[0]
    assert row["overlap"] == pytest.approx(len(tops[0] & tops[1]) / TOP, abs=2.1 / TOP)

    summary = agreement.stability_summary(table)
    assert list(summary["comparison"].unique()) == ["noise", "halves", "places", "images", *measure.BETWEEN_RUNS]
    places = table[(table["comparison"] == "places") & (table["filters"] == "denoising")]["overlap"]
    row = summary[(summary["comparison"] == "places") & (summary["filters"] == "denoising")].iloc[0]
    assert row["comparisons"] == len(places) == 6
    assert row["overlap"] == pytest.approx(places.mean())
    assert (row["least"], row["largest"]) == (places.min(), places.max())
    axis = show.stability(summary).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()][-1] == measure.COMPARISONS["seeds"]


def stable(*rows, network="srresnet"):
    """(comparison, function, overlaps) as from the measurement, summarised."""
    return agreement.stability_summary(
        pd.DataFrame(
            [
                {"network": name, "comparison": comparison, "filters": function, "overlap": one, "spearman": 0.5}
                for name, comparison, function, overlaps in (
                    (row if len(row) == 4 else (network, *row)) for row in rows
                )
                for one in overlaps
            ]
        )
    )


def test_stability_verdict_words_follow_the_numbers():
    summary = stable(
        ("images", "deblurring", [0.3]), ("image_sets", "deblurring", [0.5]), ("seeds", "deblurring", [0.02])
    )
    sentence = agreement.stability_verdict(summary).sentence
    assert "is 30 % (SRResNet, deblurring filters: two images), 30 times chance" in sentence
    assert "Averaging over images steadies the ranking" in sentence
    assert "2.0 times chance: filter numbers mean little" in sentence
    other = agreement.stability_verdict(
        stable(("images", "deblurring", [0.5]), ("image_sets", "deblurring", [0.3]))
    ).sentence
    assert "does not steady" in other
    assert "only one training run" in other
    shared = agreement.stability_verdict(
        stable(("images", "deblurring", [0.5]), ("fine_tunings", "deblurring", [0.6]))
    ).sentence
    assert "Between fine-tunings of one baseline it is 60 %, 60 times chance; 40 % of a set" in shared
    assert "only one training run" not in shared


def test_the_least_agreement_within_one_network_is_not_a_mean_over_networks():
    summary = stable(
        ("srcnn_style", "halves", "deblurring", [0.2, 0.24]),
        ("srcnn_style", "images", "denoising", [0.8, 0.9]),
        ("srresnet", "halves", "deblurring", [0.6]),
        ("srresnet", "images", "denoising", [0.01, 0.69]),
        ("srresnet", "fine_tunings", "denoising", [0.005]),
    )
    result = agreement.stability_verdict(summary)
    assert result.overlaps["halves"] == pytest.approx((0.22 + 0.6) / 2)
    assert (
        "is 22 % (SRCNN-style, deblurring filters: two halves of the images), 22 times chance; "
        "a single comparison comes down to 1 %" in result.sentence
    )


def test_convergence_figure_draws_each_rule_and_marks_two():
    rows = [
        ("srresnet", 0, rule, count, "denoising", 0.9, 0.99, 1.0, False)
        for rule, counts in integration.NODES.items()
        for count in counts
    ]
    columns = ["network", "seed", "rule", "nodes", "filters", "overlap", "spearman", "error_percent", "reference"]
    figure = show.convergence(pd.DataFrame(rows, columns=columns))
    assert len(figure.axes) == 3
    assert [len(axis.lines) for axis in figure.axes] == [5 + 2] * 3
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([10.0] * 12)


def test_rules_stop_at_the_nodes_of_the_profile(bench):
    def configurations(most: int) -> list[tuple[str, int]]:
        profile = dataclasses.replace(bench.profile, most_nodes=most)
        return integration._configurations(dataclasses.replace(bench, profile=profile))

    assert configurations(100)[0] == ("gauss-legendre", bench.profile.reference_nodes)
    assert {("midpoint", 100), ("trapezoid", 101)} <= set(configurations(100))
    assert ("left", 200) not in configurations(100)
    assert {("left", 200), ("right", 200), ("trapezoid", 201)} <= set(configurations(200))
    few = set(configurations(50))
    assert {("left", 100), ("trapezoid", 101)} == {one for one in few if one[1] > 51}, "what others are held against"


def test_sampling_compares_with_all_images_at_the_largest_crop(small_bench, monkeypatch):
    monkeypatch.setattr(sampling, "SAMPLING_NODES", 1)
    table = sampling.sampling(small_bench)
    assert sorted(set(zip(table["varied"], table["amount"], strict=True))) == [
        ("crop", 12), ("crop", 24), ("images", 1), ("images", 2), ("images", 3),
    ]  # fmt: skip
    whole = table[(table["amount"] == 24) | ((table["varied"] == "images") & (table["amount"] == 3))]
    assert len(whole) == 4
    assert (whole["overlap"] == 1).all()

    pair = small_bench.pair("srresnet", 0)
    tops, values = [], []
    samples = small_bench.samples("skimage", 3, 24)
    for chosen in (samples, *([one] for one in samples)):
        blurry, noisy = (
            faig(pair.target, pair.baseline, [(one.inputs[kind], one.ground_truth) for one in chosen], nodes=1)
            for kind in ("blurry", "noisy")
        )
        tops.append(set((noisy - blurry).ranking()[:TOP].tolist()))
        values.append((noisy - blurry).values)
    row = table[(table["varied"] == "images") & (table["amount"] == 1) & (table["filters"] == "denoising")].iloc[0]
    expected = np.mean([len(tops[0] & one) / TOP for one in tops[1:]])
    assert row["overlap"] == pytest.approx(expected, abs=2.1 / TOP)
    assert row["spearman"] == pytest.approx(
        np.mean([spearmanr(values[0].numpy(), one.numpy()).statistic for one in values[1:]]), abs=1e-6
    )
    axes = show.sampling(table).axes
    assert [axis.get_xlabel() for axis in axes] == ["images", "crop (pixels a side)"]
    assert [len(axis.lines) for axis in axes] == [3, 3]
