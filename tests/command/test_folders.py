"""Folders of images: matching, attribution that survives interruptions, and results beside the input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn

from faiglib.attribution import path_profile
from faiglib.attribution.parameter_path import faig
from faiglib.command import attribution, folders
from faiglib.command import scenes as command_scenes
from faiglib.command.scenes import Scene
from faiglib.command.sums import PARTIAL, forget
from faiglib.errors import DatasetError, FaiglibError, FilterError, ImageError, StoreError
from faiglib.images.datasets import from_folder
from faiglib.images.degradations import Degradation, noise_generator
from faiglib.images.files import center_crop
from faiglib.images.registry import registered_files
from tests.helpers.pictures import read, write

SIZES = {"a": (24, 20), "a-b": (20, 20), "c": (22, 28)}
"""Height and width. By file name a-b.png comes before a.png, by name without ending after it."""


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def matched(folder: Path) -> list[Scene]:
    return command_scenes.scenes_of(folder / "gt", {kind: folder / kind for kind in ("blur", "noise")}, 2)


@pytest.fixture
def scenes(tmp_path) -> list[Scene]:
    for number, (name, (height, width)) in enumerate(SIZES.items()):
        write(tmp_path / "gt" / f"{name}.png", height, width, 3 * number)
        write(tmp_path / "blur" / f"{name}.bmp", height // 2, width // 2, 3 * number + 1)
        write(tmp_path / "noise" / f"{name}.png", height // 2, width // 2, 3 * number + 2)
    return matched(tmp_path)


@pytest.fixture(scope="module")
def pair(make_pair, small) -> tuple[nn.Module, nn.Module]:
    return make_pair(small, dtype=torch.float32)


@pytest.fixture
def scored(monkeypatch) -> Callable[..., list[Tensor]]:
    """Record the inputs that are attributed, and break off before the one of that number."""

    def install(stop_before: int | None = None, error: type[BaseException] = KeyboardInterrupt) -> list[Tensor]:
        inputs: list[Tensor] = []

        def image_scores(path, image, *rest, **options):
            if stop_before is not None and len(inputs) == stop_before:
                raise error
            inputs.append(image)
            return genuine(path, image, *rest, **options)

        monkeypatch.setattr(attribution, "image_scores", image_scores)
        return inputs

    genuine = attribution.image_scores
    return install


def values(result) -> list[bytes]:
    return [scores.values.numpy().tobytes() for scores in result.values()]


def test_scenes_are_matched_by_name(scenes, tmp_path):
    assert scenes == [
        Scene(
            tmp_path / "gt" / f"{name}.png",
            {"blur": tmp_path / "blur" / f"{name}.bmp", "noise": tmp_path / "noise" / f"{name}.png"},
        )
        for name in ("a", "a-b", "c")
    ]


@pytest.mark.parametrize("kind", ["blur", "noise"])
@pytest.mark.parametrize(("height", "width"), [(10, 14), (11, 13), (20, 28), (14, 11)])
def test_an_input_of_another_size_is_named(scenes, tmp_path, kind, height, width):
    (tmp_path / kind / "c.bmp").unlink(missing_ok=True)
    path = write(tmp_path / kind / "c.png", height, width, 0)
    with pytest.raises(ImageError) as info:
        matched(tmp_path)
    assert str(info.value) == (
        f"image {path} has {width}x{height} pixels, which is not 1/2 of the 28x22 of {tmp_path / 'gt' / 'c.png'}"
    )


def test_an_odd_ground_truth_has_no_input(tmp_path):
    write(tmp_path / "gt" / "a.png", 21, 20, 0)
    for kind in ("blur", "noise"):
        write(tmp_path / kind / "a.png", 10, 10, 1)
    with pytest.raises(ImageError, match="which is not 1/2 of the 20x21"):
        matched(tmp_path)


def test_every_conversion_is_reported_once(scenes, tmp_path, pair, recwarn):
    for folder in ("gt", "blur"):
        height, width = SIZES["a"] if folder == "gt" else (12, 10)
        for path in (tmp_path / folder).glob("a.*"):
            path.unlink()
        Image.fromarray(np.full((height, width), 7, dtype=np.uint8)).save(tmp_path / folder / "a.png")
    found = matched(tmp_path)
    attribution.attribute(*pair, found, tmp_path / "out", nodes=1)
    messages = [str(warning.message) for warning in recwarn]
    assert sorted(messages) == [
        f"image {tmp_path / folder / 'a.png'} was converted: gray repeated to three channels"
        for folder in ("blur", "gt")
    ]


@pytest.mark.parametrize(("rule", "nodes"), [("midpoint", 3), ("left", 2), ("gauss-legendre", 2), ("trapezoid", 2)])
def test_scores_are_those_of_faig(scenes, tmp_path, pair, rule, nodes):
    found = attribution.attribute(*pair, scenes, tmp_path / "out", rule=rule, nodes=nodes)
    alone = {
        kind: faig(*pair, [(read(s.inputs[kind]), read(s.ground_truth)) for s in scenes], rule=rule, nodes=nodes)
        for kind in ("blur", "noise")
    }
    assert values(found) == values(
        {"blur": alone["blur"] - alone["noise"], "noise": alone["noise"] - alone["blur"]},
    )


def test_any_number_of_inputs_is_attributed(scenes, tmp_path, pair):
    for number, (name, (height, width)) in enumerate(SIZES.items()):
        write(tmp_path / "jpeg" / f"{name}.png", height // 2, width // 2, 100 + number)
    inputs = {kind: tmp_path / kind for kind in ("blur", "noise", "jpeg")}
    three = command_scenes.scenes_of(tmp_path / "gt", inputs, 2)
    pairs = {kind: [(read(s.inputs[kind]), read(s.ground_truth)) for s in three] for kind in inputs}
    alone = {kind: faig(*pair, pairs[kind], nodes=2).values for kind in inputs}
    mean = attribution.attribute(*pair, three, tmp_path / "mean", nodes=2)
    largest = attribution.attribute(*pair, three, tmp_path / "largest", nodes=2, minus="largest")
    for kind in inputs:
        others = [alone[other] for other in inputs if other != kind]
        assert torch.equal(mean[kind].values, alone[kind] - (others[0] + others[1]) / 2)
        assert torch.equal(largest[kind].values, alone[kind] - torch.maximum(*others))
    assert values(faig(*pair, pairs, nodes=2)) == values(mean)
    only = command_scenes.scenes_of(tmp_path / "gt", {"jpeg": inputs["jpeg"]}, 2)
    one = attribution.attribute(*pair, only, tmp_path / "one", nodes=2)
    assert torch.equal(one["jpeg"].values, alone["jpeg"]), "nothing is subtracted"


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (["jpeg"], "'jpeg' is not of the form NAME=FOLDER"),
        (["=x"], "'=x' is not of the form"),
        (["a="], "'a=' is not of the form"),
        (["../a=x"], "is not of the form"),
        (["gt=x"], "that is not gt"),
        (["a=x", "b=y", "a=z"], "a is named twice"),
    ],
)
def test_inputs_are_named_once_and_plainly(named, reason):
    with pytest.raises(FaiglibError, match=reason) as info:
        command_scenes.named_paths(named)
    assert "\n" not in str(info.value)


def test_inputs_that_are_missing_or_the_same(scenes, tmp_path):
    with pytest.raises(FaiglibError, match="no folder of inputs"):
        command_scenes.scenes_of(tmp_path / "gt", {}, 2)
    shutil.copytree(tmp_path / "noise", tmp_path / "again")
    inputs = {kind: tmp_path / kind for kind in ("blur", "noise", "again")}
    with pytest.raises(DatasetError, match="are the same, so that nothing tells noise from again"):
        command_scenes.scenes_of(tmp_path / "gt", inputs, 2)
    with pytest.raises(FilterError, match="no scores"):
        faig(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), {})


def test_the_path_is_examined_on_ground_truth_made_smaller(scenes, pair):
    found = command_scenes.profile_of(*pair, scenes, 2)
    clean = []
    for scene in scenes:
        truth = center_crop(read(scene.ground_truth), min(read(scene.ground_truth).shape[-2:]))
        clean.append((Degradation()(truth), truth))
    assert found == path_profile(*pair, clean)


@pytest.mark.parametrize("done", range(6))
def test_an_interrupted_run_goes_on_and_ends_in_the_same_bits(scenes, tmp_path, pair, scored, done):
    expected = attribution.attribute(*pair, scenes, tmp_path / "whole", nodes=2)
    scored(stop_before=done)
    with pytest.raises(KeyboardInterrupt):
        attribution.attribute(*pair, scenes, tmp_path / "out", nodes=2)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [PARTIAL]
    inputs = scored()
    assert values(attribution.attribute(*pair, scenes, tmp_path / "out", nodes=2)) == values(expected)
    assert len(inputs) == 6 - 2 * (done // 2), "finished images are not done again"


def test_a_finished_run_can_be_read_again_until_it_is_forgotten(scenes, tmp_path, pair, scored):
    inputs = scored()
    first = attribution.attribute(*pair, scenes, tmp_path, nodes=2)
    assert values(attribution.attribute(*pair, scenes, tmp_path, nodes=2)) == values(first)
    assert len(inputs) == 6
    forget(tmp_path)
    forget(tmp_path)
    assert not (tmp_path / PARTIAL).exists()


def test_sums_of_other_work_are_never_mixed_in(scenes, tmp_path, pair, scored, make_pair, small, monkeypatch):
    target, baseline = pair
    other = make_pair(small, seed=5, dtype=torch.float32)
    usual = {"rule": "midpoint", "nodes": 2}

    def run(networks=(target, baseline), images=scenes, out=tmp_path / "out", **changes):
        return attribution.attribute(*networks, images, out, **{**usual, **changes})

    def is_done_afresh(**changes):
        scored(stop_before=4)
        with pytest.raises(KeyboardInterrupt):
            run()
        inputs = scored()
        before = (tmp_path / "out" / PARTIAL).read_bytes()
        with pytest.raises(FaiglibError, match=r"2 images or crops of an unfinished run of other work .* --overwrite"):
            run(**changes)
        assert (tmp_path / "out" / PARTIAL).read_bytes() == before
        assert not inputs
        found = run(**changes, overwrite=True)
        forget(tmp_path / "out")
        assert len(inputs) == 2 * len(changes.get("images", scenes))
        assert values(found) == values(run(**changes, out=tmp_path / "afresh"))
        forget(tmp_path / "afresh")

    is_done_afresh(networks=(baseline, target))
    is_done_afresh(networks=(other[0], baseline))
    is_done_afresh(networks=(target, other[1]))
    is_done_afresh(nodes=3)
    is_done_afresh(rule="left")
    is_done_afresh(images=scenes[::-1])
    is_done_afresh(images=scenes[:2])
    scored(stop_before=4)
    with pytest.raises(KeyboardInterrupt):
        run()
    height, width = SIZES["a"]
    write(scenes[0].inputs["blur"], height // 2, width // 2, 999)
    inputs = scored()
    found = run(overwrite=True)
    assert len(inputs) == 6
    assert values(found) == values(run(out=tmp_path / "afresh"))
    scored(stop_before=4)
    forget(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.setattr(torch, "__version__", "1.0")
    inputs = scored()
    run(overwrite=True)
    assert len(inputs) == 6, "another torch may give other bits"


@pytest.mark.parametrize("content", [b"", b"nonsense", None], ids=["empty", "damaged", "another file"])
def test_sums_that_cannot_be_read_are_made_anew(scenes, tmp_path, pair, scored, content):
    expected = attribution.attribute(*pair, scenes, tmp_path / "out", nodes=2)
    if content is None:
        expected["blur"].save(tmp_path / "out" / PARTIAL)
    else:
        (tmp_path / "out" / PARTIAL).write_bytes(content)
    inputs = scored()
    assert values(attribution.attribute(*pair, scenes, tmp_path / "out", nodes=2)) == values(expected)
    assert len(inputs) == 6


def test_progress_is_on_disk_after_every_image(scenes, tmp_path, pair, scored):
    for done in range(3):
        scored(stop_before=2)
        if done < 2:
            with pytest.raises(KeyboardInterrupt):
                attribution.attribute(*pair, scenes, tmp_path, nodes=1)
        else:
            attribution.attribute(*pair, scenes, tmp_path, nodes=1)
        with safe_open(tmp_path / PARTIAL, framework="pt") as file:
            assert json.loads(file.metadata()["done"]) == done + 1


def test_a_folder_that_cannot_be_written_is_noticed_before_the_work(scenes, tmp_path, pair, scored):
    inputs = scored()
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(StoreError, match="cannot be written"):
            attribution.attribute(*pair, scenes, out, nodes=1)
    assert not inputs


def test_the_trapezoid_needs_two_nodes(scenes, tmp_path, pair):
    with pytest.raises(FaiglibError, match="at least 2 nodes"):
        attribution.attribute(*pair, scenes, tmp_path / "out", rule="trapezoid", nodes=1)
    assert not (tmp_path / "out").exists()


def test_degraded_files_hold_the_degradation_of_each_image(scenes, tmp_path):
    degradation = Degradation(blur_sigma=1.5, noise_sigma=0.1)
    assert folders.degrade(degradation, tmp_path / "gt", tmp_path / "new" / "low", seed=3) == 3
    names = [path.stem for path in from_folder(tmp_path / "gt").paths]
    assert names == ["a", "a-b", "c"]
    for number, name in enumerate(names):
        expected = degradation(read(tmp_path / "gt" / f"{name}.png"), noise_generator(3, number))
        found = read(tmp_path / "new" / "low" / f"{name}.png")
        assert found.shape[-2:] == tuple(side // 2 for side in SIZES[name])
        assert torch.equal(found, expected)


def test_the_seed_decides_the_noise(scenes, tmp_path):
    for folder, seed in (("one", 0), ("two", 0), ("three", 1)):
        folders.degrade(Degradation(noise_sigma=0.1), tmp_path / "gt", tmp_path / folder, seed)
    one, two, three = (files_of(tmp_path / folder) for folder in ("one", "two", "three"))
    assert one == two
    assert all(one[name] != three[name] for name in one)


@pytest.mark.parametrize("scale", [2, 3])
def test_restored_files_hold_the_output_of_the_network(scenes, tmp_path, small, make_pair, scale):
    network, _ = make_pair(lambda: small(scale=scale), dtype=torch.float32)
    assert folders.restore(network, tmp_path / "blur", tmp_path / "out") == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-b.png", "a.png", "c.png"]
    for name, (height, width) in SIZES.items():
        with torch.no_grad():
            expected = network(read(tmp_path / "blur" / f"{name}.bmp"))[0].permute(1, 2, 0).numpy()
        found = np.asarray(Image.open(tmp_path / "out" / f"{name}.png")).astype(float)
        assert found.shape == (height // 2 * scale, width // 2 * scale, 3)
        assert np.abs(found - np.clip(expected, 0, 1) * 255).max() < 0.501


def test_an_output_that_is_not_finite_is_refused_by_name(scenes, tmp_path, small):
    network = small()
    with torch.no_grad():
        network.layers[0].weight.mul_(float("inf"))
    with pytest.raises(ImageError) as info:
        folders.restore(network, tmp_path / "blur", tmp_path / "out")
    assert str(tmp_path / "out" / "a.png") in str(info.value)
    assert "\n" not in str(info.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("spelling", ["the same", "relative", "link"])
def test_results_never_replace_the_input(scenes, tmp_path, monkeypatch, spelling):
    before = files_of(tmp_path / "gt")
    destination = tmp_path / "gt"
    if spelling == "relative":
        monkeypatch.chdir(tmp_path / "blur")
        destination = Path("../gt")
    elif spelling == "link":
        destination = tmp_path / "link"
        destination.symlink_to(tmp_path / "gt")
    with pytest.raises(DatasetError, match="holds the input; results need another folder"):
        folders.degrade(Degradation(), tmp_path / "gt", destination)
    with pytest.raises(DatasetError, match="holds the input; results need another folder"):
        folders.restore(nn.Identity(), tmp_path / "gt", destination)
    assert files_of(tmp_path / "gt") == before


def test_two_images_with_one_result_are_refused(scenes, tmp_path):
    write(tmp_path / "gt" / "a.bmp", 24, 24, 9)
    with pytest.raises(DatasetError, match=r"holds both a\.bmp and a\.png"):
        folders.degrade(Degradation(), tmp_path / "gt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_destination_that_is_a_file_is_refused_before_anything_is_read(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "read_image", lambda path: pytest.fail("was read"))
    (tmp_path / "file").write_text("kept")
    with pytest.raises(DatasetError, match="is not a folder"):
        folders.degrade(Degradation(), tmp_path / "gt", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_naming_adds_the_file_once(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(ImageError) as info, folders.naming(path):
        raise ImageError("is too small")
    assert str(info.value) == f"{path}: is too small"
    with pytest.raises(ImageError) as info, folders.naming(path):
        raise ImageError(f"{path} is too small")
    assert str(info.value) == f"{path} is too small"


def test_presence_tells_a_sound_set_from_a_damaged_and_a_missing_one(tmp_path, monkeypatch):
    monkeypatch.delenv("FAIGLIB_DATA", raising=False)
    monkeypatch.setenv("FAIGLIB_CACHE", str(tmp_path / "cache"))
    assert folders.presence("set5") == "not here; faiglib fetch set5"
    assert folders.presence("div2k_valid") == "not here"
    assert folders.presence("skimage") == "5 images, embedded"
    files = registered_files("set5")
    for file in files:
        path = tmp_path / "data" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0" * file.bytes)
    message = folders.presence("set5", tmp_path / "data")
    assert "5 of its 5 files are missing, cannot be read or have other content" in message
    assert f"the first {files[0].path}" in message
