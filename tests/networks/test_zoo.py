"""The folder of weights: what goes in comes out, and what is not what the manifest says is refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from faiglib.errors import WeightsError
from faiglib.networks import build, zoo
from faiglib.system.files import sha256_file
from faiglib.training.recipe import Recipe

NETWORK = "srresnet"


def description(role: str, seed: int = 0, network: str = NETWORK, baseline: int | None = None) -> dict:
    of = seed if baseline is None else baseline
    return {
        "network": network,
        "role": role,
        "seed": seed,
        "parent": None if role == "baseline" else f"{network}-baseline-seed{of}.safetensors",
        "recipe": asdict(Recipe(network, role, seed)),
        "precision": "32-true",
        "data": "bsd400",
        "data_digest": "0" * 64,
        "made_on": {"cpu": "a θ of a CPU"},
        "seconds": 1.5,
        "psnr": {"set14": {"clean": 30.25}},
    }


def state_of(seed: int) -> dict[str, torch.Tensor]:
    return build(NETWORK, seed=seed).state_dict()


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "models"
    zoo.add(folder, state_of(2), description("target"))
    zoo.add(folder, state_of(1), description("baseline"))
    return folder


@pytest.fixture
def models(published, tmp_path) -> Path:
    """A copy that a test may damage."""
    folder = tmp_path / "models"
    folder.mkdir()
    for file in published.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def refused(action) -> str:
    with pytest.raises(WeightsError) as info:
        action()
    assert "\n" not in str(info.value)
    return str(info.value)


def test_a_pair_comes_out_rounded_to_half_precision(published):
    pair = zoo.load_pair(published, NETWORK, 0)
    assert (pair.network, pair.seed, pair.title) == (NETWORK, 0, "SRResNet")
    for network, seed in ((pair.baseline, 1), (pair.target, 2)):
        expected = {name: value.half().float() for name, value in state_of(seed).items()}
        found = network.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
        assert not network.training
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
        assert network.conv_hr.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_digest_names_both_files(published):
    files = [published / f"{NETWORK}-{role}-seed0.safetensors" for role in ("baseline", "target")]
    assert zoo.load_pair(published, NETWORK, 0).digest == "".join(map(sha256_file, files))


def test_the_manifest_holds_what_was_said_sorted(published):
    entries = zoo.entries(published)
    assert [entry.role for entry in entries] == ["baseline", "target"]
    for entry in entries:
        assert entry.file == f"{NETWORK}-{entry.role}-seed0.safetensors"
        assert entry.sha256 == sha256_file(published / entry.file)
        nothing = dict.fromkeys(
            ("rounding", "psnr_images", "parent_sha256", "continued_on", "barrier")
        )  # the target came first
        expected = {**description(entry.role), **nothing, "file": entry.file, "sha256": entry.sha256}
        assert asdict(entry) == expected
    assert "θ" in (published / zoo.MANIFEST).read_text(encoding="utf-8"), "readable by people"
    assert sorted(path.name for path in published.iterdir()) == sorted(
        [*(entry.file for entry in entries), zoo.MANIFEST]
    )


def test_adding_again_replaces(models):
    before = zoo.find(models, NETWORK, "target", 0)
    entry = zoo.add(models, state_of(7), description("target") | {"seconds": 2.0})
    assert len(zoo.entries(models)) == 2
    assert zoo.find(models, NETWORK, "target", 0) == entry != before
    target = zoo.load_pair(models, NETWORK, 0).target
    assert torch.equal(target.conv_hr.weight, state_of(7)["conv_hr.weight"].half().float())


def test_only_complete_pairs_are_listed(models):
    zoo.add(models, state_of(3), description("target", seed=4))
    assert zoo.pairs_available(models) == [(NETWORK, 0)]
    zoo.add(models, state_of(3), description("baseline", seed=4))
    assert zoo.pairs_available(models) == [(NETWORK, 0), (NETWORK, 4)]


def test_targets_may_share_a_baseline(models):
    zoo.add(models, state_of(3), description("target", seed=4, baseline=0))
    assert zoo.pairs_available(models) == [(NETWORK, 0), (NETWORK, 4)]
    pairs = [zoo.load_pair(models, NETWORK, seed) for seed in (0, 4)]
    assert torch.equal(pairs[0].baseline.conv_hr.weight, pairs[1].baseline.conv_hr.weight)
    assert not torch.equal(pairs[0].target.conv_hr.weight, pairs[1].target.conv_hr.weight)
    assert pairs[0].digest != pairs[1].digest


def test_a_target_belongs_to_the_baseline_that_was_there(models):
    baseline = zoo.find(models, NETWORK, "baseline", 0)
    zoo.add(models, state_of(2), description("target"))
    target = zoo.find(models, NETWORK, "target", 0)
    assert (target.parent_sha256, baseline.parent_sha256) == (sha256_file(models / baseline.file), None)
    zoo.add(models, state_of(1), description("baseline") | {"seconds": 9.0})
    zoo.load_pair(models, NETWORK, 0)  # the same weights again

    zoo.add(models, state_of(5), description("baseline"))
    message = refused(lambda: zoo.load_pair(models, NETWORK, 0))
    assert message.startswith(f"{target.file} was not trained from the {baseline.file} that {models / zoo.MANIFEST}")
    zoo.add(models, state_of(2), description("target"))
    zoo.load_pair(models, NETWORK, 0)


def test_sessions_on_other_machines_are_kept(models):
    entry = zoo.add(models, state_of(2), description("target") | {"continued_on": [{"cpu": "another"}]})
    assert zoo.find(models, NETWORK, "target", 0) == entry
    assert json.loads((models / zoo.MANIFEST).read_text())["models"][1]["continued_on"] == [{"cpu": "another"}]


def test_a_manifest_of_an_earlier_version_is_read(models):
    path = models / zoo.MANIFEST
    listed = json.loads(path.read_text())
    for entry in listed["models"]:
        del entry["parent_sha256"], entry["continued_on"]
    path.write_text(json.dumps(listed))
    assert [(one.parent_sha256, one.continued_on) for one in zoo.entries(models)] == [(None, None)] * 2
    zoo.load_pair(models, NETWORK, 0)


def test_a_target_of_another_networks_baseline_is_no_pair(models):
    zoo.add(models, state_of(1), description("target", network="srcnn_style") | {"parent": f"{NETWORK}-baseline-seed0"})
    assert zoo.pairs_available(models) == [(NETWORK, 0)]
    assert "does not list" in refused(lambda: zoo.load_pair(models, "srcnn_style", 0))


def test_a_changed_file_is_refused(models):
    path = models / f"{NETWORK}-target-seed0.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert f"{path} was changed" in refused(lambda: zoo.load_pair(models, NETWORK, 0))


def test_a_missing_file_is_refused(models):
    path = models / f"{NETWORK}-baseline-seed0.safetensors"
    path.unlink()
    assert f"{path} does not exist" in refused(lambda: zoo.load_pair(models, NETWORK, 0))


def test_weights_under_the_name_of_another_network_are_refused(models):
    zoo.add(models, state_of(1), description("baseline", network="srcnn_style"))
    zoo.add(models, state_of(1), description("target", network="srcnn_style"))
    assert "does not fit SRCNNStyle" in refused(lambda: zoo.load_pair(models, "srcnn_style", 0))


@pytest.mark.parametrize(("network", "seed"), [(NETWORK, 9), ("srcnn_style", 0), ("nonsense", 0)])
def test_what_is_not_listed_is_refused(published, network, seed):
    message = refused(lambda: zoo.load_pair(published, network, seed))
    assert f"lists no target of {network} with seed {seed}" in message


def broken_manifests() -> dict[str, bytes]:
    entry = {**description("baseline"), "file": "a.safetensors", "sha256": "0" * 64}
    return {
        "not JSON": b"{",
        "not text": b"\xff\xfe\x00",
        "empty": b"",
        "a list": b"[]",
        "no models": b"{}",
        "models no list": b'{"models": 3}',
        "entry no mapping": b'{"models": [1]}',
        "field missing": json.dumps({"models": [{k: v for k, v in entry.items() if k != "sha256"}]}).encode(),
        "unknown field": json.dumps({"models": [entry | {"colour": "red"}]}).encode(),
        "no recipe": json.dumps({"models": [entry | {"recipe": None}]}).encode(),
        "no scale": json.dumps({"models": [entry | {"recipe": {}}]}).encode(),
        "no quality": json.dumps({"models": [entry | {"psnr": None}]}).encode(),
    }


@pytest.mark.parametrize("content", broken_manifests().values(), ids=broken_manifests().keys())
def test_a_broken_manifest_is_one_sentence(models, content):
    path = models / zoo.MANIFEST
    path.write_bytes(content)
    for action in (
        lambda: zoo.entries(models),
        lambda: zoo.pairs_available(models),
        lambda: zoo.load_pair(models, NETWORK, 0),
        lambda: zoo.add(models, state_of(1), description("baseline")),
    ):
        assert refused(action).startswith(f"the manifest {path} cannot be read: ")
    assert path.read_bytes() == content, "nothing that a person could repair is overwritten"


def test_the_folder_of_models(models, tmp_path):
    assert zoo.models_dir(models) == models
    assert zoo.models_dir(str(models)) == models
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing"):
        assert str(folder) in refused(lambda folder=folder: zoo.models_dir(folder))


def test_without_a_choice_the_checkout_comes_before_the_package(tmp_path, monkeypatch):
    package = tmp_path / "checkout" / "faiglib"
    inside, beside = package / "_models", package.parent / "models"
    inside.mkdir(parents=True)
    beside.mkdir()
    monkeypatch.setattr(zoo, "__file__", str(package / "networks" / "zoo.py"))
    message = refused(zoo.models_dir)
    assert str(inside) in message
    assert str(beside) in message
    (inside / zoo.MANIFEST).write_text("{}")
    assert zoo.models_dir() == inside
    (beside / zoo.MANIFEST).write_text("{}")
    assert zoo.models_dir() == beside
