from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from faiglib.companion import discovery
from faiglib.companion.baseline_ablation import measure, report, show
from faiglib.companion.discovery import attributions
from faiglib.images.restoration import restore
from faiglib.networks import build
from tests.helpers.srresnet import TOP


@pytest.fixture
def small_bench(bench):
    profile = dataclasses.replace(bench.profile, ablation_images=2, ablation_crop=24)
    return dataclasses.replace(bench, profile=profile)


def test_baselines_are_the_trained_the_fresh_and_the_empty_network(small_bench):
    pair = small_bench.pair("srresnet", 0)
    assert discovery.baseline_network(small_bench, pair, "bilinear") is pair.baseline
    empty = discovery.baseline_network(small_bench, pair, "zero")
    assert all(not parameter.any() for parameter in empty.parameters())
    assert any(parameter.any() for parameter in pair.baseline.parameters())
    fresh = discovery.baseline_network(small_bench, pair, "random").state_dict()
    again = discovery.baseline_network(small_bench, pair, "random").state_dict()
    other = discovery.baseline_network(dataclasses.replace(small_bench, seed=1), pair, "random").state_dict()
    trained = pair.baseline.state_dict()
    assert {name: value.shape for name, value in fresh.items()} == {n: v.shape for n, v in trained.items()}
    assert all(torch.equal(value, again[name]) for name, value in fresh.items())
    assert not torch.equal(fresh["conv_first.weight"], other["conv_first.weight"])
    with pytest.raises(ValueError, match="'bicubic'"):
        discovery.baseline_network(small_bench, pair, "bicubic")


def test_scores_towards_zero_are_the_integral_of_a_shrinking_network(small_bench):
    pair = small_bench.pair("srresnet", 0)
    scores = discovery.ablation_scores(small_bench, pair, "zero", kinds=("noisy",))
    sample = small_bench.samples("skimage", 2, 24)[1]
    theta = {name: value.clone() for name, value in pair.target.named_parameters()}

    def loss(network):
        return (network(sample.inputs["noisy"]) - sample.ground_truth).square().sum()

    totals = {name: torch.zeros_like(value) for name, value in theta.items()}
    for alpha in (0.25, 0.75):  # midpoint, 2 nodes
        network = build("srresnet")
        network.load_state_dict({name: (1 - alpha) * value for name, value in theta.items()})
        loss(network).backward()
        for name, parameter in network.named_parameters():
            totals[name] += 0.5 * parameter.grad * -theta[name]
    index = scores.index
    for filter_id in (0, 200, index.total - 1):
        place = index.locate(filter_id)
        expected = float(totals[place.layer][place.output, place.input].detach().double().abs().sum())
        assert float(scores.values["noisy"][1, filter_id]) == pytest.approx(expected, rel=1e-3, abs=1e-9)
    with torch.no_grad():
        empty = build("srresnet")
        empty.load_state_dict({name: torch.zeros_like(value) for name, value in theta.items()})
        change = float(loss(empty) - loss(pair.target))
    missed = (sum(float(value.detach().sum()) for value in totals.values()) - change) / change
    assert float(scores.errors["noisy"][1]) == pytest.approx(missed, rel=1e-2, abs=1e-5)


def test_image_scores_average_the_difference_over_the_images_asked_for(small_bench):
    pair = small_bench.pair("srresnet", 0)
    scores = discovery.ablation_scores(small_bench, pair)
    blurry, noisy = (scores.values[kind].numpy() for kind in ("blurry", "noisy"))
    assert np.allclose(scores.of("deblurring").values, (blurry - noisy).mean(0))
    assert np.array_equal(scores.of("denoising", torch.tensor([1])).values, noisy[1] - blurry[1])


def test_ablation_masks_every_combination_with_the_named_network(small_bench):
    table = measure.ablation(small_bench)
    assert len(table) == 3 * 3 * 2 * 2 * 2  # found, replaced, function, input, image
    assert (table.groupby(["found_with", "replaced_by", "filters", "input"]).size() == 2).all()

    pair = small_bench.pair("srresnet", 0)
    filters = discovery.ablation_scores(small_bench, pair, "random").of("denoising").top(1)
    emptied = copy.deepcopy(pair.target)
    state = emptied.state_dict()
    for filter_id in filters.ids.tolist():
        place = filters.index.locate(filter_id)
        state[place.layer][place.output, place.input] = 0
    sample = small_bench.samples("skimage", 2, small_bench.profile.evaluation_crop)[0]
    outputs = [restore(network, sample.inputs["noisy"]).numpy()[0] for network in (pair.target, emptied)]
    levels = [255 * np.tensordot([0.299, 0.587, 0.114], output, 1).mean() for output in outputs]
    row = table[
        (table["found_with"] == "random")
        & (table["replaced_by"] == "zero")
        & (table["filters"] == "denoising")
        & (table["input"] == "noisy")
        & (table["image"] == sample.name)
    ].iloc[0]
    assert row["luminance_shift"] == pytest.approx(levels[1] - levels[0], abs=0.02)


def test_completeness_has_a_line_for_every_path(small_bench):
    table = measure.completeness(small_bench)
    assert len(table) == 3 * 2
    errors = discovery.ablation_scores(small_bench, small_bench.pair("srresnet", 0), "zero").errors["blurry"]
    row = table[(table["found_with"] == "zero") & (table["input"] == "blurry")].iloc[0]
    assert row["error_percent"] == pytest.approx(100 * float(errors.abs().sum()) / 2)


def test_elimination_compares_the_difference_with_the_own_score(small_bench):
    pair = small_bench.pair("srresnet", 0)
    raw = attributions(small_bench, pair, "skimage")
    scores = measure.elimination_scores(small_bench, pair)
    assert torch.equal(scores["without", "denoising"].values, raw["faig", "noisy"].values)
    assert torch.equal(scores["with", "denoising"].values, raw["faig", "noisy"].values - raw["faig", "blurry"].values)
    common = measure.common_filters(small_bench).set_index(["method", "percent"])["overlap"]
    assert common["with", 1.0] == 0
    deblurring, denoising = (
        set(np.argsort(-raw["faig", kind].values.numpy(), kind="stable")[:TOP].tolist()) for kind in ("blurry", "noisy")
    )
    assert common["without", 1.0] == pytest.approx(len(deblurring & denoising) / TOP)
    table = measure.elimination(small_bench)
    assert len(table) == 2 * 2 * 2 * 2 * 2  # method, function, percent, input, image


def row(**more):
    values = {"network": "srresnet", "seed": 0, "filters": "deblurring", "input": "blurry", "image": "a", "drop": 1.0}
    return {**values, "psnr": 25.0, "psnr_target": 26.0, "luminance_shift": 0.0, **more}


def test_own_and_other_separate_the_inputs_and_keep_the_size_of_a_shift():
    table = pd.DataFrame(
        [
            row(drop=6.0, luminance_shift=3.0),
            row(drop=2.0, luminance_shift=-1.0, image="b", psnr=23.0),
            row(input="noisy", drop=0.5, psnr=26.5),
            row(input="noisy", filters="denoising", drop=9.0),
            row(input="blurry", filters="denoising", drop=3.0, luminance_shift=-2.0),
        ]
    )
    cells = report.own_and_other(table, ["network", "filters"]).set_index("filters")
    deblurring = cells.loc["deblurring"]
    assert deblurring[["drop_own", "drop_other", "selectivity"]].tolist() == [4.0, 0.5, 8.0]
    assert deblurring[["lost_own", "lost_other"]].tolist() == [2.0, -0.5]
    assert deblurring[["shift_own", "signed_own"]].tolist() == [2.0, 1.0]
    assert cells.loc["denoising", ["drop_own", "drop_other", "shift_other"]].tolist() == [9.0, 3.0, 2.0]


def cells(found, shifts):
    """A summary of two functions, with the drops by finding and the shifts by replacing baseline."""
    rows = []
    for function, drops, moved in zip(("deblurring", "denoising"), found, shifts, strict=True):
        for finder, drop in zip(discovery.BASELINES, drops, strict=True):
            for replacer, shift in zip(discovery.BASELINES, moved, strict=True):
                rows.append(
                    {
                        "network": "srresnet",
                        "filters": function,
                        "found_with": finder,
                        "replaced_by": replacer,
                        "drop_own": drop if replacer == "bilinear" else 99.0,
                        "shift_own": shift if finder == "bilinear" else 0.0,
                        "lost_other": shift / 10,
                        "lost_own": 1.0,
                    }
                )
    return pd.DataFrame(rows)


def test_baseline_verdict_counts_and_words_what_it_counts():
    verdict = report.baseline_verdict(cells([(6, 2, 3), (1, 2, 1)], [(0.5, 9, 3), (0.5, 5, 0.25)]))
    assert (verdict.cells, verdict.finding_won, verdict.replacing_won) == (2, 1, 1)
    assert verdict.by_network == {"srresnet": (1, 2)}
    assert "(network × function): SRResNet 1 of 2." in verdict.finding_sentence
    assert (verdict.finding_least, verdict.finding_median) == (0.5, 1.25)
    assert verdict.shifts == {"bilinear": 0.5, "random": 7.0, "zero": 1.625}
    assert verdict.broken == {"bilinear": 0, "random": 2, "zero": 1}
    assert verdict.lost_other["random"] == pytest.approx(0.7)
    assert "in 1 of 2 cells" in verdict.finding_sentence
    assert "Every cell is broken by the random baseline." in verdict.replacing_sentence
    assert "zero: 1 of 2" in verdict.replacing_sentence


def test_baseline_verdict_says_so_when_the_claim_fails():
    verdict = report.baseline_verdict(cells([(1, 2, 3), (1, 2, 1)], [(3, 1, 1), (4, 0.5, 0.25)]))
    assert "in none of the 2 cells" in verdict.finding_sentence
    assert "In no cell does the random or the zero baseline break it." in verdict.replacing_sentence
    assert "The bilinear baseline itself breaks 2 of 2 cells" in verdict.replacing_sentence


def test_elimination_verdict_compares_selectivity_cell_by_cell():
    rows = [
        {"filters": filters, "method": method, "drop_own": own, "drop_other": other, "lost_other": lost}
        for filters, method, own, other, lost in (
            ("deblurring", "with", 4.0, 1.0, 0.1),
            ("deblurring", "without", 5.0, 2.5, 0.3),
            ("denoising", "with", 6.0, 3.0, 0.3),
            ("denoising", "without", 6.0, 2.0, 0.1),
        )
    ]
    table = pd.DataFrame(rows).assign(network="srresnet", percent=1.0)
    table["selectivity"] = table["drop_own"] / table["drop_other"]
    verdict = report.elimination_verdict(table)
    assert (verdict.cells, verdict.more_selective) == (2, 1)
    assert verdict.gain == pytest.approx((4 / 2 + 2 / 3) / 2)
    assert verdict.kept == pytest.approx((4 / 5 + 1) / 2)
    assert (verdict.selectivity_with, verdict.selectivity_without) == (3.0, 2.5)
    assert verdict.lost_other_with == verdict.lost_other_without == pytest.approx(0.2)
    assert "1 of 2 cells" in verdict.sentence
    assert "is 0.90 times" in verdict.sentence


def test_figures_show_every_combination(small_bench):
    pair = small_bench.pair("srresnet", 0)
    pictures = measure.gallery(small_bench, pair, "deblurring", crop=24)
    assert set(pictures.cells) == {(a, b) for a in discovery.BASELINES for b in discovery.BASELINES}
    assert pictures.references["target"].shift == 0
    assert np.isinf(pictures.references["ground truth"].psnr)
    html = show.gallery({"first": pictures, "SRResNet, seed 0": pictures}).html
    assert html.count("<img") == 24
    rows = [
        f"{name}, found with the {one} baseline"
        for name in ("first", "SRResNet, seed 0")
        for one in discovery.BASELINES
    ]
    places = [html.index(row) for row in rows]
    assert places == sorted(places)
    assert len(show.matrices(cells([(6, 2, 3), (1, 2, 1)], [(0.5, 9, 3), (0.5, 5, 0.25)])).axes) == 2 * 4
    bars = [
        {"percent": percent, "method": method, "drop_own": percent + offset, "drop_other": offset}
        for percent in (1.0, 5.0)
        for offset, method in ((0.5, "with"), (0.25, "without"))
    ]
    drawn = show.elimination(pd.DataFrame(bars).assign(network="srresnet", filters="denoising")).axes[0]
    assert [bar.get_height() for bar in drawn.patches] == [1.5, 0.5, 1.25, 0.25, 5.5, 0.5, 5.25, 0.25]
