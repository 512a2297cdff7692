"""Training runs in folders: their description, going on, and their way into the models.

One process runs this file (see tests/conftest.py): most tests start from one training.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

import faiglib
from faiglib.errors import NetworkError, StoreError, TrainingError, WeightsError
from faiglib.images.datasets import ImageSet, from_folder
from faiglib.images.degradations import INPUTS, noise_generator
from faiglib.networks import build, zoo
from faiglib.system import provenance
from faiglib.system.files import sha256_file
from faiglib.system.tensors import load_weights, save_weights
from faiglib.training import checkpoint, milestones, publishing, runs, trainer
from faiglib.training import recipe as training_recipe
from faiglib.training.milestones import Milestone
from faiglib.training.publishing import measured_psnr, publish, rounding
from faiglib.training.recipe import Recipe
from faiglib.training.runs import plan_of, plans_of, run, with_overrides
from faiglib.training.validation import JUDGED, validation_crops

RECIPE = Recipe("srresnet_s", "baseline", seed=3, iterations=4, batch=1, patch=16, peak_lr=1e-4)


def write_images(folder: Path, count: int = 2, side: int = 24) -> ImageSet:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side + 12 * number, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return from_folder(folder)


def files_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> ImageSet:
    return write_images(tmp_path_factory.mktemp("data") / "mine")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, images) -> Path:
    """The folder of a baseline, and beside it of a target trained from it."""
    folder = tmp_path_factory.mktemp("runs")
    weights = run(RECIPE, images, folder / "srresnet_s-baseline-seed3", progress=False)
    target = with_overrides(RECIPE, role="target")
    run(target, images, folder / "srresnet_s-target-seed3", initial=weights, progress=False)
    return folder


@pytest.fixture
def copied(trained, tmp_path) -> Path:
    """A copy of the baseline's folder that a test may damage."""
    return Path(shutil.copytree(trained / "srresnet_s-baseline-seed3", tmp_path / "copied"))


@pytest.mark.parametrize("network", ["srresnet", "srcnn_style"])
@pytest.mark.parametrize("role", ["baseline", "target", "target_jpeg"])
@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_profiles_without_a_manifest_plan_both_ends_of_the_path(profile, network, role):
    plan = plan_of(profile, network, role, 7)
    recipe = plan.recipe
    assert (recipe.network, recipe.role, recipe.seed, recipe.scale) == (network, role, 7, 2)
    assert plan.name == f"{network}-{role}-seed7"
    assert plan.parent == (None if role == "baseline" else f"{network}-baseline-seed7")
    if profile == "paper":
        assert recipe.iterations == (1_000_000 if role == "baseline" else 100_000)
    else:
        assert recipe.iterations <= 20


@pytest.fixture
def manifest(tmp_path) -> Path:
    """A folder of models in which the targets of seeds 0 and 1 share the baseline of seed 0."""
    folder = tmp_path / "models"
    for number, (role, seed) in enumerate([("baseline", 0), ("target", 0), ("target", 1)]):
        recipe = Recipe("srresnet", role, seed, iterations=10 + number, batch=2, patch=16)
        parent = None if role == "baseline" else "srresnet-baseline-seed0.safetensors"
        zoo.add(
            folder,
            build("srresnet", seed=0).state_dict(),
            {
                "network": "srresnet",
                "role": role,
                "seed": seed,
                "parent": parent,
                "recipe": asdict(recipe),
                "precision": "bf16-mixed",
                "data": "set5",
                "data_digest": "abc",
                "made_on": {},
                "seconds": 1.0,
                "psnr": {},
            },
        )
    return folder


def test_the_standard_profile_repeats_the_manifest(manifest):
    for entry in zoo.entries(manifest):
        plan = plan_of("standard", "srresnet", entry.role, entry.seed, manifest)
        assert asdict(plan.recipe) == entry.recipe
        assert (plan.data, plan.data_digest, plan.precision) == ("set5", "abc", "bf16-mixed")
        assert plan.name == Path(entry.file).stem
    first, second = plans_of("standard", "srresnet", (), 1, manifest)
    assert (first.name, second.name) == ("srresnet-baseline-seed0", "srresnet-target-seed1")
    assert second.parent == first.name
    assert [plan.name for plan in plans_of("standard", "srresnet", ["target"], 1, manifest)] == [second.name]


def test_a_seed_that_the_manifest_lacks_gets_the_first_ones_recipe(manifest):
    plan = plan_of("standard", "srresnet", "target", 5, manifest)
    assert plan.recipe == Recipe("srresnet", "target", 5, iterations=11, batch=2, patch=16)
    assert plan.parent == "srresnet-baseline-seed5"
    assert [one.recipe.seed for one in plans_of("standard", "srresnet", (), 5, manifest)] == [5, 5]


def test_a_target_without_a_parent_is_trained_alone(manifest):
    path = manifest / zoo.MANIFEST
    path.write_text(path.read_text().replace('"parent": "srresnet-baseline-seed0.safetensors"', '"parent": null'))
    assert plans_of("standard", "srresnet", (), 1, manifest) == [plan_of("standard", "srresnet", "target", 1, manifest)]


@pytest.mark.parametrize("parent", ["mybase", "other-baseline-seed1", "srresnet-baseline-seedx", "x-seed1"])
def test_a_target_of_no_seeds_baseline_is_trained_from_a_file(manifest, parent):
    path = manifest / zoo.MANIFEST
    path.write_text(path.read_text().replace("srresnet-baseline-seed0.safetensors", f"{parent}.safetensors"))
    with pytest.raises(TrainingError) as info:
        plans_of("standard", "srresnet", (), 1, manifest)
    assert f"srresnet-target-seed1 was trained from {parent}.safetensors" in str(info.value)
    assert "--role target --initial FILE" in str(info.value)
    assert "\n" not in str(info.value)
    assert [plan.parent for plan in plans_of("standard", "srresnet", ["target"], 1, manifest)] == [parent]


def test_the_shipped_manifest_can_be_repeated():
    folder = zoo.models_dir()
    for network, seed in zoo.pairs_available(folder):
        entries = zoo.pair_entries(folder, network, seed)
        plans = plans_of("standard", network, (), seed)
        assert [asdict(plan.recipe) for plan in plans] == [entries[role].recipe for role in ("baseline", "target")]


def test_an_incomplete_recipe_is_one_sentence(manifest):
    path = manifest / zoo.MANIFEST
    path.write_text(path.read_text().replace('"ema"', '"speed"'))
    with pytest.raises(WeightsError, match=r"recipe of srresnet-target-seed1\.safetensors is none: "):
        plan_of("standard", "srresnet", "target", 1, manifest)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("large", "srresnet", "target", 0), TrainingError),
        (("quick", "srresnet", "sharpening", 0), TrainingError),
        (("standard", "srresnet", "deblurring", 0), TrainingError),
        (("paper", "srresnet", "denoising", 0), TrainingError),
        (("quick", "resnet50", "target", 0), NetworkError),
    ],
)
def test_unknown_recipes_are_refused(arguments, error):
    with pytest.raises(error) as info:
        plan_of(*arguments)
    assert "\n" not in str(info.value)


def test_overrides_replace_what_is_given_only():
    assert with_overrides(RECIPE, iterations=None, batch=None) == RECIPE
    changed = with_overrides(RECIPE, iterations=9, peak_lr=None)
    assert asdict(changed) == asdict(RECIPE) | {"iterations": 9}
    with pytest.raises(TrainingError, match="iterations must be positive"):
        with_overrides(RECIPE, iterations=0)


def test_validation_crops_come_in_every_judged_input():
    crops = validation_crops(side=24)
    assert list(crops) == ["clean", "blurry", "noisy"]
    truth = crops["clean"][1]
    assert truth.shape == (5, 3, 24, 24)
    for kind, (low, ground_truth) in crops.items():
        assert torch.equal(ground_truth, truth)
        expected = [INPUTS[kind](truth[number : number + 1], noise_generator(0, number)) for number in range(5)]
        assert torch.equal(low, torch.cat(expected))
    assert validation_crops(3, 24)["blurry"][0].shape == (5, 3, 8, 8)


def test_the_run_describes_itself(trained, images):
    for role, parent in (("baseline", None), ("target", "srresnet_s-baseline-seed3.safetensors")):
        folder = trained / f"srresnet_s-{role}-seed3"
        assert sorted(path.name for path in folder.iterdir()) == [
            "log.csv",
            "run.json",
            "sessions.json",
            "snapshots",
            "state.safetensors",
            "weights.safetensors",
        ]
        described = json.loads((folder / "run.json").read_text())
        assert described["recipe"] == asdict(with_overrides(RECIPE, role=role))
        assert described["parent"] == parent
        assert described["data"] == "mine"
        assert described["data_digest"] == images.digest
        assert (described["precision"], described["processes"]) == ("32-true", 1)
        initial = trained / "srresnet_s-baseline-seed3" / "weights.safetensors"
        assert described["initial_sha256"] == (sha256_file(initial) if parent else None)
        assert described["made_on"]["faiglib"] == faiglib.__version__
        assert [described["made_on"]] == [one["made_on"] for one in checkpoint.sessions(folder)]
        assert described["continued_on"] is None
        assert str(trained) not in json.dumps(described)
        with (folder / "log.csv").open() as file:
            (row,) = csv.DictReader(file)
        assert row["step"] == "4"
        assert {"psnr_clean", "psnr_blurry", "psnr_noisy"} < row.keys()


def test_the_target_starts_from_the_baseline(trained, images, tmp_path):
    baseline = load_weights(trained / "srresnet_s-baseline-seed3" / "weights.safetensors")
    target = load_weights(trained / "srresnet_s-target-seed3" / "weights.safetensors")
    fresh = build("srresnet_s", seed=3).state_dict()

    def distance(first, second):
        return sum(float((first[name] - second[name]).square().sum()) for name in first)

    assert distance(target, baseline) > 0
    assert distance(baseline, fresh) > 0
    alone = run(with_overrides(RECIPE, role="target"), images, tmp_path / "alone", progress=False)
    assert distance(load_weights(alone), target) > 0, "the initial weights matter"


def test_a_finished_run_is_left_as_it_is_and_its_images_are_not_read(copied, images, monkeypatch):
    before = files_of(copied)
    monkeypatch.setattr(ImageSet, "load", lambda *_, **__: pytest.fail("images were read"))
    assert run(RECIPE, images, copied, progress=False) == copied / "weights.safetensors"
    assert files_of(copied) == before, "it still says when and where the training was"


@pytest.mark.parametrize("change", ["recipe", "images", "precision", "initial"])
def test_another_run_than_the_finished_one_is_refused(copied, images, tmp_path, change):
    before = files_of(copied)
    other = write_images(tmp_path / "other" / "mine", side=36) if change == "images" else images
    recipe = with_overrides(RECIPE, peak_lr=3e-4) if change == "recipe" else RECIPE
    precision = "bf16-mixed" if change == "precision" else "32-true"
    options = {"initial": copied / "weights.safetensors"} if change == "initial" else {}
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    with pytest.raises(TrainingError, match="belongs to a run with another recipe"):
        run(recipe, other, copied, fabric=fabric, progress=False, **options)
    assert files_of(copied) == before


def test_weights_that_are_gone_are_written_again(copied, images):
    expected = (copied / "weights.safetensors").read_bytes()
    (copied / "weights.safetensors").unlink()
    run(RECIPE, images, copied, progress=False)
    assert (copied / "weights.safetensors").read_bytes() == expected


def test_the_arithmetic_of_the_run_is_recorded(images, tmp_path):
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    run(with_overrides(RECIPE, iterations=1), images, tmp_path, fabric=fabric, progress=False)
    assert json.loads((tmp_path / "run.json").read_text())["precision"] == "bf16-mixed"


def test_a_run_names_the_sessions_that_differ(images, tmp_path, monkeypatch):
    """Sessions under commit a, a, b, b, c: the first, and the first of each other kind."""
    commits = iter("aabbc")
    hours: Iterator[int] = iter(range(5))
    collect = lambda device: {"commit": next(commits), "time_utc": next(hours)}  # noqa: E731
    monkeypatch.setattr(provenance, "collect", collect)
    monkeypatch.setattr(runs, "validation_crops", lambda scale: {})
    recipe = with_overrides(RECIPE, iterations=6)
    rate = training_recipe.learning_rate
    for stop in range(1, 5):

        def interrupted(recipe, step, stop=stop):
            if step == stop:
                raise KeyboardInterrupt
            return rate(recipe, step)

        with monkeypatch.context() as patch:
            patch.setattr(trainer, "learning_rate", interrupted)
            with pytest.raises(KeyboardInterrupt):
                run(recipe, images, tmp_path, progress=False)
    run(recipe, images, tmp_path, progress=False)
    described = json.loads((tmp_path / "run.json").read_text())
    assert described["made_on"] == {"commit": "a", "time_utc": 0}
    assert described["continued_on"] == [{"commit": "b", "time_utc": 2}, {"commit": "c", "time_utc": 4}]


def test_a_run_without_a_description_gets_one(copied, images):
    (copied / "run.json").unlink()
    run(RECIPE, images, copied, progress=False)
    assert json.loads((copied / "run.json").read_text())["recipe"] == asdict(RECIPE)


def test_a_run_started_afresh_is_described_afresh(copied, images):
    (copied / "state.safetensors").unlink()
    (copied / "run.json").write_text("{}")
    expected = (copied / "weights.safetensors").read_bytes()
    run(RECIPE, images, copied, progress=False)
    assert (copied / "weights.safetensors").read_bytes() == expected
    assert json.loads((copied / "run.json").read_text())["recipe"] == asdict(RECIPE)


def test_another_run_in_the_folder_is_not_continued(copied, images):
    before = files_of(copied)
    with pytest.raises(TrainingError, match="belongs to a run with another recipe"):
        run(with_overrides(RECIPE, seed=4), images, copied, progress=False)
    assert files_of(copied) == before


def test_processes_go_on_when_the_files_are_there(images, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    fabric = Fabric(accelerator="cpu", devices=1)
    seen = []
    monkeypatch.setattr(fabric, "barrier", lambda: seen.append({path.name for path in folder.iterdir()}))
    run(RECIPE, images, folder, fabric=fabric, progress=False)
    assert seen[-1] >= {"run.json", "weights.safetensors"}


def test_all_processes_do_what_the_first_one_finds(copied, images, monkeypatch):
    """Whether the run is finished is decided once, lest some train and others do not."""

    class TrainingCalledError(Exception):
        pass

    def train(*_, **__):
        raise TrainingCalledError

    fabric = Fabric(accelerator="cpu", devices=1)
    monkeypatch.setattr(runs, "train", train)
    monkeypatch.setattr(fabric, "broadcast", lambda found: False)
    with pytest.raises(TrainingCalledError):
        run(RECIPE, images, copied, fabric=fabric, progress=False)
    monkeypatch.setattr(fabric, "broadcast", lambda found: True)
    assert run(with_overrides(RECIPE, seed=9), images, copied, fabric=fabric) == copied / "weights.safetensors"


def test_initial_weights_of_another_network_are_refused(images, tmp_path):
    save_weights(tmp_path / "other.safetensors", build("srcnn_style", seed=0).state_dict())
    with pytest.raises(WeightsError, match="fit SRResNet"):
        run(RECIPE, images, tmp_path / "run", initial=tmp_path / "other.safetensors", progress=False)
    with pytest.raises(WeightsError, match="does not exist"):
        run(RECIPE, images, tmp_path / "run", initial=tmp_path / "missing.safetensors", progress=False)
    assert not list((tmp_path / "run").iterdir())


def test_a_folder_that_cannot_be_made_is_noticed_before_the_work(images, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "train", lambda *_, **__: pytest.fail("was trained"))
    (tmp_path / "file").write_text("kept")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(TrainingError, match="cannot be created"):
            run(RECIPE, images, folder, progress=False)


def reference_psnr(network: torch.nn.Module, images: ImageSet, kind: str) -> float:
    """Mean PSNR by numpy: 8-bit output, 2 pixels of border cut off, all channels in one mean square."""
    found = []
    for number, path in enumerate(images.paths):
        truth = np.asarray(Image.open(path), dtype=np.float64)
        tensor = torch.from_numpy((truth / 255).astype(np.float32)).permute(2, 0, 1)[None]
        with torch.no_grad():
            output = network(INPUTS[kind](tensor, noise_generator(0, number)))[0].permute(1, 2, 0).double().numpy()
        error = (np.round(np.clip(output, 0, 1) * 255) - truth)[2:-2, 2:-2]
        found.append(20 * np.log10(255 / np.sqrt(np.mean(error**2))))
    return float(np.mean(found))


@pytest.fixture(autouse=True)
def _small_rounding(monkeypatch):
    """On small crops of networks that hardly moved, half precision may exchange any filter."""
    monkeypatch.setattr(publishing, "ROUNDING_CROP", 16)
    monkeypatch.setattr(publishing, "LEAST_OVERLAP", 0)


@pytest.fixture(autouse=True)
def _quick_milestones(monkeypatch):
    """What milestones are is tested beside them; here, only where they go."""
    unknown = dict.fromkeys((field.name for field in fields(Milestone)), math.nan)
    monkeypatch.setattr(
        milestones,
        "examine",
        lambda recipe, states, baseline: [
            Milestone(**unknown | {"step": one, "function": "deblurring"}) for one in states
        ],
    )


def test_measured_psnr(trained, images):
    network = build("srresnet_s")
    network.load_state_dict(load_weights(trained / "srresnet_s-target-seed3" / "weights.safetensors"))
    measured = measured_psnr(network, images)
    assert list(measured) == ["clean", "blurry", "noisy"]
    for kind, value in measured.items():
        assert value == pytest.approx(reference_psnr(network, images, kind), abs=0.01)
    first = measured_psnr(network, images, limit=1)
    assert first != measured


def slow_barrier(pair) -> dict[str, float]:
    """Depth below the line between the ends, each network of the path built anew, PSNR by scikit-image."""
    crops = list(zip(*publishing.validation_crops()["clean"], strict=True))
    ends = pair.target.state_dict(), pair.baseline.state_dict()
    curves = {"psnr": [], "psnr_level": []}
    for alpha in np.linspace(0, 1, 11):
        between = {name: (1 - alpha) * value + alpha * ends[1][name] for name, value in ends[0].items()}
        network = build(pair.network, scale=2)
        network.load_state_dict(between)
        values = []
        with torch.no_grad():
            for low, truth in crops:
                output, truth = network(low[None])[0].double().numpy(), truth.double().numpy()
                shift = (truth - output).mean(axis=(1, 2), keepdims=True)
                values.append([peak_signal_noise_ratio(truth, one, data_range=1) for one in (output, output + shift)])
        for name, value in zip(curves, np.mean(values, axis=0), strict=True):
            curves[name].append(value)
    return {
        name: pytest.approx(max(np.linspace(values[0], values[-1], 11) - values), abs=0.001)
        for name, values in curves.items()
    }


def test_published_runs_are_a_pair_of_the_zoo(trained, images, tmp_path):
    models = tmp_path / "models"
    entries = [
        publish(trained / f"srresnet_s-{role}-seed3", models, [images], limit=1) for role in ("target", "baseline")
    ]
    assert zoo.pairs_available(models) == [("srresnet_s", 3)]
    pair = zoo.load_pair(models, "srresnet_s", 3)
    for entry, network in zip(entries, (pair.target, pair.baseline), strict=True):
        folder = trained / f"srresnet_s-{entry.role}-seed3"
        full = load_weights(folder / "weights.safetensors")
        assert all(torch.equal(value, full[name].half().float()) for name, value in network.state_dict().items())
        described = json.loads((folder / "run.json").read_text())
        for name in ("parent", "recipe", "precision", "data", "data_digest", "made_on", "continued_on", "seconds"):
            assert getattr(entry, name) == described[name]
        assert entry.psnr == {"mine": measured_psnr(network, images, limit=1)}, "of the rounded weights"
        assert entry.psnr_images == {"mine": 1}
        assert zoo.find(models, "srresnet_s", entry.role, 3) == entry
        log = models / "logs" / f"srresnet_s-{entry.role}-seed3.csv"
        assert log.read_bytes() == (folder / "log.csv").read_bytes()
    assert pair.target is not pair.baseline
    assert set(entries[0].rounding) == {"psnr", "overlap_deblurring", "overlap_denoising"}
    assert set(entries[1].rounding) == {"psnr"}
    assert entries[0].barrier == slow_barrier(pair)
    assert entries[1].barrier is None
    steps = [row.step for row in milestones.read(models / "milestones" / "srresnet_s-target-seed3.csv")]
    assert steps == [1, 2, RECIPE.iterations]
    assert [path.name for path in (models / "milestones").iterdir()] == ["srresnet_s-target-seed3.csv"]
    parent = zoo.find(models, "srresnet_s", "target", 3).parent
    assert parent == zoo.find(models, "srresnet_s", "baseline", 3).file


def test_rounding_measures_what_half_precision_does(trained):
    """Weights that half precision holds exactly lose nothing; weights beside its grid lose what is measured."""
    recipe = with_overrides(RECIPE, role="target")
    weights, parent = (
        {name: value.half().float() for name, value in load_weights(path / "weights.safetensors").items()}
        for path in (trained / "srresnet_s-target-seed3", trained / "srresnet_s-baseline-seed3")
    )
    assert rounding(recipe, weights, parent) == {"psnr": 0, "overlap_deblurring": 1, "overlap_denoising": 1}
    beside = {name: value * 1.0003 for name, value in weights.items()}
    assert rounding(recipe, beside, parent)["overlap_denoising"] < 1
    large = {name: 4.0013 * value for name, value in weights.items()}
    assert rounding(recipe, large, None)["psnr"] > 0


def test_weights_that_half_precision_changes_are_not_published(copied, images, tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "LARGEST_ROUNDING", 0.0)
    state = {name: value * 4.0013 for name, value in load_weights(copied / "weights.safetensors").items()}
    save_weights(copied / "weights.safetensors", state)
    with pytest.raises(TrainingError, match="cannot be kept in half precision"):
        publish(copied, tmp_path / "models", [images])
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("function", ["deblurring", "denoising"])
def test_weights_whose_best_filters_half_precision_exchanges_are_not_published(
    trained, images, tmp_path, monkeypatch, function
):
    monkeypatch.setattr(publishing, "LEAST_OVERLAP", 0.99)
    overlaps = {"overlap_deblurring": 0.99, "overlap_denoising": 0.99}
    measured = {"psnr": 0.0, **overlaps, f"overlap_{function}": 0.98999}
    monkeypatch.setattr(publishing, "rounding", lambda *_: measured)
    target = trained / "srresnet_s-target-seed3"
    with pytest.raises(TrainingError, match=rf"only 99\.0% of the top 1 % {function} filters stay"):
        publish(target, tmp_path / "models", [images])
    assert not (tmp_path / "models").exists()
    measured |= overlaps
    assert publish(target, tmp_path / "models", [images], 1).rounding == measured


def test_a_target_whose_parent_is_gone_is_not_published(trained, images, tmp_path):
    alone = tmp_path / "runs" / "srresnet_s-target-seed3"
    shutil.copytree(trained / alone.name, alone)
    models = tmp_path / "models"
    with pytest.raises(
        TrainingError, match=r"started from srresnet_s-baseline-seed3\.safetensors, which is neither"
    ) as e:
        publish(alone, models, [images], 1)
    assert "\n" not in str(e.value)
    assert not models.exists()
    baseline = publish(trained / "srresnet_s-baseline-seed3", models, [images], 1)
    assert publish(alone, models, [images], 1).parent_sha256 == baseline.sha256


def test_a_role_that_no_pair_has_is_not_published(copied, images, tmp_path):
    """The manifest could not be read any more with it."""
    described = json.loads((copied / "run.json").read_text())
    described["recipe"]["role"] = "deblurring"
    (copied / "run.json").write_text(json.dumps(described))
    with pytest.raises(
        TrainingError, match=r"copied is a run of the role deblurring, of which no weights are published"
    ):
        publish(copied, tmp_path / "models", [images], 1)
    assert not (tmp_path / "models").exists()


def test_sessions_elsewhere_come_into_the_manifest(copied, images, tmp_path):
    described = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_text(json.dumps(described | {"continued_on": [{"cpu": "another"}]}))
    assert publish(copied, tmp_path / "models", [images], 1).continued_on == [{"cpu": "another"}]
    del described["continued_on"]  # as it was described before
    (copied / "run.json").write_text(json.dumps(described))
    assert publish(copied, tmp_path / "models", [images], 1).continued_on is None


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, None), (1, {"mine": 1, "more": 1}), (2, {"more": 2}), (3, None)]
)
def test_only_sets_that_were_cut_are_counted(copied, images, tmp_path, monkeypatch, limit, expected):
    monkeypatch.setattr(publishing, "measured_psnr", lambda *_: {})
    more = write_images(tmp_path / "more", count=3)
    assert publish(copied, tmp_path / "models", [images, more], limit).psnr_images == expected


def test_there_is_no_entry_without_its_log(copied, images, tmp_path, monkeypatch):
    """Nor is there one where the log cannot be written."""
    models = tmp_path / "models"
    with monkeypatch.context() as patch:
        patch.setattr(zoo, "add", lambda *_: pytest.fail("the entry came first"))
        models.mkdir()
        (models / "logs").write_text("a file in the way")
        with pytest.raises(StoreError, match="cannot be written"):
            publish(copied, models, [images], 1)
    (models / "logs").unlink()
    earlier = (copied / "log.csv").read_text().replace(",iterations_per_second", ",colour")
    (copied / "log.csv").write_text(earlier)
    publish(copied, models, [images], 1)
    assert (models / "logs" / "srresnet_s-baseline-seed3.csv").read_text() == earlier, "whatever its columns"


#: Published before the effect of half precision was recorded.
WITHOUT_ROUNDING = {"srresnet-baseline-seed0.safetensors", "srresnet-target-seed0.safetensors"}


def test_half_precision_changes_nothing_in_the_shipped_weights():
    listed = zoo.entries(zoo.models_dir())
    assert {entry.file for entry in listed if entry.rounding is None} == WITHOUT_ROUNDING
    for entry in listed:
        if entry.file not in WITHOUT_ROUNDING:
            overlaps = {"overlap_deblurring", "overlap_denoising"} if entry.role in zoo.TARGETS else set()
            assert entry.rounding.keys() == {"psnr"} | overlaps, entry.file
            assert entry.rounding["psnr"] <= publishing.LARGEST_ROUNDING, entry.file
            assert all(entry.rounding[name] >= publishing.LEAST_OVERLAP for name in overlaps), entry.file
    assert "srresnet-baseline-seed0" in (zoo.models_dir() / "README.md").read_text()


def test_shipped_targets_say_how_deep_their_path_falls():
    for entry in zoo.entries(zoo.models_dir()):
        assert (entry.barrier is None) == (entry.role == "baseline"), entry.file
        assert entry.barrier is None or 0 <= entry.barrier["psnr_level"] <= entry.barrier["psnr"] + 0.5, entry.file


def test_shipped_targets_name_the_very_baseline():
    folder = zoo.models_dir()
    for entry in zoo.entries(folder):
        expected = sha256_file(folder / entry.parent) if entry.parent else None
        assert entry.parent_sha256 == expected, entry.file
        assert (entry.parent is None) == (entry.role == "baseline")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "run.json").unlink(),
        lambda folder: (folder / "log.csv").unlink(),
        lambda folder: (folder / "run.json").write_text("{"),
        lambda folder: (folder / "run.json").write_text("[]"),
        lambda folder: (folder / "run.json").write_text("{}"),
        lambda folder: (folder / "run.json").write_bytes(b"\xff\xff"),
        lambda folder: (folder / "run.json").write_text('{"recipe": {"network": "srresnet", "colour": 1}}'),
        lambda folder: (folder / "run.json").write_text('{"recipe": {"network": "srresnet", "role": "target"}}'),
        lambda folder: (folder / "run.json").write_text('{"recipe": {"network": "srresnet", "role": "sharpening"}}'),
    ],
)
def test_what_is_no_finished_run_is_not_published(copied, images, tmp_path, damage):
    damage(copied)
    with pytest.raises(TrainingError) as info:
        publish(copied, tmp_path / "models", [images])
    assert "\n" not in str(info.value)
    assert not (tmp_path / "models").exists()


def test_damaged_weights_are_not_published(copied, images, tmp_path):
    path = copied / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        publish(copied, tmp_path / "models", [images])
    save_weights(path, build("srcnn_style", seed=0).state_dict())
    with pytest.raises(WeightsError, match="fit SRResNet"):
        publish(copied, tmp_path / "models", [images])
    assert not (tmp_path / "models").exists()


def test_judged_inputs_are_inputs():
    assert set(JUDGED) <= set(INPUTS)
