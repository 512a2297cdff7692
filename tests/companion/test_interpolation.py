from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from faiglib.companion import masked as companion_masked
from faiglib.companion import paper
from faiglib.companion.discovery import discover
from faiglib.companion.interpolation import measure as interpolation_measure
from faiglib.companion.interpolation import report, show
from faiglib.companion.masking import measure as masking_measure
from faiglib.companion.method import measure as method_measure
from faiglib.companion.page.interactive import picture
from faiglib.images.restoration import restore


def test_residual_noise_finds_the_noise_of_the_input_grid():
    small = 0.5 + 0.05 * np.random.default_rng(0).standard_normal((1, 3, 128, 128))
    image = torch.from_numpy(small.repeat(2, axis=2).repeat(2, axis=3))
    assert interpolation_measure.residual_noise(image) == pytest.approx(255 * 0.05, rel=0.03)


def test_residual_noise_is_the_median_of_haar_details_by_hand(random_image):
    image = random_image(12, 8)
    values = image.numpy()[0]
    estimates = []
    for channel in values:
        small = channel.reshape(6, 2, 4, 2).mean(axis=(1, 3))
        details = [
            abs(small[y, x] - small[y, x + 1] - small[y + 1, x] + small[y + 1, x + 1]) / 2
            for y in range(5)
            for x in range(3)
        ]
        estimates.append(sorted(details)[7] / 0.6745)
    assert interpolation_measure.residual_noise(image) == pytest.approx(255 * np.mean(estimates))


def test_residual_noise_ignores_slopes_and_edges():
    y, x = np.mgrid[0:32, 0:32] / 64
    slope = np.stack([x + y, 0.5 * x, np.where(x > 0.2, 1.0, 0.0)])[None]
    assert interpolation_measure.residual_noise(torch.from_numpy(slope)) == pytest.approx(0, abs=1e-9)


def test_sharpness_of_a_ramp_is_its_slope():
    ramp = torch.arange(16.0).mul(3 / 255).expand(1, 3, 16, 16)
    assert interpolation_measure.sharpness(ramp) == pytest.approx(math.hypot(6, 255 * 1e-3), rel=1e-5)
    assert interpolation_measure.sharpness(torch.full((1, 3, 16, 16), 0.5)) == pytest.approx(255 * 1e-3)


def test_turned_filters_lie_between_the_networks_and_the_others_stay(bench):
    pair = bench.pair("srresnet", 0)
    rankings = discover(bench, pair, "skimage")
    knobs = {"deblurring": 0.3, "denoising": 1.5}
    state = interpolation_measure.turned(pair, rankings, knobs).state_dict()
    target, baseline = pair.target.state_dict(), pair.baseline.state_dict()
    expected = {name: value.clone() for name, value in target.items()}
    for function, lam in knobs.items():
        found = rankings.top("faig", function, 1)
        for filter_id in found.ids.tolist():
            place = found.index.locate(filter_id)
            here = (place.layer, (place.output, place.input))
            expected[here[0]][here[1]] = (1 - lam) * baseline[here[0]][here[1]] + lam * target[here[0]][here[1]]
    for name, value in expected.items():
        assert torch.allclose(state[name], value, atol=1e-6), name
    assert torch.equal(state["conv_first.bias"], target["conv_first.bias"])


def test_sweep_ends_at_the_masked_network_and_at_the_target(bench):
    table = interpolation_measure.sweep(bench)
    assert sorted(table["lambda"].unique()) == [0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5]
    assert interpolation_measure.LAMBDAS[:8] == paper.LAMBDAS
    pair = bench.pair("srresnet", 0)
    chosen = list(masking_measure.masks(discover(bench, pair, "skimage"), ("faig",), (1,)))
    masked = companion_masked.measure(pair, chosen, bench.samples("skimage", 2, 24), "test")
    keys = ["filters", "input", "image"]
    masked = masked.set_index(keys).sort_index()
    for lam, column in ((0.0, "psnr"), (1.0, "psnr_target")):
        end = table[table["lambda"] == lam].set_index(keys).sort_index()
        assert len(end) == 2 * 2 * 2
        assert end["psnr"].to_numpy() == pytest.approx(masked[column].to_numpy(), abs=1e-6)


def test_both_knobs_at_one_are_the_target_and_at_zero_both_sets_masked(bench):
    table = interpolation_measure.grid(bench)
    assert len(table) == 36
    pair = bench.pair("srresnet", 0)
    sample = bench.samples("skimage", 1, 24)[0]
    rows = table[table["image"] == sample.name].set_index(["deblurring", "denoising"])
    output = restore(pair.target, sample.inputs["blurry+noisy"])
    error = (output - sample.ground_truth)[..., 2:-2, 2:-2].double().square().mean()
    assert rows.loc[(1.0, 1.0), "psnr"] == pytest.approx(-10 * math.log10(error), abs=1e-6)
    assert rows.loc[(0.0, 0.0), "psnr"] != rows.loc[(1.0, 1.0), "psnr"]
    truth = sample.ground_truth
    assert rows["noise_truth"].iloc[0] == pytest.approx(interpolation_measure.residual_noise(truth))


def swept(deblurring, denoising, images=("a", "b")):
    """A sweep in which the knob moves its measure as a function of λ, and PSNR of its own input peaks at λ = 0.9."""
    rows = []
    for function, measure, own, effect in (
        ("deblurring", "sharpness", "blurry", deblurring),
        ("denoising", "noise", "noisy", denoising),
    ):
        for lam in interpolation_measure.LAMBDAS:
            for kind in ("blurry", "noisy"):
                for number, image in enumerate(images):
                    row = {"sharpness": 10.0, "noise": 5.0, measure: effect(lam) + number}
                    quality = 30 - (lam - 0.9) ** 2 if kind == own else 28 - 0.1 * (1 - lam)
                    rows.append(
                        {
                            "network": "srresnet",
                            "seed": 0,
                            "filters": function,
                            "lambda": lam,
                            "input": kind,
                            "image": image,
                            "psnr": quality,
                            "distance": abs(1 - lam) + number,
                            "sharpness_truth": 20.0,
                            "noise_truth": 1.0,
                            **row,
                        }
                    )
    return pd.DataFrame(rows)


def test_control_of_an_even_knob_and_of_a_switch():
    table = report.control(swept(lambda lam: 10 + 4 * lam, lambda lam: 8.0 if lam < 0.95 else 2.0))
    even, switch = table.to_dict("records")
    assert (even["monotone"], even["curve_monotone"], even["continuous"]) == (1, True, True)
    assert (even["approaches"], even["curve_approaches"]) == (1, True)
    assert even["largest_step"] == pytest.approx(0.2)
    assert even["steepest"] == pytest.approx(1)
    assert (even["started"], even["halfway"], even["finished"]) == pytest.approx((0.1, 0.5, 0.9))
    assert (even["at_0"], even["at_1"], even["at_end"]) == pytest.approx((10.5, 14.5, 16.5))
    assert even["gained"] == pytest.approx(0.9**2 - 0.1**2)
    assert even["other_moved"] == pytest.approx(0.1)
    assert even["steps"] == 7 * 2
    assert switch["steepest"] == pytest.approx(10)
    assert (switch["started"], switch["halfway"], switch["finished"]) == pytest.approx((0.91, 0.95, 0.99))
    assert (switch["monotone"], switch["continuous"]) == (1 / 7, False)


def test_control_of_a_knob_that_works_the_wrong_way():
    table = report.control(swept(lambda lam: 10 - lam, lambda lam: 5 + lam))
    assert table["steepest"].isna().all()
    assert (table["monotone"] == 0).all()
    assert not table["continuous"].any()
    words = report.in_words(table)
    assert words.count("ends on the wrong side") == words.count("not continuous") == 2


def test_steps_the_wrong_way_may_lead_to_the_ground_truth():
    """Noise of one image rises from −1 to −0.5 and then to −0.3 while its ground truth has 1."""
    table = swept(lambda lam: lam, lambda lam: lam / 2 - 2)
    row = report.control(table).set_index("filters").loc["denoising"]
    assert (row["monotone"], row["nearer"]) == (0, 1)
    away = report.control(swept(lambda lam: lam, lambda lam: 5 + lam)).set_index("filters")
    assert away.loc["denoising", "nearer"] == 0
    assert math.isnan(away.loc["deblurring", "nearer"])
    assert "(100 % of the others lead nearer" in report.in_words(report.control(table))


def test_best_lambda_is_where_psnr_peaks_on_the_own_input():
    table = report.best(swept(lambda lam: lam, lambda lam: -lam))
    assert len(table) == 4
    assert (table["lambda"] == 0.9).all()
    assert table["gain"].tolist() == pytest.approx([0.01] * 4)
    summary = report.best_summary(table)
    assert summary["images"].tolist() == [2, 2]
    assert summary["below"].tolist() == [1, 1]
    assert summary["above"].tolist() == [0, 0]
    assert "0.010" in show.best_lambda(summary).to_html()


def gridded():
    return pd.DataFrame(
        [
            {
                "network": "srresnet",
                "seed": 0,
                "image": "a",
                "deblurring": first,
                "denoising": second,
                "psnr": 20 + first + 2 * second - 4 * max(0, second - 1.2) + 3 * first * min(second, 1.0),
                "sharpness": 10 + first,
                "noise": 5 - second,
                "sharpness_truth": 20.0,
                "noise_truth": 1.0,
            }
            for first in interpolation_measure.GRID
            for second in interpolation_measure.GRID
        ]
    )


def test_separation_compares_joint_and_single_gains():
    row = report.separation(gridded()).iloc[0]
    assert row[["off", "deblurring", "denoising", "both"]].tolist() == pytest.approx([20, 21, 22, 26])
    assert (row["sum_of_gains"], row["joint_gain"]) == pytest.approx((3, 6))
    assert (row["best_deblurring"], row["best_denoising"]) == (1.5, 1.2)
    assert "1.5 / 1.2: 28.40" in show.both_knobs(report.separation(gridded())).to_html()


def test_figures_place_pictures_and_frames(bench):
    pair = bench.pair("srresnet", 0)
    scene = method_measure.scene(bench, crop=24)
    images = interpolation_measure.strip(bench, pair, "denoising", scene)
    assert list(images) == ["input", *(f"λ = {lam:g}" for lam in interpolation_measure.LAMBDAS), "ground truth"]
    assert torch.equal(images["λ = 1"], restore(pair.target, scene.inputs["noisy"]))
    assert images["input"].shape == scene.ground_truth.shape
    html = show.strip(images, "title").html
    assert html.count("<img") == 12
    names = ["input", "λ = 0 (masked)", "λ = 0.2", "λ = 1 (target)", "ground truth"]
    places = [html.index(name) for name in names]
    assert places == sorted(places)

    sheet = interpolation_measure.contact_sheet(bench, pair, scene, (0.0, 1.0))
    drawn = show.contact_sheet(sheet, "SRResNet", (0.0, 1.0)).html
    corners = [(0.0, 1.0), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0)]  # deblurring to the right, denoising upwards
    places = [drawn.index(picture(sheet[corner])) for corner in corners]
    assert places == sorted(places)

    psnr_panel = show.heatmaps(gridded()).axes[0]
    target, top = (patch.get_xy() for patch in psnr_panel.patches)
    assert target == (3, 2)  # λ = 1 is the fourth from the left and the third from above
    assert top == (5, 1)


def test_curves_show_psnr_against_the_target_and_counts_of_the_best():
    table = swept(lambda lam: 10 + 4 * lam, lambda lam: 8 - lam)
    figure = show.curves(table)
    mean = next(line for line in figure.axes[2].lines if line.get_label() == "blurry input")
    by_lambda = dict(zip(mean.get_xdata(), mean.get_ydata(), strict=True))
    assert by_lambda[1.0] == 0
    assert by_lambda[0.0] == pytest.approx(0.1**2 - 0.9**2)
    bars = show.best(report.best(table), interpolation_measure.LAMBDAS).axes[0].patches
    assert [bar.get_height() for bar in bars] == [0, 0, 0, 0, 0, 0, 2, 0, 0, 0]
    assert "half at λ" in show.control(report.control(table)).to_html()
