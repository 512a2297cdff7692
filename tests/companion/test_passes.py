"""The study of where gradients are spent: rules against FAIG itself, crops against the images, fits in closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from faiglib.attribution.parameter_path import ParameterPath, image_scores
from faiglib.companion.discovery import KINDS
from faiglib.companion.speed import passes, recorded
from faiglib.companion.speed.passes import Study
from faiglib.errors import StoreError
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.images.degradations import FUNCTIONS

STUDY = Study(images=1, side=24, nodes=2, crops=((12, 4),), sizes=(1, 2, 5), fixed=(1, 3), shifted=(1, 2, 6), draws=3)


@pytest.fixture
def few(bench, monkeypatch):
    """The workbench with three photographs, small ones."""
    whole = type(bench).samples
    monkeypatch.setattr(type(bench), "samples", lambda self, name, _limit, _crop: whole(self, name, 3, 48))
    return bench


def test_rules_share_gradients_and_say_what_each_says_alone(make_pair, small, random_pairs):
    target, baseline = make_pair(small)
    path = ParameterPath(target, baseline)
    ((low, truth),) = random_pairs()
    rules = list(passes.schemes(STUDY, 3, 0).values())
    alone = torch.stack([image_scores(path, low, truth, rule) for rule in rules])
    found = passes.scores_by_rule(path, low, truth, rules)
    torch.testing.assert_close(found, alone, rtol=1e-9, atol=0)


def test_shifted_rules_are_equidistant_parts_of_the_largest_and_differ_from_crop_to_crop():
    seen = []
    for crop in range(20):
        rules = passes.schemes(STUDY, crop, 0)
        most = set(rules["shifted", 6].nodes)
        for nodes in STUDY.shifted:
            rule = rules["shifted", nodes]
            assert set(rule.nodes) <= most
            assert np.allclose(np.diff(rule.nodes), 1 / nodes)
            assert 0 <= rule.nodes[0] < 1 / nodes
            assert sum(rule.weights) == pytest.approx(1)
        seen.append(rules["shifted", 1].nodes[0])
        assert rules["fixed", 3].nodes == pytest.approx((1 / 6, 1 / 2, 5 / 6))
    assert len(set(seen)) == 20
    assert min(seen) < 0.25
    assert max(seen) > 0.75


def test_crops_are_parts_of_images_in_all_degradations(few):
    samples = few.samples("skimage", None, None)
    for crop in passes.random_crops(samples, 12, 12, seed=3):
        (image,) = (one for one in samples if one.name == crop.name)
        places = [
            (top, left, mirrored)
            for top in range(0, 37, passes.SCALE)
            for left in range(0, 37, passes.SCALE)
            for mirrored in (False, True)
            for part in (image.ground_truth[..., top : top + 12, left : left + 12],)
            if torch.equal(part.flip(-1) if mirrored else part, crop.ground_truth)
        ]
        ((top, left, mirrored),) = places
        for kind in KINDS:
            part = image.inputs[kind][..., top // 2 : top // 2 + 6, left // 2 : left // 2 + 6]
            assert torch.equal(part.flip(-1) if mirrored else part, crop.inputs[kind])


def test_half_of_the_crops_are_mirrored_and_an_image_of_their_size_gives_one(few):
    image = passes.centre(few.samples("skimage", None, None)[0], 12)
    drawn = [crop.ground_truth for crop in passes.random_crops([image], 12, 40, seed=0)]
    straight = sum(torch.equal(one, image.ground_truth) for one in drawn)
    mirrored = sum(torch.equal(one, image.ground_truth.flip(-1)) for one in drawn)
    assert straight + mirrored == 40
    assert 8 <= mirrored <= 32


def test_as_many_images_as_the_paper_has_stand_for_its_budget(make_pair, small):
    path = ParameterPath(*make_pair(lambda: small(width=40)))
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(20, len(KINDS), path.index.total, generator=generator, dtype=torch.float64)
    held = passes.by_function(path, scores.mean(0))
    draw = torch.Generator().manual_seed(7)
    groups = [scores[torch.randperm(20, generator=draw)[:14]].mean(0) for _ in range(STUDY.draws)]
    expected = {
        name: np.mean([passes.by_function(path, one)[name].top(1).overlap(held[name].top(1)) for one in groups])
        for name in held
    }
    assert passes._of_images(path, scores, held, STUDY, 7) == pytest.approx(expected)


def test_crops_of_other_seeds_and_sizes_are_others(few):
    samples = few.samples("skimage", None, None)

    def drawn(side, seed):
        return [crop.ground_truth.mean().item() for crop in passes.random_crops(samples, side, 3, seed)]

    assert drawn(12, 0) == drawn(12, 0)
    assert drawn(12, 0) != drawn(12, 1)


def test_the_halves_share_no_image_and_crops_come_from_outside_the_reference(few):
    first, second, outside = (
        {one.name for one in part} for part in passes.halves(few, dataclasses.replace(STUDY, images=5))
    )
    assert len(first) == len(second) == 1
    assert not first & second
    assert second <= outside
    assert outside == {one.name for one in few.samples("skimage", None, None)} - first


def test_a_row_is_what_faig_of_its_crops_gives(few):
    pair = few.pair("srresnet", 0)
    found = passes.measure(few, pair, STUDY)
    first, _, outside = passes.halves(few, STUDY)
    path = ParameterPath(pair.target, pair.baseline)
    crops = list(passes.random_crops(outside, 12, 4, few.seed))

    def held(samples, rules):
        index = FilterIndex.of(pair.target)
        mean = {
            kind: torch.stack(
                [
                    image_scores(path, one.inputs[kind], one.ground_truth, rule)
                    for one, rule in zip(samples, rules, strict=True)
                ]
            ).mean(0)
            for kind in KINDS
        }
        return {name: FilterScores(index, mean[own] - mean[other]) for name, (own, other) in FUNCTIONS.items()}

    middle = [passes.centre(one, 24) for one in first]
    reference = held(middle, [passes.quadrature("gauss-legendre", 2)] * len(middle))
    rules = [passes.schemes(STUDY, number, few.seed)["shifted", 2] for number in range(4)]
    groups = [held(crops[start : start + 2], rules[start : start + 2]) for start in (0, 2)]
    table = found.table.set_index(["filters", "side", "rule", "nodes", "crops"])
    assert set(table.index.get_level_values("crops")) == {1, 2}
    for function in FUNCTIONS:
        row = table.loc[function, 12, "shifted", 2, 2]
        assert row["groups"] == 2
        tops = [set(one[function].top(1).ids.tolist()) for one in groups]
        wanted = set(reference[function].top(1).ids.tolist())
        shares = [len(top & wanted) / len(wanted) for top in tops]
        assert row["overlap"] == pytest.approx(np.mean(shares))
        wanted, found_here = reference[function].values.numpy(), [one[function].values.numpy() for one in groups]
        cosines = [one @ wanted / (np.linalg.norm(one) * np.linalg.norm(wanted)) for one in found_here]
        assert row["missed"] == pytest.approx(1 - np.mean(np.square(cosines)), rel=1e-4)
    assert set(found.ceiling) == set(found.whole) == set(FUNCTIONS)
    assert found.whole == found.ceiling  # of one image, one image is all


def test_the_published_program_differentiates_whole_images(few):
    sides = [image.shape[-2] * image.shape[-1] for _, image in few.image_set("skimage").load()]
    assert passes.published_pixels(few) == 100 * sum(sides[:14])


def table(bias: float, variance: float, **named: object) -> pd.DataFrame:
    rows = [named | {"crops": crops, "missed": bias + variance / crops} for crops in (5, 10, 20, 40)]
    return pd.DataFrame(rows).assign(network="srresnet", filters="deblurring")


def test_bias_and_variance_are_found_again():
    measured = pd.concat(
        [
            table(0.1, 2.0, rule="fixed", nodes=1, side=32),
            table(0.0, 0.5, rule="fixed", nodes=4, side=32),
        ]
    )
    found = recorded.fitted(measured).set_index("nodes")
    assert found["bias"].to_dict() == pytest.approx({1: 0.1, 4: 0.0}, abs=1e-9)
    assert found["variance"].to_dict() == pytest.approx({1: 2.0, 4: 0.5})
    assert recorded.misfit(measured) == pytest.approx(0, abs=1e-9)
    wrong = [table(0.1, 0.0, rule=rule, nodes=1, side=32) for rule in ("fixed", "shifted")]
    wrong[1]["missed"] *= np.array([0.5, 1.5, 0.5, 1.5])
    bias = recorded.fitted(wrong[1]).iloc[0]
    expected = np.abs(1 - (bias["bias"] + bias["variance"] / wrong[1]["crops"]) / wrong[1]["missed"])
    assert recorded.misfit(wrong[1]) == pytest.approx(np.median(expected))
    assert recorded.misfit(wrong[1]) > 0.2


def test_the_fit_weighs_relative_residuals():
    measured = table(0.1, 2.0, rule="fixed", nodes=1, side=32)
    measured.loc[measured["crops"] == 5, "missed"] *= 1.5
    found = spent_at(measured)
    wanted, terms = measured["missed"].to_numpy(), np.stack([np.ones(4), 1 / measured["crops"].to_numpy()], axis=1)
    bias, variance = np.linalg.lstsq(terms / wanted[:, None], np.ones(4), rcond=None)[0]
    assert found["bias"] == pytest.approx(bias)
    assert found["variance"] == pytest.approx(variance)
    absolute = np.linalg.lstsq(terms, wanted, rcond=None)[0]
    assert found["variance"] != pytest.approx(absolute[1], rel=0.05)


def spent_at(measured: pd.DataFrame) -> pd.Series:
    return recorded.fitted(measured).iloc[0]


@pytest.fixture
def written(few, tmp_path):
    """A pair's studies, the second of more crops, and where they are recorded."""
    pair = few.pair("srresnet", 0)
    studies = [STUDY, dataclasses.replace(STUDY, crops=((12, 9),), sizes=(9,), fixed=(), shifted=(2,))]
    found = [passes.measure(few, pair, study) for study in studies]
    for folder, study, measured in zip(passes.STUDIES, studies, found, strict=True):
        recorded.write(few, study, {pair: measured}, 1000, tmp_path / folder)
    return found, tmp_path


def test_the_record_is_read_as_it_was_written(written):
    found, where = written
    read = recorded.load(where)
    overlaps = pd.concat([one.table["overlap"] for one in found])
    assert read.table["overlap"].to_numpy() == pytest.approx(overlaps.to_numpy(), rel=1e-4)
    assert read.table.iloc[-1]["crops"] == 9
    assert read.table.iloc[-1]["cost"] == 9 * 2 * 12**2 / 1000
    assert read.facts.ceiling == {"srresnet": found[0].ceiling}
    assert all(one.ceiling == found[0].ceiling for one in found)


@pytest.mark.parametrize("folder", passes.STUDIES)
def test_a_record_that_cannot_be_read_is_one_sentence(written, folder):
    _, where = written
    path = where / folder / "passes.csv"
    path.write_text(path.read_text().replace("shifted", "shifted,1", 1))
    with pytest.raises(StoreError, match=r"passes\.csv cannot be read"):
        recorded.load(where)
    path.unlink()
    with pytest.raises(StoreError, match="nox -s passes makes it"):
        recorded.load(where)


@pytest.mark.parametrize("change", ['"published_pixels": 1000,', '"side": 24,', '"deblurring": 0.', '"draws": '])
def test_records_that_were_held_against_different_references_are_refused(written, change):
    _, where = written
    path = where / "hundredth" / "passes.json"
    text = path.read_text()
    assert change in text
    path.write_text(text.replace(change, change.replace(",", "0,") if "," in change else f"{change}1"))
    with pytest.raises(StoreError, match="hundredth were held against different references"):
        recorded.load(where)
