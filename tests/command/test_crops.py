"""Attribution on random crops until their choice is stable: FAIG of the same crops, also through interruptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE, ParameterPath, faig, image_scores
from faiglib.attribution.quadrature import moved
from faiglib.attribution.resamples import MOVED_NODES
from faiglib.command import attribution, scenes
from faiglib.command.crops import FIRST_LOOK, Until
from faiglib.command.pieces import random_crop
from faiglib.command.scenes import Scene
from faiglib.command.sums import PARTIAL
from faiglib.errors import FaiglibError
from faiglib.networks.foreign import in_unit_range
from faiglib.system.tensors import read_tensors
from tests.helpers.pictures import read, write

SIZES = {"a": (24, 20), "b": (40, 30), "c": (10, 28)}
ALWAYS, NEVER = 0.0001, 0.9999


@pytest.fixture
def found(tmp_path: Path) -> list[scenes.Scene]:
    for number, (name, (height, width)) in enumerate(SIZES.items()):
        write(tmp_path / "gt" / f"{name}.png", height, width, 3 * number)
        write(tmp_path / "blur" / f"{name}.png", height // 2, width // 2, 3 * number + 1)
        write(tmp_path / "noise" / f"{name}.png", height // 2, width // 2, 3 * number + 2)
    return scenes.scenes_of(tmp_path / "gt", {kind: tmp_path / kind for kind in ("blur", "noise")}, 2)


@pytest.fixture(scope="module")
def pair(make_pair, small):
    return make_pair(small, dtype=torch.float32)


def kept(folder: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    tensors, metadata = read_tensors(folder / PARTIAL)
    return {name: one.numpy().tobytes() for name, one in tensors.items()}, metadata


def test_a_crop_is_cut_out_of_every_file_at_one_place(found):
    seen = set()
    for number in range(60):
        piece = random_crop(found, number, 13)
        scene = next(one for one in found if set(one.inputs.values()) == set(piece.inputs))
        low = {file: read(file) for file in piece.inputs}
        height, width = next(iter(low.values())).shape[-2:]
        side = min(6, height, width)
        assert piece.ground_truth.shape[-2:] == (2 * side, 2 * side)
        truth = read(scene.ground_truth)
        places = [
            (top, left)
            for top in range(height - side + 1)
            for left in range(width - side + 1)
            if torch.equal(truth[..., 2 * top : 2 * (top + side), 2 * left : 2 * (left + side)], piece.ground_truth)
            and all(
                torch.equal(low[file][..., top : top + side, left : left + side], image)
                for file, image in piece.inputs.items()
            )
        ]
        assert len(places) == 1
        seen.add((scene.ground_truth.stem, *places[0]))
    assert {name for name, *_ in seen} == set(SIZES)
    assert len(seen) > 40


def test_a_crop_holds_a_pixel_of_the_input(found):
    with pytest.raises(FaiglibError, match=r"a crop of 1 pixels holds no pixel .* larger --crop"):
        random_crop(found, 0, 1)


def test_looks_grow_with_the_crops_and_end_with_the_most():
    looks = Until(0.9, 64, 1000).looks()
    assert looks[:4] == [FIRST_LOOK, FIRST_LOOK + 5, FIRST_LOOK + 10, FIRST_LOOK + 15]
    assert looks[-1] == 1000
    steps = np.diff(looks[:-1])
    assert (steps >= 5).all()
    assert (steps <= 0.1 * np.array(looks[:-2]) + 5).all()
    assert Until(0.9, 64, FIRST_LOOK).looks() == [FIRST_LOOK]


def test_scores_are_those_of_faig_on_the_same_crops(found, pair, tmp_path):
    said: list[str] = []
    how = {"rule": "midpoint", "nodes": 2}
    result = attribution.attribute(*pair, found, tmp_path / "out", until=Until(ALWAYS, 12, 100), say=said.append, **how)
    crops = [random_crop(found, number, 12) for number in range(FIRST_LOOK)]
    alone = {
        kind: faig(*pair, [([*one.inputs.values()][place], one.ground_truth) for one in crops], **how)
        for place, kind in enumerate(("blur", "noise"))
    }
    torch.testing.assert_close(result["blur"].values, (alone["blur"] - alone["noise"]).values, rtol=1e-9, atol=1e-12)
    assert said[0].startswith(f"After {FIRST_LOOK} crops of 12 pixels their resamples agree in ")


@pytest.mark.parametrize("nodes", [None, 2])
def test_without_a_rule_nodes_move_from_crop_to_crop(found, pair, tmp_path, nodes):
    result = attribution.attribute(*pair, found, tmp_path / "out", nodes=nodes, until=Until(ALWAYS, 12, 100))
    path = ParameterPath(*pair)
    alone = {"blur": 0.0, "noise": 0.0}
    for number in range(FIRST_LOOK):
        piece = random_crop(found, number, 12)
        for kind, image in zip(alone, piece.inputs.values(), strict=True):
            alone[kind] += image_scores(path, image, piece.ground_truth, moved(nodes or MOVED_NODES, number))
    expected = (alone["blur"] - alone["noise"]) / FIRST_LOOK
    torch.testing.assert_close(result["blur"].values, expected, rtol=1e-9, atol=1e-12)


def test_moved_nodes_are_another_rule(found, pair, tmp_path):
    with pytest.raises(FaiglibError, match="After 20 crops"):
        attribution.attribute(*pair, found, tmp_path, nodes=2, until=Until(NEVER, 12, 20))
    for other in ({"nodes": 3}, {"nodes": 2, "rule": "midpoint"}):
        with pytest.raises(FaiglibError, match="unfinished"):
            attribution.attribute(*pair, found, tmp_path, until=Until(NEVER, 12, 20), **other)


def test_the_default_rule_is_the_same_work_as_its_name(found, pair, tmp_path, monkeypatch):
    taken: list[int] = []
    genuine = attribution._values
    monkeypatch.setattr(attribution, "_values", lambda *given: taken.append(1) or genuine(*given))
    first = attribution.attribute(*pair, found, tmp_path)
    again = attribution.attribute(*pair, found, tmp_path, rule=DEFAULT_RULE, nodes=DEFAULT_NODES)
    assert len(taken) == len(found)
    assert torch.equal(first["blur"].values, again["blur"].values)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"nodes": 0}, "an integral needs at least 1 node, not 0"),
        ({"nodes": 0, "until": Until(ALWAYS, 12, 100)}, "an integral needs at least 1 node, not 0"),
        ({"nodes": -1, "rule": "left"}, "the left rule needs at least 1 node, not -1"),
        ({"nodes": 0, "rule": "trapezoid"}, "the trapezoid rule needs at least 2 nodes, not 0"),
        ({"nodes": 1, "rule": "trapezoid"}, "the trapezoid rule needs at least 2 nodes, not 1"),
    ],
)
def test_too_few_nodes_are_a_sentence(found, pair, tmp_path, how, words):
    with pytest.raises(FaiglibError, match=words):
        attribution.attribute(*pair, found, tmp_path, **how)


def test_more_crops_are_taken_until_they_agree(found, make_pair, small, tmp_path):
    pair = make_pair(lambda: small(kernels=(3, 3, 3), width=24), dtype=torch.float32)
    said: list[str] = []

    def crops(agreement: float) -> int:
        out = tmp_path / str(agreement)
        attribution.attribute(*pair, found, out, nodes=1, until=Until(agreement, 12, 200), say=said.append)
        told = said[-3].split()
        assert float(told[10].rstrip("%")) >= 100 * agreement
        return int(told[1])

    assert FIRST_LOOK == crops(ALWAYS) < crops(0.8)


def test_too_few_crops_are_a_sentence_and_a_larger_number_goes_on(found, pair, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    with pytest.raises(FaiglibError):
        attribution.attribute(*pair, found, whole, nodes=1, until=Until(NEVER, 12, 37))
    taken: list[int] = []
    genuine = attribution._values
    monkeypatch.setattr(attribution, "_values", lambda *given: taken.append(1) or genuine(*given))
    out = tmp_path / "out"
    with pytest.raises(
        FaiglibError, match=r"After 30 crops .* agree in [\d.]+% .*, not in 99\.99%; with a larger --most than 30"
    ):
        attribution.attribute(*pair, found, out, nodes=1, until=Until(NEVER, 12, 30))
    assert len(taken) == 30
    assert (out / PARTIAL).exists()
    assert not list(out.glob("*.csv"))
    with pytest.raises(FaiglibError, match="After 37 crops"):
        attribution.attribute(*pair, found, out, nodes=1, until=Until(NEVER, 12, 37))
    assert len(taken) == 37
    assert kept(out) == kept(whole)
    attribution.attribute(*pair, found, out, nodes=1, until=Until(ALWAYS, 12, 37))
    assert len(taken) == 37, "a smaller share is reached by what is there"
    with pytest.raises(FaiglibError, match=r"After 37 crops .*; with a larger --most than 37 it goes on"):
        attribution.attribute(*pair, found, out, nodes=1, until=Until(NEVER, 12, 20))
    assert len(taken) == 37


@pytest.mark.parametrize("done", [0, 7, 19, 20, 23, 26])
def test_an_interrupted_run_ends_in_the_same_bits(found, pair, tmp_path, monkeypatch, done):
    until = Until(NEVER, 12, 30)
    for place in ("whole", "out"):
        taken: list[int] = []
        genuine = attribution._values

        def values_or_stop(*given, taken=taken, stops=place == "out", genuine=genuine):
            if stops and len(taken) == done:
                raise KeyboardInterrupt
            taken.append(1)
            return genuine(*given)

        with monkeypatch.context() as patch:
            patch.setattr(attribution, "_values", values_or_stop)
            with pytest.raises(KeyboardInterrupt if place == "out" else FaiglibError):
                attribution.attribute(*pair, found, tmp_path / place, nodes=1, until=until)
    assert kept(tmp_path / "out")[1]["done"] == str(done), "nothing that was done is lost"
    with pytest.raises(FaiglibError, match="After 30 crops"):
        attribution.attribute(*pair, found, tmp_path / "out", nodes=1, until=until)
    assert kept(tmp_path / "out") == kept(tmp_path / "whole")


def test_crops_of_another_size_and_whole_images_are_other_work(found, pair, tmp_path):
    with pytest.raises(FaiglibError, match="After 30 crops"):
        attribution.attribute(*pair, found, tmp_path, nodes=1, until=Until(NEVER, 12, 30))
    before = kept(tmp_path)
    for until in (None, Until(NEVER, 10, 30)):
        with pytest.raises(FaiglibError, match="unfinished run of other work"):
            attribution.attribute(*pair, found, tmp_path, nodes=1, until=until)
    assert kept(tmp_path) == before


@pytest.mark.parametrize("kinds", [("blur", "noise"), ("blur",), ("noise", "other")])
@pytest.mark.parametrize("until", [None, Until(NEVER, 12, 20)])
def test_sums_of_whole_images_are_kept_from_other_inputs_and_from_crops(found, pair, tmp_path, kinds, until):
    whole = attribution.attribute(*pair, found, tmp_path / "out", nodes=1)
    before = kept(tmp_path / "out")
    assert list(whole) == ["blur", "noise"]
    others = [Scene(one.ground_truth, dict(zip(kinds, one.inputs.values(), strict=False))) for one in found]
    if until is None and kinds == ("blur", "noise"):
        attribution.attribute(*pair, others, tmp_path / "out", nodes=1)  # the same work, which is done
    else:
        with pytest.raises(FaiglibError, match="unfinished run of other work"):
            attribution.attribute(*pair, others, tmp_path / "out", nodes=1, until=until)
    assert kept(tmp_path / "out") == before


def test_another_range_of_values_is_other_work(found, make_pair, small, tmp_path):
    pair = make_pair(small, dtype=torch.float32)
    attribution.attribute(*pair, found, tmp_path, nodes=1)
    for network in pair:
        in_unit_range(network, 255)
    with pytest.raises(FaiglibError, match="unfinished run of other work"):
        attribution.attribute(*pair, found, tmp_path, nodes=1)


def test_what_is_subtracted_decides_on_the_agreement(found, make_pair, small, tmp_path):
    """Three inputs: the mean of the two others, or the larger of them."""
    pair = make_pair(lambda: small(kernels=(3, 3, 3), width=24), dtype=torch.float32)
    three = []
    for number, one in enumerate(found):
        height, width = read(one.inputs["blur"]).shape[-2:]
        third = write(tmp_path / "third" / f"{one.ground_truth.stem}.png", height, width, 100 + number)
        three.append(Scene(one.ground_truth, one.inputs | {"third": third}))
    said: dict[str, list[str]] = {"mean": [], "largest": []}
    for minus, words in said.items():
        until = Until(ALWAYS, 12, 20)
        attribution.attribute(*pair, three, tmp_path / minus, nodes=1, until=until, minus=minus, say=words.append)
    assert said["mean"][0] != said["largest"][0]
