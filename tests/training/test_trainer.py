"""The trainer: schedules by formula, steps by a hand-written loop, and bits that survive every interruption."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file

import faiglib
from faiglib.attribution import random_scores
from faiglib.errors import NetworkError, TrainingError, WeightsError
from faiglib.filters.index import FilterIndex
from faiglib.networks import build
from faiglib.system import provenance
from faiglib.system.files import write_rows_atomic
from faiglib.system.tensors import load_weights, read_metadata, read_tensors, save_weights
from faiglib.training import checkpoint, trainer
from faiglib.training import fabric as training_fabric
from faiglib.training.checkpoint import sessions
from faiglib.training.fabric import arithmetic
from faiglib.training.patches import PatchSource
from faiglib.training.recipe import ROLES, Recipe, ema_decay, learning_rate, paper_recipe
from faiglib.training.trainer import train

pytestmark = pytest.mark.usefixtures("tiny_network")

TINY = Recipe("tiny", "target", seed=0, iterations=12, batch=2, patch=16, peak_lr=1e-2)


def run(recipe, images, **options):
    return train(recipe, images, **{"progress": False, "log_every": 3, **options})


def same(first, second) -> bool:
    return list(first) == list(second) and all(
        first[name].numpy().tobytes() == second[name].numpy().tobytes() for name in first
    )


def read_log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------- recipes and schedules


def test_one_cycle_rises_linearly_and_falls_as_a_cosine():
    recipe = replace(TINY, iterations=1000, peak_lr=3e-4, warmup=0.05)
    rates = [learning_rate(recipe, step) for step in range(1000)]
    assert rates[:50] == pytest.approx([3e-4 * (step + 1) / 50 for step in range(50)], rel=1e-12)
    falling = [1e-7 + (3e-4 - 1e-7) * (1 + math.cos(math.pi * k / 950)) / 2 for k in range(950)]
    assert rates[50:] == pytest.approx(falling, rel=1e-12)
    assert max(rates) == 3e-4
    assert 1e-7 < rates[-1] < 2e-7


@pytest.mark.parametrize(("iterations", "warmup"), [(1, 0.05), (2, 0.05), (3, 0.0), (5, 1.0), (40, 0.5)])
def test_one_cycle_of_any_length_is_positive_and_bounded(iterations, warmup):
    recipe = replace(TINY, iterations=iterations, warmup=warmup)
    rates = [learning_rate(recipe, step) for step in range(iterations)]
    assert all(1e-7 <= rate <= recipe.peak_lr for rate in rates)
    assert max(rates) == recipe.peak_lr


def test_cosine_restarts_are_those_of_the_released_code():
    recipe = replace(TINY, schedule="cosine-restarts", period=250, iterations=1000, peak_lr=2e-4)
    for step in range(1000):
        expected = 1e-7 + 0.5 * (2e-4 - 1e-7) * (1 + math.cos((step % 250) / 250 * math.pi))
        assert learning_rate(recipe, step) == pytest.approx(expected, rel=1e-12)
    assert [learning_rate(recipe, step) for step in (0, 250, 500, 750)] == [2e-4] * 4
    assert learning_rate(recipe, 249) < 2e-8 + 1e-7


def test_two_cycles_are_two_one_cycles_the_second_with_half_the_peak():
    recipe = replace(TINY, schedule="two-cycles", period=300, iterations=500, peak_lr=4e-4)
    first = replace(TINY, schedule="one-cycle", iterations=300, peak_lr=4e-4)
    second = replace(TINY, schedule="one-cycle", iterations=200, peak_lr=2e-4)
    expected = [learning_rate(first, step) for step in range(300)] + [
        learning_rate(second, step) for step in range(200)
    ]
    assert [learning_rate(recipe, step) for step in range(500)] == expected
    short = replace(recipe, iterations=200)  # the first cycle is as long as the run then
    assert [learning_rate(short, step) for step in range(200)] == [
        learning_rate(replace(second, peak_lr=4e-4), step) for step in range(200)
    ]


def test_cosine_agrees_with_torch():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=2e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 50, eta_min=1e-7)
    recipe = replace(TINY, schedule="cosine-restarts", period=50, iterations=120, peak_lr=2e-4)
    for step in range(120):
        assert learning_rate(recipe, step) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        schedule.step()


def test_the_papers_recipes():
    baseline, target = (paper_recipe("srresnet", role) for role in ("baseline", "target"))
    assert (baseline.iterations, baseline.peak_lr, baseline.batch, baseline.patch) == (1_000_000, 2e-4, 16, 64)
    assert (target.iterations, target.peak_lr, target.batch, target.patch) == (100_000, 5e-5, 16, 64)
    assert baseline.schedule == target.schedule == "cosine-restarts"
    assert baseline.period == target.period == 250_000
    assert baseline.ema == target.ema == 0.999
    last = 1e-7 + (5e-5 - 1e-7) * (1 + math.cos(0.4 * math.pi)) / 2
    assert learning_rate(target, 99_999) == pytest.approx(last, rel=1e-4)
    papers = {"baseline": (0, 0), "target": (0.5, 0.5), "deblurring": (1, 0), "denoising": (0, 1)}
    assert {role: (chances.blur, chances.noise) for role, chances in ROLES.items() if not chances.jpeg} == papers
    assert ROLES["target_jpeg"] == (0.5, 0.5, 0.5)


def test_ema_decay_grows_to_that_of_the_recipe():
    decays = [ema_decay(TINY, step) for step in range(20_000)]
    assert decays[0] == 0.1
    assert all(a <= b for a, b in pairwise(decays))
    assert decays[-1] == 0.999


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"role": "teacher"}, "unknown role 'teacher'; known: baseline, target, target_jpeg, deblurring, denoising"),
        ({"schedule": "step"}, "unknown schedule 'step'"),
        ({"iterations": 0}, "iterations must be positive, not 0"),
        ({"batch": -1}, "batch must be positive, not -1"),
        ({"patch": 0}, "patch must be positive"),
        ({"peak_lr": 0.0}, "peak_lr must be positive"),
        ({"period": 0}, "period must be positive"),
        ({"patch": 17}, "patch of 17 pixels does not divide by the scale 2"),
        ({"scale": 3}, "patch of 16 pixels does not divide by the scale 3"),
    ],
)
def test_impossible_recipes_are_refused(change, reason):
    with pytest.raises(TrainingError, match=reason):
        replace(TINY, **change)


# ---------------------------------------------------------------- steps


def by_hand(recipe, images, initial=None, masks=None):
    """The same recipe with nothing but torch: L1, Adam, and a moving average, one tensor after the other."""
    network = build(recipe.network, seed=recipe.seed, scale=recipe.scale)
    if initial:
        network.load_state_dict(initial)
    source = PatchSource.from_images(images, recipe.patch)
    optimizer = torch.optim.Adam(network.parameters(), lr=1, betas=(0.9, 0.99), foreach=False)
    average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    losses = []
    for step in range(recipe.iterations):
        generator = torch.Generator().manual_seed(step)  # of seed 0
        low, truth = recipe.degradation(source.draw(recipe.batch, generator), generator)
        loss = (network(low) - truth).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        if masks is not None:
            for name, parameter in network.named_parameters():
                parameter.grad = parameter.grad * masks.get(name, torch.tensor(0.0))
        optimizer.param_groups[0]["lr"] = learning_rate(recipe, step)
        optimizer.step()
        decay = min(recipe.ema, (1 + step) / (10 + step))
        for name, tensor in network.state_dict().items():
            average[name] = decay * average[name] + (1 - decay) * tensor
        losses.append(loss.item())
    return average, losses


def close(state, expected, tolerance) -> bool:
    return all((state[name] - expected[name]).abs().max() < tolerance for name in expected)


@pytest.mark.parametrize("role", list(ROLES))
def test_training_is_the_hand_written_loop(images, role):
    recipe = replace(TINY, role=role)
    expected, losses = by_hand(recipe, images)
    result = run(recipe, images)
    assert close(result.state, expected, 1e-4 * recipe.peak_lr * recipe.iterations)
    assert [row["loss"] for row in result.log] == pytest.approx(np.mean(np.reshape(losses, (4, 3)), 1), rel=1e-5)
    assert [row["step"] for row in result.log] == [3, 6, 9, 12]
    assert [row["learning_rate"] for row in result.log] == [learning_rate(recipe, k) for k in (2, 5, 8, 11)]
    start = build("tiny", seed=0).state_dict()
    assert all((result.state[name] - start[name]).abs().max() > 1e-3 for name in start)


@pytest.mark.parametrize("name", ["srcnn_style", "srresnet"])
def test_full_networks_train_as_the_hand_written_loop(images, name):
    recipe = replace(TINY, network=name, iterations=5, peak_lr=1e-4)
    expected, losses = by_hand(recipe, images)
    result = run(recipe, images, log_every=1)
    assert [row["loss"] for row in result.log] == pytest.approx(losses, rel=1e-4)
    moved = build(name, seed=0).state_dict()
    far = sum(float((expected[key] - moved[key]).abs().sum()) for key in expected)
    apart = sum(float((expected[key] - result.state[key]).abs().sum()) for key in expected)
    assert apart < 1e-3 * far, "Adam magnifies rounding only where the gradient is next to nothing"


def test_training_starts_from_given_weights(images):
    initial = build("tiny", seed=77).state_dict()
    kept = {name: tensor.clone() for name, tensor in initial.items()}
    expected, _ = by_hand(TINY, images, initial)
    assert close(run(TINY, images, initial=initial).state, expected, 1e-4 * 0.12)
    assert same(initial, kept), "the given weights are not modified"


def test_training_improves_the_network(images):
    recipe = replace(TINY, iterations=150, role="baseline", batch=8)
    losses = [row["loss"] for row in run(recipe, images, log_every=10).log]
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_the_global_random_state_and_its_seed_play_no_part(images):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run(TINY, images).state
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(run(TINY, images).state, first)


def test_another_seed_gives_other_initial_weights(images):
    assert not same(run(TINY, images).state, run(replace(TINY, seed=1), images).state)


def test_another_seed_draws_other_patches(images):
    """From the same weights, two seeds are two different runs."""
    initial = build("tiny", seed=0).state_dict()
    first, second = (run(replace(TINY, seed=seed), images, initial=initial).state for seed in (0, 1))
    assert not same(first, second)


@pytest.mark.parametrize("scale", [3, 4])
def test_other_scales_train(images, scale):
    recipe = replace(TINY, network="tiny", scale=scale, patch=12, iterations=3)
    expected, _ = by_hand(recipe, images)
    assert close(run(recipe, images).state, expected, 1e-4 * 0.03)


# ---------------------------------------------------------------- masked re-training


def test_masked_training_changes_only_the_chosen_filters(images):
    initial = build("tiny", seed=5).state_dict()
    with torch.no_grad():
        initial = {name: tensor + 0.01 for name, tensor in initial.items()}
    masks = random_scores(FilterIndex.of(build("tiny", seed=0)), 0).top(20).masks()
    result = run(TINY, images, initial=initial, trainable=masks).state
    for name, tensor in result.items():
        chosen = masks.get(name, torch.zeros((), dtype=torch.bool)).expand(tensor.shape)
        assert torch.equal(tensor[~chosen], initial[name][~chosen]), "bit by bit"
        assert (tensor[chosen] != initial[name][chosen]).all()
    assert sum(int(mask.sum()) for mask in masks.values()) > 0
    expected, _ = by_hand(TINY, images, initial, masks)
    assert close(result, expected, 1e-4 * 0.12)


def test_a_mask_of_no_parameter_is_refused(images):
    with pytest.raises(TrainingError, match=r"cannot train elsewhere\.weight: the network has no such parameter"):
        run(TINY, images, trainable={"elsewhere.weight": torch.ones(1)})


# ---------------------------------------------------------------- interruption


class Interrupted:
    """Raises KeyboardInterrupt the first time that a function of the trainer is called for a step."""

    def __init__(self, monkeypatch, name: str, step: int, action=None) -> None:
        self.original, self.step, self.action, self.calls = getattr(trainer, name), step, action, 0
        monkeypatch.setattr(trainer, name, self)

    def __call__(self, recipe, step):
        if step == self.step:
            self.calls += 1
            if self.calls == 1:
                if self.action is None:
                    raise KeyboardInterrupt
                self.action()
        return self.original(recipe, step)


@pytest.mark.parametrize("network", ["tiny", "srcnn_style", "srresnet"])
@pytest.mark.parametrize(("where", "step"), [("learning_rate", 1), ("learning_rate", 4), ("ema_decay", 4)], ids=str)
def test_an_interrupted_run_ends_with_the_bits_of_an_uninterrupted_one(
    tmp_path, monkeypatch, images, network, where, step
):
    """``learning_rate`` is called before the weights of a step change, ``ema_decay`` when half of them have."""
    recipe = replace(TINY, network=network, iterations=6, peak_lr=1e-3)
    expected = run(recipe, images)
    with monkeypatch.context() as patch:
        Interrupted(patch, where, step)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, images, run_dir=tmp_path)
    assert (tmp_path / "state.safetensors").exists() == (where == "learning_rate")
    assert not (tmp_path / "weights.safetensors").exists()
    if where == "learning_rate":
        assert read_metadata(tmp_path / "state.safetensors")["step"] == str(step)
    resumed = run(recipe, images, run_dir=tmp_path)
    assert same(resumed.state, expected.state)
    assert [row["step"] for row in resumed.log] == [3, 6]
    weights = load_weights(tmp_path / "weights.safetensors")
    assert all(torch.equal(weights[name], expected.state[name]) for name in expected.state)


def test_an_interruption_in_the_middle_of_a_step_keeps_the_last_whole_checkpoint(tmp_path, monkeypatch, images):
    expected = run(TINY, images)
    with monkeypatch.context() as patch:
        Interrupted(patch, "ema_decay", 7)
        with pytest.raises(KeyboardInterrupt):
            run(TINY, images, run_dir=tmp_path, checkpoint_seconds=0)
    assert read_metadata(tmp_path / "state.safetensors")["step"] == "7"
    assert same(run(TINY, images, run_dir=tmp_path).state, expected.state)


def test_a_run_interrupted_at_every_step(tmp_path, images, monkeypatch):
    expected = run(TINY, images)
    for step in range(1, 12):
        with monkeypatch.context() as patch:
            Interrupted(patch, "learning_rate", step)
            with pytest.raises(KeyboardInterrupt):
                run(TINY, images, run_dir=tmp_path)
    resumed = run(TINY, images, run_dir=tmp_path)
    assert same(resumed.state, expected.state)
    assert [row["step"] for row in read_log(tmp_path)] == ["3", "6", "9", "12"]


@pytest.mark.usefixtures("_interruptions")
@pytest.mark.parametrize("name", ["validate", "ema_decay"])
def test_a_step_that_counts_has_its_row(tmp_path, monkeypatch, images, name):
    """Ctrl-C while a row is made, or in the step that it belongs to."""
    expected = run(TINY, images)
    original, calls = getattr(trainer, name), count(1)

    def interrupted(*arguments):
        if next(calls) == {"validate": 2, "ema_decay": 6}[name]:
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(TINY, images, run_dir=tmp_path)
    assert read_metadata(tmp_path / "state.safetensors")["step"] == "6"
    resumed = run(TINY, images, run_dir=tmp_path)
    assert same(resumed.state, expected.state)
    measured = ("step", "learning_rate", "loss")
    assert [[row[key] for key in measured] for row in resumed.log] == [
        [row[key] for key in measured] for row in expected.log
    ]
    assert [int(row["step"]) for row in read_log(tmp_path)] == [3, 6, 9, 12]


@pytest.mark.parametrize("step", [2, 5, 6, 10])
def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path, monkeypatch, images, step):
    """What lies on the disk in the middle of a run is what kill -9 leaves, with rows that the checkpoint lacks."""
    folder, left = tmp_path / "run", tmp_path / "left"
    with monkeypatch.context() as patch:
        Interrupted(patch, "learning_rate", step, lambda: shutil.copytree(folder, left))
        expected = run(TINY, images, run_dir=folder, checkpoint_seconds=0)
    shutil.copy(folder / "log.csv", left / "log.csv")
    assert read_metadata(left / "state.safetensors")["step"] == str(step)
    resumed = run(TINY, images, run_dir=left)
    assert same(resumed.state, expected.state)
    rows = read_log(left)
    assert [row["step"] for row in rows] == ["3", "6", "9", "12"]
    untouched = [k for k in range(4) if 3 * (k + 1) <= step or 3 * k >= step]
    assert [rows[k]["loss"] for k in untouched] == [read_log(folder)[k]["loss"] for k in untouched]
    assert len(resumed.log) == 4


def test_masked_training_is_resumed_too(tmp_path, monkeypatch, images):
    masks = random_scores(FilterIndex.of(build("tiny", seed=0)), 0).top(20).masks()
    expected = run(TINY, images, trainable=masks)
    Interrupted(monkeypatch, "learning_rate", 5)
    with pytest.raises(KeyboardInterrupt):
        run(TINY, images, trainable=masks, run_dir=tmp_path)
    assert same(run(TINY, images, trainable=masks, run_dir=tmp_path).state, expected.state)


def test_resumed_moments_have_the_memory_format_of_their_weights(tmp_path, monkeypatch, images):
    """Fused Adam, used on GPUs, refuses anything else."""
    recipe = replace(TINY, network="srresnet", iterations=3)
    Interrupted(monkeypatch, "learning_rate", 1)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, images, run_dir=tmp_path)
    seen = {}

    class Spy(torch.optim.Adam):
        def step(self, closure=None):
            for number, parameter in enumerate(self.param_groups[0]["params"]):
                state = self.state[parameter]
                if state and not seen.get("done"):
                    seen[number] = {parameter.stride(), state["exp_avg"].stride(), state["exp_avg_sq"].stride()}
            seen["done"] = True
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "Adam", Spy)
    run(recipe, images, run_dir=tmp_path)
    assert len(seen) > 70
    assert all(len(strides) == 1 for key, strides in seen.items() if key != "done")


def test_a_finished_run_is_read_not_repeated(tmp_path, images, monkeypatch):
    first = run(TINY, images, run_dir=tmp_path)
    monkeypatch.setattr(PatchSource, "draw", None)
    again = run(TINY, images, run_dir=tmp_path)
    assert same(again.state, first.state)
    assert again.log == first.log
    assert again.seconds == pytest.approx(first.seconds, abs=1)


def test_a_run_killed_before_its_result_was_written_writes_it(tmp_path, images):
    first = run(TINY, images, run_dir=tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    run(TINY, images, run_dir=tmp_path)
    weights = load_weights(tmp_path / "weights.safetensors")
    assert all(torch.equal(weights[name], first.state[name]) for name in first.state)


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"peak_lr": 2e-2}},
        {"recipe": {"seed": 1}},
        {"recipe": {"iterations": 13}},
        {"initial": True},
        {"masks": True},
        {"images": True},
        {"precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, images, change):
    run(TINY, images, run_dir=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    options = {}
    if "precision" in change:
        options["fabric"] = Fabric(accelerator="cpu", devices=1, precision=change["precision"])
    if "initial" in change:
        options["initial"] = build("tiny", seed=3).state_dict()
    if "masks" in change:
        options["trainable"] = random_scores(FilterIndex.of(build("tiny", seed=0)), 0).top(20).masks()
    other = [images[0], 1 - images[1]] if "images" in change else images
    with pytest.raises(TrainingError, match=r"belongs to a run with another recipe, other images.* arithmetic") as info:
        run(replace(TINY, **change.get("recipe", {})), other, run_dir=tmp_path, **options)
    assert str(tmp_path / "state.safetensors") in str(info.value)
    assert "\n" not in str(info.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "change",
    [
        {"step": "8"},
        {"step": "-1"},
        {"step": "many"},
        {"step": None},
        {"seconds": "nan"},
        {"seconds": "-1"},
        "tensor",
        "average/",
        "adam/",
        "exp_avg",
        "exp_avg_sq",
        "shape of parameter/",
        "shape of adam/",
    ],
    ids=str,
)
def test_a_checkpoint_that_holds_something_else_is_refused(tmp_path, images, change):
    """One beyond the run's end, for instance, from which it would never come there."""
    recipe = replace(TINY, iterations=7)
    run(recipe, images, run_dir=tmp_path)
    path = tmp_path / "state.safetensors"
    tensors, metadata = read_tensors(path)
    if change == "tensor":
        tensors.pop(next(name for name in tensors if name.startswith("average/")))
        change = {}
    elif isinstance(change, str):
        word = change.removeprefix("shape of ")
        names = [name for name in tensors if name.startswith(word) or name.rpartition("/")[2] == word]
        if word == change:  # of all parameters: Adam would begin anew
            tensors = {name: tensor for name, tensor in tensors.items() if name not in names}
        else:  # would be spread over the whole parameter
            weight = next(name for name in names if tensors[name].dim() == 4)
            tensors[weight] = tensors[weight][:1]
        change = {}
    kept = {name: value for name, value in {**metadata, **change}.items() if value is not None}
    save_weights(path, tensors, kept)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TrainingError, match="does not hold what one of this run holds; delete it to") as info:
        run(recipe, images, run_dir=tmp_path)
    assert str(path) in str(info.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_arithmetic_is_that_of_the_fabric(precision):
    assert arithmetic(Fabric(accelerator="cpu", devices=1, precision=precision)) == precision
    assert arithmetic(training_fabric.fabric_on(torch.device("cpu"), precision=precision)) == precision


def test_the_identity_is_the_digest_of_all_that_determines_a_run(tmp_path, images):
    initial = {name: value.to(memory_format=torch.channels_last) if value.dim() == 4 else value
               for name, value in build("tiny", seed=3).state_dict().items()}  # fmt: skip
    run(TINY, images, run_dir=tmp_path, initial=initial)
    description = json.dumps({**asdict(TINY), "precision": "32-true"}, sort_keys=True).encode()
    padded = [
        np.pad((image[0].numpy() * 255).round().astype(np.uint8), ((0, 0), (10, 10), (10, 10)), mode="reflect")
        for image in images
    ]
    content = [one.transpose(1, 2, 0).tobytes() for one in padded]
    for name in sorted(initial):
        content += [name.encode(), initial[name].numpy().copy(order="C").tobytes()]
    expected = hashlib.sha256(description + b"".join(content)).hexdigest()
    assert read_metadata(tmp_path / "state.safetensors")["identity"] == expected
    pixels = torch.arange(12, dtype=torch.uint8).view(4, 3)
    assert checkpoint._buffer(pixels).ctypes.data == pixels.data_ptr(), "not copied"


# ---------------------------------------------------------------- sessions


@pytest.fixture
def collected(monkeypatch) -> list[dict[str, object]]:
    """Every provenance that is collected, numbered."""
    found: list[dict[str, object]] = []

    def collect(device):
        found.append({"number": len(found), "device": str(device)})
        return found[-1]

    monkeypatch.setattr(provenance, "collect", collect)
    return found


def test_sessions_are_described_before_they_begin(tmp_path, monkeypatch, images, collected):
    expected = {"step": 0, "made_on": {"number": 0, "device": "cpu"}}

    def watched():
        assert len(collected) == 1, "before anything is read"
        yield from images

    Interrupted(monkeypatch, "learning_rate", 0, lambda: seen.append(sessions(tmp_path)))
    seen = []
    run(TINY, watched(), run_dir=tmp_path)
    assert seen == [[expected]]
    assert sessions(tmp_path) == json.loads((tmp_path / "sessions.json").read_text()) == [expected]
    run(TINY, images, run_dir=tmp_path)
    assert sessions(tmp_path) == [expected], "reading a finished run is no session"


def test_the_sessions_are_those_whose_steps_are_kept(tmp_path, monkeypatch, images, collected):
    """Interruptions in the middle of a step (ema_decay) keep the checkpoint before, which here is the session's."""
    for where, step in (("ema_decay", 3), ("learning_rate", 4), ("ema_decay", 6), ("learning_rate", 9)):
        with monkeypatch.context() as patch:
            Interrupted(patch, where, step)
            with pytest.raises(KeyboardInterrupt):
                run(TINY, images, run_dir=tmp_path)
    run(TINY, images, run_dir=tmp_path)
    assert len(collected) == 5
    assert [(one["step"], one["made_on"]["number"]) for one in sessions(tmp_path)] == [(0, 1), (4, 3), (9, 4)]
    (tmp_path / "state.safetensors").unlink()
    run(TINY, images, run_dir=tmp_path)
    assert [(one["step"], one["made_on"]["number"]) for one in sessions(tmp_path)] == [(0, 5)]


@pytest.mark.parametrize("text", ["", "[1]", "{}x", '[{"step": 0}]', '[{"step": "a", "made_on": {}}]', '{"a": 1}'])
def test_damaged_sessions_are_named(tmp_path, monkeypatch, images, text):
    Interrupted(monkeypatch, "learning_rate", 4)
    with pytest.raises(KeyboardInterrupt):
        run(TINY, images, run_dir=tmp_path)
    (tmp_path / "sessions.json").write_text(text)
    with pytest.raises(TrainingError, match=r"sessions\.json cannot be read .*; delete it to go on without it"):
        run(TINY, images, run_dir=tmp_path)
    (tmp_path / "sessions.json").unlink()
    run(TINY, images, run_dir=tmp_path)
    assert [one["step"] for one in sessions(tmp_path)] == [4]


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("damage", ["text", "cut", "empty"])
def test_a_damaged_checkpoint_is_named(tmp_path, images, damage):
    path = tmp_path / "state.safetensors"
    run(TINY, images, run_dir=tmp_path)
    content = {"text": b"no checkpoint", "cut": path.read_bytes()[:-100], "empty": b""}[damage]
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"cannot be read .*; delete it to start afresh") as info:
        run(TINY, images, run_dir=tmp_path)
    assert str(path) in str(info.value)
    assert "\n" not in str(info.value)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, images):
    save_file({"a": torch.zeros(1)}, tmp_path / "state.safetensors")
    with pytest.raises(TrainingError, match="belongs to a run with another recipe"):
        run(TINY, images, run_dir=tmp_path)


def test_a_damaged_log_is_named(tmp_path, images):
    run(TINY, images, run_dir=tmp_path)
    for text in ("step,loss\nthree,0.1\n", "a,b\n1,2\n"):
        (tmp_path / "log.csv").write_text(text)
        with pytest.raises(TrainingError, match=r"the log .* cannot be read") as info:
            run(TINY, images, run_dir=tmp_path)
        assert str(tmp_path / "log.csv") in str(info.value)


# ---------------------------------------------------------------- results, log, validation


def test_what_a_run_leaves_in_its_folder(tmp_path, images):
    result = run(TINY, images, run_dir=tmp_path / "deep" / "run")
    folder = tmp_path / "deep" / "run"
    assert sorted(p.name for p in folder.iterdir()) == [
        "log.csv",
        "sessions.json",
        "state.safetensors",
        "weights.safetensors",
    ]
    weights = load_file(folder / "weights.safetensors")
    assert set(weights) == set(build("tiny", seed=0).state_dict())
    assert all(torch.equal(weights[name], result.state[name]) for name in weights)
    rows = read_log(folder)
    assert [{name: float(value) for name, value in row.items()} for row in rows] == result.log
    assert rows[0].keys() == {"step", "seconds", "learning_rate", "loss", "iterations_per_second"}


def test_images_may_come_one_after_the_other(images):
    assert same(run(TINY, iter(images)).state, run(TINY, images).state)


def test_iterations_per_second_are_those_of_steps(tmp_path, monkeypatch, images):
    """By a clock that goes on by half a second in a step, and by much in a validation and while a file is written."""
    now = [0.0]

    def passing(name: str, seconds: float, module=trainer) -> None:
        original = getattr(module, name)

        def slow(*arguments):
            now[0] += seconds
            return original(*arguments)

        monkeypatch.setattr(module, name, slow)

    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=time.monotonic, perf_counter=lambda: now[0]))
    passing("ema_decay", 0.5)
    passing("validate", 100)
    passing("save_weights", 1000, checkpoint)
    passing("write_rows_atomic", 10)
    log = run(TINY, images, run_dir=tmp_path, log_every=5, checkpoint_seconds=0).log
    assert [row["iterations_per_second"] for row in log] == [2, 2, 2]
    assert now[0] > 12_000
    assert [float(row["iterations_per_second"]) for row in read_log(tmp_path)] == [2, 2, 2]


def test_a_log_of_an_earlier_version_is_continued(tmp_path, monkeypatch, images):
    with monkeypatch.context() as patch:
        Interrupted(patch, "learning_rate", 7)
        with pytest.raises(KeyboardInterrupt):
            run(TINY, images, run_dir=tmp_path)
    earlier = [{k: v for k, v in row.items() if k != "iterations_per_second"} for row in read_log(tmp_path)]
    write_rows_atomic(tmp_path / "log.csv", earlier)
    log = run(TINY, images, run_dir=tmp_path).log
    assert [row["step"] for row in log] == [3, 6, 9, 12]
    assert [bool(row["iterations_per_second"]) for row in read_log(tmp_path)] == [False, False, True, True]
    assert [{k: v for k, v in row.items() if k in earlier[0]} for row in read_log(tmp_path)][:2] == earlier


def psnr_by_hand(network, low, truth) -> float:
    with torch.no_grad():
        restored = np.round(network(low).clamp(0, 1).numpy().astype(np.float64) * 255) / 255
    errors = (restored - truth.numpy())[..., 2:-2, 2:-2] ** 2
    return float(np.mean(-10 * np.log10(errors.mean(axis=(1, 2, 3)))))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_validation_is_that_of_the_averaged_weights_in_single_precision(images, precision):
    generator = torch.Generator().manual_seed(4)
    inputs = {name: torch.rand(2, 3, 8, 9, generator=generator) for name in ("clean", "noisy")}
    truth = torch.rand(2, 3, 16, 18, generator=generator)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    validation = {name: (low, truth) for name, low in inputs.items()}
    result = run(TINY, images, validation=validation, fabric=fabric)
    network = build("tiny")
    network.load_state_dict(result.state)
    for name, low in inputs.items():
        assert result.log[-1][f"psnr_{name}"] == pytest.approx(psnr_by_hand(network, low, truth), abs=2e-3)
    assert len({row["psnr_clean"] for row in result.log}) == 4


def test_validation_does_not_change_the_training(images):
    low, truth = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 16, 16)
    assert same(run(TINY, images).state, run(TINY, images, validation={"any": (low, truth)}).state)


def test_mixed_precision_keeps_single_precision_weights(images):
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    mixed, single = run(TINY, images, fabric=fabric), run(TINY, images)
    assert {tensor.dtype for tensor in mixed.state.values()} == {torch.float32}
    assert not same(mixed.state, single.state)
    assert [row["loss"] for row in mixed.log] == pytest.approx([row["loss"] for row in single.log], rel=0.03)
    assert any((t.bfloat16().float() != t).any() for t in mixed.state.values()), "more digits than bfloat16 has"


def test_mixed_precision_is_resumed_bit_by_bit(tmp_path, monkeypatch, images):
    def fabric() -> Fabric:
        return Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")

    expected = run(TINY, images, fabric=fabric())
    Interrupted(monkeypatch, "learning_rate", 7)
    with pytest.raises(KeyboardInterrupt):
        run(TINY, images, fabric=fabric(), run_dir=tmp_path)
    assert same(run(TINY, images, fabric=fabric(), run_dir=tmp_path).state, expected.state)


def test_a_validation_set_may_come_or_go_between_sessions(tmp_path, monkeypatch, images):
    validation = {"any": (torch.rand(1, 3, 8, 8), torch.rand(1, 3, 16, 16))}
    for step, options in ((4, {}), (7, {"validation": validation})):
        with monkeypatch.context() as patch:
            Interrupted(patch, "learning_rate", step)
            with pytest.raises(KeyboardInterrupt):
                run(TINY, images, run_dir=tmp_path, **options)
    log = run(TINY, images, run_dir=tmp_path).log
    assert [("psnr_any" in row) for row in log] == [False, True, False, False]
    assert [bool(row["psnr_any"]) for row in read_log(tmp_path)] == [False, True, False, False]


def test_a_progress_bar_on_request(images, capsys):
    run(TINY, images)
    assert capsys.readouterr().err == ""
    run(TINY, images, progress=True)
    assert "tiny target seed 0" in capsys.readouterr().err


# ---------------------------------------------------------------- refusals


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, images):
    initial = build("tiny", seed=0).state_dict()
    initial["layers.0.weight"] = initial["layers.0.weight"] * float("nan")
    with pytest.raises(TrainingError, match="the loss became nan before step 3; lower the learning rate"):
        run(TINY, images, initial=initial, run_dir=tmp_path)
    assert not (tmp_path / "weights.safetensors").exists()


def test_what_cannot_be_trained_is_refused(images):
    with pytest.raises(TrainingError, match="at least one image"):
        run(TINY, [])
    with pytest.raises(TrainingError, match=r"training image number 0 has 30x24 pixels"):
        run(replace(TINY, patch=26), images)
    with pytest.raises(NetworkError, match="unknown network 'vgg'"):
        run(replace(TINY, network="vgg"), images)
    with pytest.raises(WeightsError, match="the file of initial weights does not fit"):
        run(TINY, images, initial=build("srresnet", seed=0).state_dict())


def test_a_batch_must_divide_over_the_processes(images):
    class Three:
        world_size = 3

    with pytest.raises(TrainingError, match="a batch of 2 does not divide over 3 processes"):
        run(TINY, images, fabric=Three())


# ---------------------------------------------------------------- several processes

TWO = """
import sys
import torch
from lightning_fabric import Fabric
from faiglib.training.recipe import Recipe
from faiglib.training.trainer import train
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
images = [torch.randint(256, (1, 3, *size), generator=generator) / 255 for size in ((24, 30), (20, 21))]
fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
recipe = Recipe("srresnet", "target", seed=0, iterations=4, batch=4, patch=16, peak_lr=1e-3)
result = train(recipe, images, run_dir=__import__("pathlib").Path(sys.argv[1]), fabric=fabric, log_every=2,
               progress=False)
assert fabric.world_size == 2
"""


def test_two_processes_train_like_one(tmp_path, images):
    (tmp_path / "two.py").write_text(TWO)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(faiglib.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, "two.py", "run"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    recipe = Recipe("srresnet", "target", seed=0, iterations=4, batch=4, patch=16, peak_lr=1e-3)
    single = run(recipe, images, log_every=2)
    rows = read_log(tmp_path / "run")
    assert [row["step"] for row in rows] == ["2", "4"]
    assert [float(row["loss"]) for row in rows] == pytest.approx([row["loss"] for row in single.log], rel=1e-4)
    double, start = load_weights(tmp_path / "run" / "weights.safetensors"), build("srresnet", seed=0).state_dict()
    apart = sum(float((double[name] - single.state[name]).abs().sum()) for name in start)
    far = sum(float((start[name] - single.state[name]).abs().sum()) for name in start)
    assert apart < 1e-3 * far


@pytest.mark.gpu
def test_a_gpu_trains_and_resumes(tmp_path, monkeypatch, images):
    recipe = replace(TINY, network="srresnet", iterations=6)

    def fabric() -> Fabric:
        return Fabric(accelerator="cuda", devices=1, precision="bf16-mixed")

    Interrupted(monkeypatch, "learning_rate", 4)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, images, run_dir=tmp_path, fabric=fabric())
    result = run(recipe, images, run_dir=tmp_path, fabric=fabric())
    assert [row["step"] for row in result.log] == [3, 6]
    assert F.l1_loss(result.state["conv_hr.weight"], build("srresnet", seed=0).state_dict()["conv_hr.weight"]) > 0
