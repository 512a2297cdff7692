"""Any bytes in the place of an input of the command line end in its result or in one sentence, never in a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from faiglib import networks
from faiglib.command import main
from faiglib.filters.index import FilterIndex
from faiglib.networks import zoo
from faiglib.system.tensors import save_weights
from faiglib.training import publishing, runs

SUFFIXES = ("png", "bmp", "jpg", "tif", "webp")
Damage = Callable[[bytes], bytes]


class Tiny(nn.Module):
    """A network of a few hundred weights."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@st.composite
def damages(draw) -> Damage:
    """Other bytes altogether, or a few changes of what is there: cut, overwritten, put in, taken out, with text too."""
    if draw(st.integers(0, 4)) == 0:
        other = draw(st.binary(max_size=200))
        return lambda _: other
    chance = random.Random(draw(st.integers(0, 2**32)))
    words = draw(
        st.lists(st.binary(min_size=1, max_size=8) | st.sampled_from([b"-1", b"1e9", b"null", b"\xff" * 8, b"[]"]))
    )
    kinds = draw(st.lists(st.sampled_from(["cut", "bit", "word", "insert", "remove"]), min_size=1, max_size=4))

    def damage(content: bytes) -> bytes:
        data = bytearray(content)
        for kind in kinds:
            # Half of the changes fall into the beginning, where headers are.
            place = chance.randrange(min(len(data), chance.choice((300, len(data)))) or 1) if data else 0
            if kind == "cut":
                del data[place:]
            elif kind == "bit" and data:
                data[place] ^= 1 << chance.randrange(8)
            elif kind == "word" and words:
                data[place : place + 4] = chance.choice(words)
            elif kind == "insert":
                data[place:place] = chance.randbytes(chance.randrange(1, 9))
            elif kind == "remove":
                del data[place : place + chance.randrange(1, 40)]
        return bytes(data)

    return damage


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """Sound inputs of every kind, and commands that know a tiny network in the place of SRResNet."""
    folder = tmp_path_factory.mktemp("fuzz")
    network = Tiny().eval()
    state = network.state_dict()
    save_weights(folder / "weights.safetensors", state)
    torch.save({"params_ema": state}, folder / "weights.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 14, 3), dtype=np.uint8)
    (folder / "images").mkdir()
    for suffix in SUFFIXES:
        Image.fromarray(pixels).save(folder / f"image.{suffix}")
    Image.fromarray(pixels).save(folder / "images" / "a.png")
    total = FilterIndex.of(network).total
    (folder / "ranking.txt").write_text("".join(f"{number}\n" for number in reversed(range(total))))
    (folder / "train").mkdir()
    Image.fromarray(np.tile(pixels, (3, 3, 1))).save(folder / "train" / "a.png")
    (folder / "models").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.NETWORKS, "srresnet", Tiny)
        patch.setattr(networks, "_known_shapes", dict)  # whose shapes would be remembered
        patch.setattr(runs, "validation_crops", lambda scale: {})
        patch.setattr(publishing, "measured_psnr", lambda *_: {})
        patch.setattr(publishing, "rounding", lambda *_: {"psnr": 0.0})
        run(train(folder, folder / "runs"))
        assert (folder / "runs" / "srresnet-baseline-seed0" / "run.json").is_file()
        publishing.publish(folder / "runs" / "srresnet-baseline-seed0", folder / "models", [])
        assert zoo.entries(folder / "models")
        yield folder


def train(folder: Path, out: Path) -> list[object]:
    options = ["--network=srresnet", "--role=baseline", "--profile=quick", "--iterations=2", "--batch=1", "--patch=8"]
    return ["train", *options, "--device=cpu", "--data", folder / "train", "--out", out]


def run(arguments: list[object]) -> tuple[int, str]:
    """Exit status and standard error of a command; an exception other than an exit is a failure of the test."""
    status: object = 0
    with contextlib.redirect_stderr(io.StringIO()) as error, contextlib.redirect_stdout(io.StringIO()):
        try:
            main.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
    assert isinstance(status, int)
    return status, error.getvalue()


def judge(arguments: list[object], name: str, *, may_pass: bool = True) -> None:
    """The command works, or fails with one sentence that names the file."""
    status, error = run(arguments)
    lines = [line.split("\r")[-1].rstrip() for line in error.split("\n")]
    lines = [
        line for line in lines if line and not re.search(r"\d+%\|", line) and not line.startswith("faiglib: warning: ")
    ]
    assert status in ((0, 1) if may_pass else (1,)), error
    if status:
        assert len(lines) == 1, error
        assert lines[0].startswith("faiglib: ")
        assert name in lines[0]
        assert not lines[0].endswith(".")
        assert "arbitrary code execution" not in lines[0], "torch's advice to trust the file"
    else:
        assert lines == []


FEW = settings(max_examples=40)


@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pth", "legacy.pth"])
@FEW
@given(damage=damages())
def test_bytes_as_weights(folder, file, damage):
    path = folder / f"damaged {file}"
    path.write_bytes(damage((folder / file).read_bytes()))
    out = folder / "out"
    judge(
        ["restore", "--network=srresnet", f"--weights={path}", f"--input={folder}/images", f"--output={out}"], path.name
    )
    judge(["import-weights", path, "--network=srresnet", f"--out={folder}/imported.safetensors"], path.name)


@pytest.mark.parametrize("suffix", SUFFIXES)
@FEW
@given(damage=damages())
def test_bytes_as_images(folder, suffix, damage):
    place = folder / f"damaged {suffix}"
    place.mkdir(exist_ok=True)
    (place / f"a.{suffix}").write_bytes(damage((folder / f"image.{suffix}").read_bytes()))
    weights = folder / "weights.safetensors"
    line = ["restore", "--network=srresnet", f"--weights={weights}", f"--input={place}", f"--output={folder}/out"]
    judge(line, f"a.{suffix}")


@FEW
@given(damage=damages())
def test_bytes_as_a_ranking(folder, damage):
    path = folder / "damaged ranking"
    path.write_bytes(damage((folder / "ranking.txt").read_bytes()))
    weights = folder / "weights.safetensors"
    line = ["mask", "--network=srresnet", f"--baseline={weights}", f"--target={weights}", f"--filters={path}"]
    line.append("--percent=50")  # one in a hundred of so few is none
    judge([*line, f"--input={folder}/images", f"--output={folder}/out"], path.name)


@pytest.mark.parametrize("file", ["run.json", "log.csv", "weights.safetensors"])
@FEW
@given(damage=damages())
def test_bytes_in_a_run_to_be_published(folder, file, damage):
    sound, damaged = folder / "runs" / "srresnet-baseline-seed0", folder / "damaged run"
    shutil.copytree(sound, damaged, dirs_exist_ok=True)
    (damaged / file).write_bytes(damage((sound / file).read_bytes()))
    judge(["publish", damaged, f"--models={folder}/published", "--data=skimage"], damaged.name)
    there = [path.relative_to(folder / "published") for path in (folder / "published").rglob("*") if path.is_file()]
    assert not list(folder.parent.glob("*.safetensors"))
    assert all(len(path.parts) <= 2 for path in there)


@pytest.mark.parametrize("file", ["state.safetensors", "log.csv"])
@FEW
@given(damage=damages())
def test_bytes_in_a_training_to_go_on_with(folder, file, damage):
    sound, out = folder / "runs" / "srresnet-baseline-seed0", folder / "damaged runs"
    damaged = out / sound.name
    shutil.copytree(sound, damaged, dirs_exist_ok=True)
    (damaged / file).write_bytes(damage((sound / file).read_bytes()))
    judge(train(folder, out), file)


@settings(max_examples=20)
@given(damage=damages())
def test_bytes_as_a_manifest(folder, damage):
    """``info`` says that there are no weights and why; it has more to tell, so that this is no failure."""
    place = folder / "damaged models"
    place.mkdir(exist_ok=True)
    (place / zoo.MANIFEST).write_bytes(damage((folder / "models" / zoo.MANIFEST).read_bytes()))
    status, error = run(["info", f"--models-dir={place}", f"--data-dir={folder}"])
    assert (status, error) == (0, "")


def test_sound_inputs_pass(folder, tmp_path):
    """What the others damage is sound to begin with, so that they test what they say."""
    weights = folder / "weights.safetensors"
    for line in (
        ["restore", "--network=srresnet", f"--weights={folder}/legacy.pth"],
        [
            "mask",
            "--percent=50",
            f"--filters={folder}/ranking.txt",
            "--network=srresnet",
            f"--baseline={weights}",
            f"--target={weights}",
        ],
    ):
        assert run([*line, f"--input={folder}/images", f"--output={tmp_path}"])[0] == 0
    assert json.loads((folder / "models" / zoo.MANIFEST).read_text())
