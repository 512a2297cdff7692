"""Snapshots are the results that a run would have had, had its log ended there."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from faiglib.errors import TrainingError
from faiglib.system.tensors import read_metadata
from faiglib.training import snapshots, trainer
from faiglib.training.recipe import Recipe
from faiglib.training.trainer import train

RECIPE = Recipe("tiny", "target", 0, iterations=20, batch=1, patch=16, peak_lr=1e-3)


pytestmark = pytest.mark.usefixtures("tiny_network")


def test_the_steps_are_the_shares_of_the_run_each_once_and_not_its_end():
    assert snapshots.steps(30_000) == (300, 600, 1500, 3000, 6000, 15_000)
    assert snapshots.steps(20) == (1, 2, 4, 10)
    assert snapshots.steps(1) == ()


def test_a_snapshot_is_the_result_of_a_run_that_ended_there(tmp_path, images):
    """Under a schedule that does not know its end, so that shorter runs take the same steps."""
    endless = replace(RECIPE, schedule="cosine-restarts", period=1000)
    train(endless, images, run_dir=tmp_path, kept_steps=snapshots.steps(20), progress=False)
    found = snapshots.load(tmp_path, read_metadata(tmp_path / "state.safetensors")["identity"], 20)
    assert list(found) == [1, 2, 4, 10]
    for step, state in found.items():
        shorter = train(replace(endless, iterations=step), images, progress=False).state
        assert state.keys() == shorter.keys()
        assert all(torch.equal(state[name], shorter[name]) for name in state)


def test_a_resumed_run_has_the_same_snapshots(tmp_path, images, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(RECIPE, images, run_dir=whole, kept_steps=(3, 7, 15), progress=False)
    original = trainer.learning_rate

    def stop(recipe, step):
        if step == 9:
            raise KeyboardInterrupt
        return original(recipe, step)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "learning_rate", stop)
        with pytest.raises(KeyboardInterrupt):
            train(RECIPE, images, run_dir=parts, kept_steps=(3, 7, 15), progress=False)
    assert sorted(path.name for path in (parts / "snapshots").iterdir()) == ["3.safetensors", "7.safetensors"]
    train(RECIPE, images, run_dir=parts, kept_steps=(3, 7, 15), progress=False)
    for step in (3, 7, 15):
        first, second = (load_file(folder / f"snapshots/{step}.safetensors") for folder in (whole, parts))
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_snapshot_that_is_missing_or_of_another_run_is_named(tmp_path, images):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, seed in ((one, 0), (two, 1)):
        recipe = Recipe("tiny", "target", seed, iterations=4, batch=1, patch=16)
        train(recipe, images, run_dir=folder, kept_steps=snapshots.steps(4), progress=False)
    identity = read_metadata(one / "state.safetensors")["identity"]
    path = one / "snapshots/2.safetensors"
    shutil.copy(two / "snapshots/2.safetensors", path)
    with pytest.raises(TrainingError, match=f"{path} is of another run"):
        snapshots.load(one, identity, 4)
    path.unlink()
    with pytest.raises(TrainingError, match=f"{one} has no snapshot of step 2"):
        snapshots.load(one, identity, 4)
