"""The chapter on how good the choice is: areas in closed form, controls by counting, and measurements done again."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from faiglib.companion import questions
from faiglib.companion.criteria import QUESTIONS
from faiglib.companion.discovery import discover
from faiglib.companion.faithfulness import measure, rankings, recorded, report, show, trajectories
from faiglib.companion.workbench import open_workbench
from faiglib.errors import StoreError
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterSet
from faiglib.filters.substitution import substitute
from faiglib.images.degradations import FUNCTIONS
from faiglib.images.metrics import gradient_error, levelled
from faiglib.images.restoration import restore
from faiglib.networks import zoo
from faiglib.networks.zoo import Pair
from faiglib.system.documents import read_json

PERCENTS = (0.1, 1.0, 10.0, 100.0)
METHODS = ("faig", "random", "mask_1", "mask_10")


def curves(height) -> pd.DataFrame:
    """A table of curves in which f is what a function of way, method, side and proportion says, from 20 to 30 dB."""
    rows = []
    for method, function, way, percent, kind, image in itertools.product(
        METHODS, FUNCTIONS, ("deletion", "insertion"), PERCENTS, ("blurry", "noisy"), ("x", "y", "z")
    ):
        side = "own" if FUNCTIONS[function][0] == kind else "other"
        f = height(way, method, side, percent)
        offset = {"x": -1.0, "y": 0.0, "z": 1.0}[image]
        rows.append(
            {
                "network": "srresnet",
                "seed": 0,
                "method": method,
                "filters": function,
                "way": way,
                "percent": percent,
                "input": kind,
                "image": image,
                "psnr": 20 + 10 * f + offset,
                "drop": 4 * (1 - f),
                "psnr_target": 30 + offset,
                "psnr_baseline": 20 + offset,
                "drop_baseline": 4.0,
            }
        )
    return pd.DataFrame(rows)


def line(table: pd.DataFrame, method: str) -> pd.Series:
    return table[(table["method"] == method) & (table["filters"] == "deblurring")].iloc[0]


def test_the_area_of_a_line_over_the_logarithm_is_its_mean_height():
    assert report.area(PERCENTS, np.ones(4)) == pytest.approx(1)
    assert report.area(PERCENTS, [0, 1 / 3, 2 / 3, 1]) == pytest.approx(1 / 2)
    places = np.geomspace(0.1, 100, 2001)
    assert report.area(places, np.log10(places) ** 2) == pytest.approx((2**3 + 1) / 3 / 3, rel=1e-5)


@pytest.mark.parametrize("of", ["psnr", "drop"])
def test_the_perfect_ranking_and_the_worst_have_the_areas_they_should(of):
    def perfect(way, method, side, percent):
        good = {"deletion": {"own": 0, "other": 1}, "insertion": {"own": 1, "other": 0}}[way][side]
        return good if method == "faig" else 1 - good

    table = report.areas(curves(perfect), of)
    best, worst = line(table, "faig"), line(table, "random")
    names = ["left", "spilled", "brought", "missing", "along"]
    assert best[names].tolist() == pytest.approx([0, 0, 1, 0, 0])
    assert worst[names].tolist() == pytest.approx([1, 1, 0, 1, 1])
    assert best[["low", "high"]].tolist() == pytest.approx([1, 1])
    assert table["method"].tolist() == ["faig", "random", "bound"] * 2


def test_the_bound_is_the_best_mask_at_every_proportion():
    def height(way, method, side, percent):
        if side == "other":
            return {"mask_1": 0.5, "mask_10": -0.5}.get(method, 0)
        strong = (method == "mask_1") == (percent < 5)
        if way == "insertion":
            return 0.8 if strong else 0.1
        return -0.05 if strong else -0.9  # far below the baseline is no better

    found = report.fractions(curves(height))
    chosen = found[(found["method"] == "bound") & (found["filters"] == "denoising")].set_index(["way", "percent"])
    for way, own in (("insertion", 0.8), ("deletion", -0.05)):
        assert chosen.loc[way, "own"].tolist() == pytest.approx([own] * 4)
        assert chosen.loc[way, "other"].tolist() == pytest.approx([0.5, 0.5, -0.5, -0.5])
    share = report.of_bound(report.areas(curves(height)))
    assert share["bound"].tolist() == pytest.approx([0.8, 0.8])


def test_intervals_are_over_images():
    table = curves(lambda way, method, side, percent: 0.5)
    table.loc[table["image"] == "z", "psnr"] += 2
    row = line(report.areas(table), "faig")
    assert row["low"] < row["brought"] < row["high"]
    assert row["low"] == pytest.approx(0.5)
    assert row["high"] == pytest.approx(0.7)


def drawn(faig: float, matched: list[float], value: str = "drop") -> pd.DataFrame:
    rows = [("faig", 0, faig), *(("matched", draw, one) for draw, one in enumerate(matched)), ("random", 0, 0.1)]
    return pd.DataFrame(
        [("srresnet", 0, "deblurring", *row) for row in rows],
        columns=["network", "seed", "filters", "kind", "draw", value],
    )


@pytest.mark.parametrize(
    ("faig", "reached", "grade"), [(5.0, 0, "held"), (4.0, 5, "did not hold"), (0.5, 20, "did not hold")]
)
def test_controls_are_counted(faig, reached, grade):
    table = report.against(drawn(faig, [1.0, 2.0, 3.0, 4.0] * 5))
    row = table.iloc[0]
    assert row["reached"] == reached / 20
    assert row["p"] == (1 + reached) / 21
    assert row["effect"] == pytest.approx(faig / 2.5)
    assert row["random"] == pytest.approx(0.1)
    verdict = questions.controls(table)
    assert verdict.beyond.grade == grade
    assert verdict.paper.grade == "not tested"
    assert f"{faig / 2.5:.1f} times" in verdict.beyond.measured


@pytest.mark.parametrize(("draws", "grade"), [(18, "not tested"), (19, "held")])
def test_few_controls_cannot_tell(draws, grade):
    """Of 18 controls the smallest p is 1/19, above 5 %."""
    verdict = questions.controls(report.against(drawn(5.0, [1.0] * draws)))
    assert verdict.beyond.grades == {"SRResNet": grade}
    assert ("cannot tell" in verdict.beyond.measured) == (grade == "not tested")


def test_masks_that_bring_nothing_are_no_bound():
    areas = report.areas(curves(lambda way, method, side, percent: -0.1))
    share = report.of_bound(areas)
    assert share["share"].isna().all()
    verdict = questions.bound(share)
    assert verdict.beyond.grades == {"SRResNet": "not tested"}
    assert "bring nothing" in verdict.beyond.measured


@pytest.mark.parametrize(
    ("barriers", "grade"),
    [((0.2, 1.0), "held"), ((0.2, 1.1), "partly"), ((1.5, 1.1), "did not hold"), ((0.2, float("nan")), "held")],
)
def test_the_path_is_judged_pair_by_pair(barriers, grade):
    found = questions.soundness({("srresnet", seed): value for seed, value in enumerate(barriers)})
    assert found.beyond.grades == {"SRResNet": grade}


def test_without_barriers_the_path_is_not_judged():
    assert questions.soundness({("srresnet", 0): float("nan")}).beyond.grade == "not tested"


@pytest.mark.parametrize(
    ("shares", "grade"), [((0.8, 0.9), "held"), ((0.79, 0.9), "partly"), ((0.9, 0.4), "did not hold")]
)
def test_the_worse_function_decides_on_the_bound(shares, grade):
    table = pd.DataFrame(
        [("srresnet", function, share, 1.0, share) for function, share in zip(FUNCTIONS, shares, strict=True)],
        columns=["network", "filters", "faig", "bound", "share"],
    )
    assert questions.bound(table).beyond.grades == {"SRResNet": grade}


# ---------------------------------------------------------------- measured on a tiny pair


@pytest.fixture
def better(bench, monkeypatch):
    """The bench, on whose images the target is better than the baseline: what it restores is next to the truth."""
    samples = type(bench).samples
    pair = bench.pair("srresnet", 0)

    def changed(self, *arguments):
        return [
            dataclasses.replace(one, ground_truth=0.97 * restore(pair.target, one.inputs["blurry"]))
            for one in samples(self, *arguments)
        ]

    monkeypatch.setattr(type(bench), "samples", changed)
    return bench


def test_curves_are_what_substitution_and_restoration_give(better, monkeypatch):
    monkeypatch.setattr(rankings, "learned_masks", _masks)
    table = measure.curves(better)
    pair = better.pair("srresnet", 0)
    found = rankings.rankings(better, pair, better.test_set)
    (sample,) = better.samples(better.test_set, 1, 24)
    assert set(table["method"]) == {*rankings.METHODS, *rankings.BOUND} - {"bound"}
    for method, function, way, kind in itertools.product(
        ("faig", "fisher"), FUNCTIONS, ("deletion", "insertion"), ("blurry", "noisy")
    ):
        ends = (pair.target, pair.baseline)
        network = substitute(*(ends if way == "deletion" else ends[::-1]), found.top(method, function, 3))
        output, own = (restore(one, sample.inputs[kind]) for one in (network, pair.target))
        error = (levelled(output, sample.ground_truth) - sample.ground_truth)[..., 2:-2, 2:-2].double()
        row = table[
            (table["method"] == method)
            & (table["filters"] == function)
            & (table["way"] == way)
            & (table["percent"] == 3)
            & (table["input"] == kind)
        ].iloc[0]
        assert row["psnr"] == pytest.approx(-10 * np.log10(float(error.square().mean())), abs=1e-4)
        assert row["drop"] == pytest.approx(float(gradient_error(output, own)), abs=1e-9)
    report.areas(table)
    assert not table["recorded"].any()
    assert set(measure.signs(better)["filters"]) == set(FUNCTIONS)


def _masks(target, baseline, own, other, **_):
    """Stands for masks that are trained, which a pair of noise does not bear."""
    from faiglib.attribution import random_scores

    return {sparsity: random_scores(FilterIndex.of(target), int(sparsity)) for sparsity in rankings.SPARSITIES}


@pytest.fixture
def record(better, monkeypatch, tmp_path):
    """A recorded run of the bench's pair; the bench then has another pair that is smaller."""
    monkeypatch.setattr(rankings, "learned_masks", _masks)
    recorded.write(better, lambda pair: measure.trained_curves(better, pair), tmp_path)
    return tmp_path


def test_a_recorded_run_stands_for_what_would_be_measured(better, record, monkeypatch):
    here = measure.curves(better, record)
    assert not here["recorded"].any(), "the smallest network is trained anew"
    assert measure.check(better, here, record) < 1e-3, "as written, with six digits"
    monkeypatch.setattr(measure, "smallest", lambda bench: ("another", 0))
    part = measure._part

    def untrained(bench, pair, way, methods):
        assert methods != rankings.TRAINED, "what is recorded is not measured"
        return part(bench, pair, way, methods)

    monkeypatch.setattr(measure, "_part", untrained)
    from_record = measure.curves(better, record)
    assert set(from_record.loc[from_record["recorded"], "method"]) == set(rankings.TRAINED)
    pd.testing.assert_frame_equal(
        from_record.drop(columns="recorded"), here.drop(columns="recorded"), check_exact=False, rtol=1e-5
    )
    assert "those of SRResNet before it" in report.origin_in_words(from_record.replace("another", "srresnet"), None)


@pytest.mark.parametrize("changed", [{"seed": 7}, {"profile": {"mask_steps": 99}}])
def test_a_recorded_run_of_something_else_is_not_used(better, record, changed):
    pair = better.pair("srresnet", 0)
    assert recorded.read(better, pair, record) is not None
    profile = dataclasses.replace(better.profile, **changed.get("profile", {}))
    other = dataclasses.replace(better, profile=profile, seed=changed.get("seed", better.seed))
    assert recorded.read(other, pair, record) is None
    assert recorded.read(better, pair, record / "nowhere") is None


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_damaged_recorded_run_is_refused_in_a_sentence(better, record, ending):
    path = record / f"{better.test_set}.{ending}"
    path.write_text(path.read_text()[:-40] + "nonsense")
    with pytest.raises(StoreError, match=r"the recorded masks .* cannot be read"):
        recorded.read(better, better.pair("srresnet", 0), record)


@pytest.mark.parametrize("image_set", ["skimage", "set14"])
def test_the_shipped_run_is_of_the_shipped_weights_and_the_standard_profile(image_set):
    made = read_json(recorded.folder() / f"{image_set}.json", recorded.MadeFrom).made_from
    bench = open_workbench("standard", "cpu")
    assert {name for name, _ in bench.first_pairs} == {name.rpartition("-")[0] for name in made}
    for name, seed in bench.first_pairs:
        of = made[f"{name}-{seed}"]
        assert (of["pair"], of["budget"]) == (bench.pair(name, seed).digest, recorded.budget(bench)), "nox -s masks"


def test_controls_are_measured_as_faigs_filters_are(bench):
    table = measure.controls(bench)
    pair = bench.pair("srresnet", 0)
    chosen = discover(bench, pair, bench.test_set).top("faig", "denoising", 1)
    (sample,) = bench.samples(bench.test_set, 1, 24)
    outputs = [
        restore(network, sample.inputs["noisy"])
        for network in (substitute(pair.target, pair.baseline, chosen), pair.target)
    ]
    row = table[(table["kind"] == "faig") & (table["filters"] == "denoising")].iloc[0]
    assert row["drop"] == pytest.approx(float(gradient_error(*outputs)), abs=1e-9)
    counts = table.groupby(["filters", "kind"]).size()
    assert counts.loc[:, "matched"].tolist() == [bench.profile.control_draws] * 2
    show.controls(table)
    show.against(report.against(table), "drop", "here")


def test_retraining_of_controls_starts_from_the_baseline(bench):
    table = measure.trainings(bench)
    assert set(table["kind"]) == {"faig", "matched"}
    assert len(table) == 2 * (1 + bench.profile.control_trainings)
    assert np.isfinite(table["gain"]).all()
    assert table["gain"].abs().max() < 20, "four steps from the baseline, not from anything else"


def test_deleting_some_filters_is_inserting_all_others():
    def layers(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 3, 3, bias=False))

    target, baseline = layers(0), layers(1)
    index = FilterIndex.of(target)
    some = FilterSet(index, torch.arange(0, index.total, 3))
    others = FilterSet(index, (~some.member()).nonzero().flatten())
    first, second = substitute(target, baseline, some), substitute(baseline, target, others)
    assert all(torch.equal(*both) for both in zip(first.parameters(), second.parameters(), strict=True))


def test_for_a_measure_that_is_linear_insertion_is_one_less_deletion():
    torch.manual_seed(2)
    target, baseline = (nn.Sequential(nn.Conv2d(3, 2, 3, bias=False)).double() for _ in range(2))
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    index = FilterIndex.of(target)

    def measured(network: nn.Module) -> float:
        return float(network(image).mean().detach())

    ends = [measured(network) for network in (baseline, target)]
    for count in range(index.total + 1):
        some = FilterSet(index, torch.arange(count))
        deleted, inserted = (
            (measured(substitute(*pair, some)) - ends[0]) / (ends[1] - ends[0])
            for pair in ((target, baseline), (baseline, target))
        )
        assert inserted == pytest.approx(1 - deleted, abs=1e-9)


def test_every_question_has_its_page_and_every_method_its_cost(bench):
    assert {QUESTIONS[letter].page for letter in "klm"} == {"notebooks/13_faithfulness"}
    assert set(rankings.gradients(bench.profile, 4)) == set(rankings.METHODS)


def test_helpful_filters_are_those_whose_contributions_lower_the_loss(better, monkeypatch):
    monkeypatch.setattr(rankings, "learned_masks", _masks)
    pair: Pair = zoo.load_pair(better.models, "srresnet", 0)
    found = rankings.rankings(better, pair, better.test_set)
    signed = found.scores["signed", "deblurring"].values
    assert 0 < float((signed > 0).double().mean()) < 1
    kept = found.scores["helpful", "deblurring"]
    assert kept.values.shape == signed.shape


def ways(shift: float, seeds=(0, 1, 2, 3), baselines=None) -> pd.DataFrame:
    rows = []
    for seed, baseline in zip(seeds, baselines or seeds, strict=True):
        for function in FUNCTIONS:
            for path in ("straight", "trajectory"):
                own = 0.5 + 0.01 * seed + (shift + 0.002 * (-1) ** seed if path == "trajectory" else 0)
                rows.append(("srresnet_s", seed, baseline, function, path, own, 0.1, 0.4, 0.0))
    return pd.DataFrame(
        rows, columns=["network", "seed", "baseline", "function", "path", "own", "other", "shared", "missed"]
    )


@pytest.mark.parametrize(
    ("shift", "word"), [(0.2, "more on the own"), (-0.2, "less on the own"), (0.0, "neither clearly")]
)
def test_the_trajectory_is_compared_pair_by_pair(shift, word):
    table = trajectories.differences(ways(shift))
    row = table.iloc[0]
    changes = np.array([shift + 0.002 * (-1) ** seed for seed in range(4)])
    low, high = stats.ttest_1samp(changes, 0).confidence_interval()
    assert row[["difference", "low", "high", "pairs"]].tolist() == pytest.approx([shift, low, high, 4])
    text = trajectories.in_words(table)
    assert text.startswith("Over 4 pairs of SRResNet-S, ")
    assert word in text
    trajectories.shown(table)


def test_targets_that_share_a_baseline_count_once():
    table = trajectories.differences(ways(0.1, baselines=(0, 0, 1, 1)))
    assert set(table["pairs"]) == {2}


def test_without_snapshots_nothing_is_compared(bench):
    assert trajectories.compared(bench.models).empty
    assert "nothing to compare" in trajectories.in_words(pd.DataFrame())


def test_the_shipped_comparisons_are_complete():
    table = trajectories.compared(zoo.models_dir())
    assert set(table["path"]) == {"straight", "trajectory"}
    assert table["missed"].abs().max() < 0.05
    assert table.groupby(["network", "seed"]).size().eq(4).all()
