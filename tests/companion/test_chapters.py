from __future__ import annotations

import dataclasses
import itertools
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch

from faiglib.attribution import faig, intinf, path_profile
from faiglib.companion import masked, paper, profiles
from faiglib.companion.discovery import attributions, discover
from faiglib.companion.masking import measure as masking_measure
from faiglib.companion.masking import paths
from faiglib.companion.masking import report as masking_report
from faiglib.companion.masking import show as masking_show
from faiglib.companion.method import measure as method_measure
from faiglib.companion.method import report as method_report
from faiglib.companion.method import show as method_show
from faiglib.companion.page.budget import budget
from faiglib.companion.workbench import open_workbench
from faiglib.errors import FaiglibError, ImageError, NetworkError, WeightsError
from faiglib.images.restoration import restore
from faiglib.networks import NETWORKS, build, zoo


def test_workbench_uses_what_is_there_and_names_what_is_not(bench):
    assert list(bench.image_sets) == ["skimage"]
    assert bench.missing == ["DIV2K train"]
    assert bench.pair_names == [("srresnet", 0)]
    shipped = dataclasses.replace(bench, models=zoo.models_dir(), profile=dataclasses.replace(bench.profile, seeds=1))
    assert [name for name, _ in shipped.pair_names] == ["srcnn_style", "srresnet"]
    every = dataclasses.replace(shipped, profile=dataclasses.replace(shipped.profile, networks=None))
    assert [name for name, _ in every.pair_names] == [*NETWORKS]
    assert shipped.where_several("mean over seeds") == ""
    seeds = dataclasses.replace(shipped, profile=dataclasses.replace(shipped.profile, seeds=None))
    assert seeds.where_several("mean over seeds") == "mean over seeds"
    page = budget(bench)
    assert "DIV2K train" in page
    assert "SRResNet seed 0, 1 + 1 iterations" in page


def test_open_workbench_refuses_unknown_profile_and_missing_weights(tmp_path):
    with pytest.raises(FaiglibError, match="'huge'"):
        open_workbench("huge")
    with pytest.raises(WeightsError, match="no manifest"):
        open_workbench("quick", models_dir=str(tmp_path))


def test_noise_of_a_sample_does_not_depend_on_the_other_samples(bench):
    alone = bench.samples("skimage", None, 24)
    again = bench.samples("skimage", None, 24)
    for first, second in zip(alone, again, strict=True):
        assert torch.equal(first.inputs["noisy"], second.inputs["noisy"])
    assert not torch.equal(
        alone[0].inputs["noisy"] - alone[0].inputs["clean"], alone[1].inputs["noisy"] - alone[1].inputs["clean"]
    )


def test_discovery_subtracts_the_other_degradation_and_reads_the_store_again(bench, monkeypatch):
    pair = bench.pair("srresnet", 0)
    rankings = discover(bench, pair, "skimage")
    sample = bench.samples("skimage", 1, 24)[0]
    blurry, noisy = (
        faig(pair.target, pair.baseline, [(sample.inputs[kind], sample.ground_truth)], rule="midpoint", nodes=2)
        for kind in ("blurry", "noisy")
    )
    deblurring = rankings.scores["faig", "deblurring"].values
    assert torch.equal(deblurring, blurry.values - noisy.values)
    assert torch.equal(rankings.scores["faig", "denoising"].values, -deblurring)
    own = intinf(pair.target, [(sample.inputs["clean"], sample.inputs["noisy"])], rule="midpoint", nodes=2)
    assert torch.equal(rankings.scores["intinf", "denoising"].values, own.values)
    assert not torch.equal(
        rankings.scores["random", "deblurring"].values, rankings.scores["random", "denoising"].values
    )

    def fail(*_, **__):
        raise AssertionError("computed again although it is stored")

    monkeypatch.setattr("faiglib.companion.discovery.faig", fail)
    assert torch.equal(attributions(bench, pair, "skimage")["faig", "blurry"].values, blurry.values)


def gradient_map(image):
    """Gradient magnitude with explicit zero padding, in NumPy."""
    gray = np.tensordot([0.299, 0.587, 0.114], image, 1)
    padded = np.pad(gray, 1)
    vertical = padded[2:, 1:-1] - padded[:-2, 1:-1]
    horizontal = padded[1:-1, 2:] - padded[1:-1, :-2]
    return np.sqrt(vertical**2 + horizontal**2 + 1e-6)


def test_drop_equals_a_substitution_and_a_gradient_map_by_hand(bench):
    pair = bench.pair("srresnet", 0)
    rankings = discover(bench, pair, "skimage")
    samples = bench.samples("skimage", 1, 24)
    mask = next(masking_measure.masks(rankings, ("faig",), (5,)))
    table = masked.measure(pair, [mask], samples, "test")

    target, baseline = (dict(network.state_dict()) for network in (pair.target, pair.baseline))
    mixed = {name: value.clone() for name, value in target.items()}
    for filter_id in mask.filters.ids.tolist():
        place = mask.filters.index.locate(filter_id)
        mixed[place.layer][place.output, place.input] = baseline[place.layer][place.output, place.input]
    network = build("srresnet")
    outputs = []
    for state in (target, mixed):
        network.load_state_dict(state)
        with torch.no_grad():
            output = network(samples[0].inputs["blurry"]).numpy()[0].astype(np.float64)
        outputs.append(np.round(np.clip(output, 0, 1) * 255) / 255)
    expected = 1000 * np.mean((gradient_map(outputs[0]) - gradient_map(outputs[1])) ** 2)
    row = table[table["input"] == "blurry"].iloc[0]
    # Float rounding may put a few pixels on the other side of an 8-bit step.
    assert row["drop"] == pytest.approx(expected, rel=5e-3)
    truth = samples[0].ground_truth.numpy()[0].astype(np.float64)[:, 2:-2, 2:-2]
    error = np.mean((outputs[1][:, 2:-2, 2:-2] - truth) ** 2)
    assert row["psnr"] == pytest.approx(-10 * np.log10(error), abs=2e-3)


def test_drops_cover_every_cell_and_masking_everything_is_not_masking_nothing(bench):
    table = masking_measure.drops(bench)
    cells = table.groupby(["method", "filters", "percent", "input"]).size()
    assert len(cells) == len(paper.MASKED) * 2 * 2 * 2
    assert (cells == 2).all()
    curves = masking_measure.curves(bench)
    by_percent = curves.groupby("percent")["drop"]
    assert by_percent.max()[0.0] == 0
    assert by_percent.min()[100.0] > 0
    everything = curves[curves["percent"] == 100].groupby("input")["drop"].nunique()
    assert (everything == 1).all()
    whole = curves[curves["percent"] == 100]
    assert whole["drop"].tolist() == whole["drop_all"].tolist()
    nothing = curves[curves["percent"] == 0]
    assert nothing[["psnr", "ssim"]].to_numpy() == pytest.approx(nothing[["psnr_target", "ssim_target"]].to_numpy())


def example():
    """Two seeds, two images, drops that are easy to average."""
    rows = []
    for seed, image, method_, value in (
        (0, "a", "faig", 4.0),
        (0, "b", "faig", 6.0),
        (1, "a", "faig", 7.0),
        (1, "b", "faig", 7.0),
        (0, "a", "intinf", 1.0),
        (0, "b", "intinf", 3.0),
        (1, "a", "intinf", 4.0),
        (1, "b", "intinf", 4.0),
        (0, "a", "random", 0.5),
        (0, "b", "random", 0.5),
        (1, "a", "random", 0.7),
        (1, "b", "random", 0.7),
    ):
        for function in ("deblurring", "denoising"):
            rows.append(
                {
                    "network": "srresnet",
                    "seed": seed,
                    "baseline": 0,
                    "image_set": "set14",
                    "method": method_,
                    "filters": function,
                    "percent": 1.0,
                    "input": "blurry",
                    "image": image,
                    "drop": value if function == "deblurring" else 100.0,
                    "drop_blue": 2 * value,
                }
            )
    return pd.DataFrame(rows)


def test_summary_is_mean_over_images_then_mean_and_deviation_over_seeds():
    result = masking_report.summary(example()).set_index("method")
    assert result.loc["faig", "measured"] == 6.0  # mean of 5 and 7
    assert result.loc["faig", "spread"] == pytest.approx(math.sqrt(2))
    assert result.loc["faig", ["seeds", "images"]].tolist() == [2, 2]
    assert result.loc["faig", ["paper", "paper_std"]].tolist() == [6.68, 0.63]


def drawn(images: int = 40) -> pd.DataFrame:
    """Drops of 40 images with known means: FAIG 6, IG 3, everything else 1; images differ, methods go with them."""
    scale = 1 + 0.3 * np.random.default_rng(5).standard_normal(images)
    means = {"faig": 6.0, "intinf": 3.0, "filter_change": 1.0, "random": 1.0}
    rows = [
        {"network": "srresnet", "seed": 0, "baseline": 0, "image_set": "set14", "method": method_}
        | {"filters": "deblurring"}
        | {"percent": 1.0, "input": "blurry", "image": str(number), "drop": mean * factor}
        for method_, mean in means.items()
        for number, factor in enumerate(scale)
    ]
    return pd.DataFrame(rows)


def test_the_interval_over_images_is_that_of_the_normal_approximation():
    table = drawn()
    values = table.loc[table["method"] == "faig", "drop"]
    row = masking_report.summary(table).set_index("method").loc["faig"]
    half = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    assert row["low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert row["high"] == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_a_lead_is_certain_where_all_methods_follow_the_images():
    """Every image has FAIG at twice IG, so that the ratio of the means has no spread although the means have."""
    (row,) = masking_report.leads(drawn()).to_dict("records")
    assert [row[name] for name in ("ratio", "low", "high")] == pytest.approx([2, 2, 2])


def test_a_lead_on_half_of_the_images_is_uncertain():
    table = drawn()
    odd = table["image"].astype(int) % 2 == 1
    swapped = table.assign(method=table["method"].map({"faig": "intinf", "intinf": "faig"}).fillna(table["method"]))
    (row,) = masking_report.leads(pd.concat([table[~odd], swapped[odd]])).to_dict("records")
    assert row["low"] < row["ratio"] < row["high"]
    assert row["low"] < 1 < row["high"]


def test_one_image_has_no_interval():
    (row,) = masking_report.leads(drawn(1)).to_dict("records")
    assert math.isnan(row["low"])
    assert row["ratio"] == pytest.approx(2)


def test_verdict_counts_cells_and_ratios():
    verdict = masking_report.ranking_verdict(masking_report.summary(example()))
    assert (verdict.cells, verdict.won) == (1, 1)
    assert verdict.least_ratio == verdict.median_ratio == 2.0
    assert verdict.random_share == pytest.approx(0.1)


def test_channel_comparison_uses_the_own_function_only():
    table = masking_report.channel_comparison(example())
    assert table["gray (as published)"].tolist() == [6.0]
    assert table["blue ÷ gray"].tolist() == [2.0]


def test_slopes_of_all_groups_integrate_to_the_change_of_the_loss(bench):
    pair = bench.pair("srresnet", 0)
    sample = method_measure.scene(bench, crop=24)
    rankings = discover(bench, pair, "skimage")
    table = method_measure.along_path(bench, pair, sample, rankings, steps=65)
    assert len(table) == 2 * 65 * len(method_measure.GROUPS)
    for _, rows in method_report.shares(table).groupby("input"):
        assert rows["integral"].sum() == pytest.approx(rows["loss_change"].iloc[0], rel=5e-3)
        assert rows["share"].sum() == pytest.approx(1)


def test_ends_of_the_path_are_the_two_networks(bench):
    pair = bench.pair("srresnet", 0)
    sample = method_measure.scene(bench, crop=24)
    frames = method_measure.frames(pair, sample, (0.0, 1.0))
    for alpha, network in ((0.0, pair.target), (1.0, pair.baseline)):
        expected = restore(network, sample.inputs["noisy"])
        assert torch.allclose(frames["noisy"][alpha], expected, atol=1.01 / 255)


def test_top_filters_and_kernels_come_from_the_named_places(bench):
    pair = bench.pair("srresnet", 0)
    rankings = discover(bench, pair, "skimage")
    top = method_report.top_filters(rankings, 3)
    assert top["rank"].tolist() == [1, 2, 3] * 2
    assert (top.groupby("filters")["score"].diff().dropna() <= 0).all()
    row, kernel = top.iloc[0], method_report.kernels(pair, top)[0]
    weights = pair.target.state_dict()[f"{row['layer']}.weight"]
    assert torch.equal(kernel["target"], weights[row["output"], row["input"]])
    assert torch.allclose(kernel["change"], kernel["target"] - kernel["baseline"])


def test_agreement_is_one_with_itself_and_symmetric(bench):
    table = method_report.agreement(discover(bench, bench.pair("srresnet", 0), "skimage"))
    matrix = table[table["filters"] == "deblurring"].pivot(index="method", columns="other", values="overlap")
    assert np.allclose(np.diag(matrix), 1)
    assert np.allclose(matrix, matrix.T)
    assert matrix.loc["FAIG", "random"] < 0.1


def test_concentration_grows_to_one(bench):
    table = method_report.concentration(discover(bench, bench.pair("srresnet", 0), "skimage"), points=20)
    for _, rows in table.groupby("filters"):
        assert rows["share"].is_monotonic_increasing
        assert rows["share"].iloc[-1] == pytest.approx(1)
        assert (rows["share"] >= rows["percent"] / 100 - 1e-9).all()


def test_gallery_shows_input_target_and_both_masks(bench):
    gallery = masking_measure.galleries(bench, "skimage", "chelsea", 1, 24)
    assert list(gallery.rows) == ["SRResNet, blurry", "SRResNet, noisy"]
    for images in gallery.rows.values():
        assert len(images) == 4
        assert all(image.shape == gallery.ground_truth.shape for image in images.values())


def test_papers_cells_are_complete_and_faig_leads_each():
    cells = pd.DataFrame([vars(cell) for cell in paper.drops()])
    assert len(cells) == 2 * 2 * 2 * 2 * 4
    assert cells.groupby("table")["network"].nunique().tolist() == [1, 1, 1, 1]
    best = cells.loc[cells.groupby(["network", "image_set", "input", "percent"])["mean"].idxmax(), "method"]
    assert set(best) == {"faig"}


def test_profiles_grow_from_quick_to_paper():
    quick, standard, full = (profiles.get(name) for name in ("quick", "standard", "paper"))
    assert quick.nodes < standard.nodes < full.nodes == 100
    assert full.rule == "left"
    assert (full.discovery_images, full.discovery_crop, full.evaluation_crop) == (None, None, None)
    assert len(full.curve_percents) == 101


def test_a_batch_or_a_ground_truth_of_another_shape_is_refused(bench):
    pair = bench.pair("srresnet", 0)
    sample = bench.samples("skimage", 1, 24)[0]
    batch = sample.inputs["blurry"].repeat(2, 1, 1, 1)
    with pytest.raises(ImageError, match="one by one"):
        faig(pair.target, pair.baseline, [(batch, sample.ground_truth.repeat(2, 1, 1, 1))], nodes=1)
    with pytest.raises(ImageError, match="one by one"):
        intinf(pair.target, [(batch, batch)], nodes=1)
    with pytest.raises(ImageError, match="ground truth"):
        faig(pair.target, pair.baseline, [(sample.inputs["blurry"], sample.ground_truth[:, :1])], nodes=1)


def test_buffers_that_the_path_cannot_move_are_refused():
    def network(mean):
        made = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.BatchNorm2d(3))
        made[1].running_mean.fill_(mean)
        return made

    image = torch.rand(1, 3, 8, 8)
    with pytest.raises(NetworkError, match=r"1\.running_mean"):
        faig(network(0.0), network(1.0), [(image, image)], nodes=1)


def test_lost_cells_and_falling_drops_are_named():
    table = masking_report.summary(example())
    assert "No other method is ahead" in masking_report.lost_cells(table)
    worse = table.assign(percent=5.0, measured=table["measured"].where(table["method"] != "faig", 2.0))
    sentence = masking_report.lost_cells(pd.concat([table, worse]))
    assert "ahead in: SRResNet, Set14, blurry input, 5 %." in sentence
    assert "exceptions: SRResNet, Set14, blurry input." in sentence


def test_items_are_computed_side_by_side_in_order_and_share_the_cores(bench):
    threads = torch.get_num_threads()
    barrier = threading.Barrier(2, timeout=20)

    def compute(item: int) -> tuple[int, int]:
        if item < 2:
            barrier.wait()  # passes only if two items are computed at once
        return item, torch.get_num_threads()

    try:
        torch.set_num_threads(2)
        assert bench.in_parallel(compute, range(5)) == [(item, 1) for item in range(5)]
        assert bench.in_parallel(lambda item: torch.get_num_threads(), [0]) == [2]
        with pytest.raises(ZeroDivisionError):
            bench.in_parallel(lambda item: 1 // item, range(3))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_networks_built_side_by_side_have_the_weights_of_their_seeds():
    def weights(seed: int) -> bytes:
        return build("srcnn_style", seed=seed).features[0].weight.detach().numpy().tobytes()

    alone = [weights(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(weights, range(8))) == alone


def test_selectivity_says_what_is_lost_beside_the_shift_of_brightness():
    error, shift = 0.003, 5.1  # mean squared error of [0, 1] images without the shift; levels
    whole = -10 * math.log10(error + (shift / 255) ** 2)
    row = {"network": "srcnn_style", "image_set": "set14", "method": "faig", "percent": 1.0, "image": "a", "drop": 1.0}
    levels = {"psnr": whole, "psnr_target": 28.0, "psnr_baseline": 24.0, "luminance_shift": shift, "drop_all": 2.0}
    levels |= {"ssim": 0.8, "ssim_target": 0.9, "ssim_baseline": 0.7}
    cells = [(kind, function) for kind in ("blurry", "noisy") for function in ("deblurring", "denoising")]
    drops = pd.DataFrame([row | levels | {"input": kind, "filters": function} for kind, function in cells])
    table = masking_report.selectivity(drops)
    assert table["psnr_level"].to_numpy() == pytest.approx(-10 * math.log10(error))
    expected = f"SRCNN-style {28 - whole:.2f} dB, {28 + 10 * math.log10(error):.2f} dB of which remain when"
    assert expected in masking_report.brightness_part(table)


def test_every_pair_has_a_profile_and_a_verdict(bench):
    profiles = method_measure.profiles(bench)
    assert list(profiles["alpha"]) == pytest.approx([number / 10 for number in range(11)])
    samples = bench.samples("skimage", None, 96)
    pair = bench.pair("srresnet", 0)
    expected = path_profile(pair.target, pair.baseline, [(one.inputs["clean"], one.ground_truth) for one in samples])
    assert tuple(profiles["psnr"]) == expected.psnr
    (row,) = method_report.soundness(profiles).to_dict("records")
    assert (row["barrier"], row["path"]) == (expected.barrier, expected.verdict)
    assert len(method_show.profiles(profiles).axes) == 1


def test_the_deepest_path_is_named():
    rows = [("srresnet", 0, 0.7, 0.7, "sound"), ("srcnn_style", 1, 2.5, 0.8, "shifted brightness")]
    table = pd.DataFrame(rows, columns=["network", "seed", "barrier", "barrier_level", "path"])
    words = method_report.soundness_in_words(table)
    assert words.startswith("The paths of 2 pairs by these limits: 1 sound and 1 shifted brightness.")
    assert "(SRCNN-style, seed 1) falls 2.50 dB below the line between its ends, 0.80 dB with the means" in words


def test_barriers_are_held_against_what_either_input_loses():
    rows = []
    for seed in range(6):
        for function, kind, drop in itertools.product(("deblurring", "denoising"), ("blurry", "noisy"), (1.0, 3.0)):
            own = (function, kind) in (("deblurring", "blurry"), ("denoising", "noisy"))
            named = {"network": "srresnet", "seed": seed, "image_set": "set14", "method": "faig", "percent": 1.0}
            lost = drop * (0.9 if own else 0.01 * seed)
            rows.append(named | {"filters": function, "input": kind, "drop": lost, "drop_all": drop})
    pairs = paths.by_pair(pd.DataFrame(rows), {("srresnet", seed): 0.3 * seed for seed in range(6)}, "set14")
    assert pairs["own"].tolist() == pytest.approx([0.9] * 12)
    assert pairs["other"].tolist() == pytest.approx([0.01 * seed for seed in range(6) for _ in "ab"])
    words = paths.in_words(pairs)
    assert words.startswith("Over 6 pairs, the rank correlation of the barrier with what the other input loses is")
    assert words.count("ρ = 1.00") == 2
    assert words.count("a deeper path goes with more spill") == 2
    reverse = paths.in_words(pairs.assign(barrier=-pairs["barrier"]))
    assert "ρ = −1.00" in reverse
    assert "less spill" in reverse
    assert "nothing to correlate" in paths.in_words(pairs[pairs["seed"] < 3])
    assert len(masking_show.barrier_and_selectivity(pairs).axes) == 2
