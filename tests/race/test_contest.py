"""The race: equal budgets, what is measured, and that an interruption changes nothing."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio
from torch import nn

from faiglib.command import main
from faiglib.errors import FaiglibError, TrainingError
from faiglib.images import datasets
from faiglib.images.blind_degradations import GAUSSIAN8, degrade
from faiglib.networks import build
from faiglib.networks.cost import macs, parameters
from faiglib.race import contest as race_contest
from faiglib.race import presets
from faiglib.race import record as race_record
from faiglib.race.contest import TestImages
from faiglib.race.presets import CONTESTS, PRESETS, Entrant
from faiglib.system.tensors import load_weights
from faiglib.training.fabric import fabric_on

TINY = dataclasses.replace(
    PRESETS["quick"],
    entrants=(
        Entrant("dan", "DAN", "dan", {"features": 32, "blocks": 1, "loops": 2}),
        Entrant("dasr", "DASR", "dasr", {"features": 8, "groups": 1, "blocks": 1}),
        Entrant("one_dan", "SRResNet", "srresnet", {"features": 8, "blocks": 1}),
    ),
    seeds=(0, 3),
    iterations=4,
    encoder_iterations=3,
    batch=2,
    patch=16,
    queue=4,
    images=2,
    crop=24,
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("race") / "photos"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (36, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return datasets.from_folder(folder)


def run(photos, folder, preset=TINY):
    fabric = fabric_on(torch.device("cpu"), precision=preset.precision)
    race_contest.run(preset, photos, photos, folder / "runs", folder / "record", fabric, progress=False)
    return folder / "record"


@pytest.fixture(scope="module")
def undisturbed(photos, tmp_path_factory):
    return run(photos, tmp_path_factory.mktemp("undisturbed"))


def test_the_networks_are_those_of_equal_budget():
    size = {one.key: parameters(build(one.network, scale=4, **one.options)) for one in PRESETS["cpu"].entrants}
    assert (size["dan"], size["one_dan"], size["dasr"]) == (442_098, 436_419, 779_163)
    cost = {
        one.key: macs(build(one.network, scale=4, **one.options), (1, 3, 24, 24)) for one in PRESETS["cpu"].entrants
    }
    assert cost["one_dasr"] == pytest.approx(cost["dasr"], rel=0.06)
    assert cost["one_dan"] < cost["dan"]
    for contest in CONTESTS.values():
        one, half = (PRESETS["cpu"].entrant(key).options for key in (contest.one, contest.half))
        assert one["blocks"] // 2 == half["blocks"]
    full = {one.key: parameters(build(one.network, scale=4, **one.options)) for one in PRESETS["full"].entrants}
    assert (full["dan"], full["one_dan"], full["one_dasr"]) == (4_329_511, 4_324_099, 2_329_987)


@pytest.mark.parametrize("name", list(PRESETS))
def test_all_networks_are_trained_alike(name):
    preset = presets.get(name)
    assert {key for contest in CONTESTS.values() for key in vars(contest).values()} == {
        one.key for one in preset.entrants
    }
    recipes = [preset.recipe(one, 1) for one in preset.entrants]
    assert len({repr(dataclasses.replace(one, network="dan", options={})) for one in recipes}) == 1
    encoder = preset.recipe(preset.entrant("dasr"), 1, "encoder")
    assert (encoder.seed, encoder.iterations, encoder.batch) == (1, preset.encoder_iterations, preset.batch)
    with pytest.raises(FaiglibError, match="unknown race 'slow'; known: cpu, full, quick"):
        presets.get("slow")


def test_measured_is_what_scikit_image_measures(photos):
    class Bilinear(nn.Module):
        def forward(self, x):
            return nn.functional.interpolate(x, scale_factor=4.0, mode="bilinear")

    images = TestImages.of(photos, 2, 24)
    rows = race_contest.measure(Bilinear(), images, torch.device("cpu"))
    assert len(rows) == 2 * 9
    assert [row["width"] for row in rows[::2]] == [1.2, *GAUSSIAN8]
    for row in rows:
        image = next(i for name, i in photos.load(2, 24) if name == row["image"])
        restored = (Bilinear()(degrade(image, row["width"])).clamp(0, 1) * 255).round()
        first, second = (t[0].permute(1, 2, 0).numpy()[4:-4, 4:-4] for t in (image * 255, restored))
        assert row["rgb"] == pytest.approx(peak_signal_noise_ratio(first, second, data_range=255), abs=1e-3)
        first, second = (rgb2ycbcr(values / 255)[..., 0] for values in (first, second))
        assert row["y"] == pytest.approx(peak_signal_noise_ratio(first, second, data_range=255), abs=1e-3)


def test_the_record(undisturbed, photos):
    rows = race_record.read_csv(undisturbed / "psnr.csv")
    assert len(rows) == 3 * 2 * 2 * 9
    assert {(row["entrant"], row["seed"]) for row in rows} == {(e.key, s) for e in TINY.entrants for s in (0, 3)}
    curves = race_record.read_csv(undisturbed / "curves.csv")
    assert [r["step"] for r in curves if r["entrant"] == "dasr" and r["seed"] == 0 and r["phase"] == "encoder"] == [
        1,
        2,
        3,
    ]
    assert all(("psnr_blurry" in row) == (row["phase"] == "restoration") for row in curves)
    described = json.loads((undisturbed / "race.json").read_text())
    assert described["complete"] is True
    assert described["training_set"] == ["photos", photos.digest, 3]
    assert set(described["seconds"]) == {
        *(f"{e.key}-seed{s}-restoration" for e in TINY.entrants for s in (0, 3)),
        *(f"dasr-seed{s}-encoder" for s in (0, 3)),
    }


def test_recorded_weights_give_the_recorded_numbers(undisturbed, photos):
    images = TestImages.of(photos, 2, 24)
    rows = race_record.read_csv(undisturbed / "psnr.csv")
    for entrant in TINY.entrants:
        network = race_contest.restored_network(
            entrant, load_weights(undisturbed / "weights" / f"{entrant.key}.safetensors")
        )
        again = race_contest.measure(network, images, torch.device("cpu"))
        recorded = [row for row in rows if row["entrant"] == entrant.key and row["seed"] == 0]
        assert [{**row, "entrant": entrant.key, "seed": 0} for row in again] == recorded


def test_an_interrupted_race_ends_with_the_same_record(undisturbed, photos, tmp_path, monkeypatch):
    """Interrupted once in a training and once while a network is measured."""
    for name, number in (("train", 3), ("measure", 4)):
        original, calls = getattr(race_contest, name), []

        def stopping(*arguments, original=original, calls=calls, number=number, **options):
            calls.append(1)
            if len(calls) == number:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(race_contest, name, stopping)
            with pytest.raises(KeyboardInterrupt):
                run(photos, tmp_path)
        assert json.loads((tmp_path / "record" / "race.json").read_text())["complete"] is False
    record = run(photos, tmp_path)
    assert (record / "psnr.csv").read_bytes() == (undisturbed / "psnr.csv").read_bytes()
    for path in (undisturbed / "weights").iterdir():
        assert (record / "weights" / path.name).read_bytes() == path.read_bytes()


def test_a_finished_race_is_read_not_repeated(photos, tmp_path, monkeypatch):
    record = run(photos, tmp_path)
    before = (record / "psnr.csv").read_bytes()
    monkeypatch.setattr(race_contest, "measure", None)
    run(photos, tmp_path)
    assert (record / "psnr.csv").read_bytes() == before
    with pytest.raises(TrainingError, match="belongs to a run with another recipe"):
        run(photos, tmp_path, dataclasses.replace(TINY, iterations=5))


def test_other_test_images_are_measured_anew(photos, tmp_path):
    first = (run(photos, tmp_path) / "psnr.csv").read_text()
    second = (run(photos, tmp_path, dataclasses.replace(TINY, images=1)) / "psnr.csv").read_text()
    assert len(second.splitlines()) == 1 + 3 * 2 * 9 < len(first.splitlines())


def test_the_command(photos, tmp_path, monkeypatch, capsys, undisturbed):
    monkeypatch.setitem(presets.PRESETS, "quick", TINY)
    folder = photos.paths[0].parent
    arguments = ["race", "--preset", "quick", "--data", folder, "--test", folder, "--device", "cpu"]
    arguments += ["--out", tmp_path / "runs", "--record", tmp_path / "record"]
    main.main([str(argument) for argument in arguments])
    assert capsys.readouterr().out == f"The record of the race is in {tmp_path / 'record'}.\n"
    assert (tmp_path / "record" / "psnr.csv").read_bytes() == (undisturbed / "psnr.csv").read_bytes()


def test_a_damaged_record_is_named(tmp_path):
    path = tmp_path / "psnr.csv"
    path.write_text("seed,rgb\none,2\n")
    with pytest.raises(FaiglibError, match=f"the record {path} of the race cannot be read"):
        race_record.read_csv(path)
