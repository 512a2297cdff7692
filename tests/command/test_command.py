"""The command line from end to end: what it writes, how it is interrupted, and one sentence for every bad input."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pickle
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import lightning_fabric
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import faiglib
from faiglib.attribution.completeness import path_integral
from faiglib.attribution.overlap import filters_of_image
from faiglib.attribution.parameter_path import ParameterPath, faig
from faiglib.command import attribution, folders, main, sums
from faiglib.command import options as command_options
from faiglib.command import training as command_training
from faiglib.errors import WeightsError
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores, top_of
from faiglib.filters.substitution import substitute
from faiglib.images import datasets, downloads, registry
from faiglib.images.chain import Chain, Downsample, GaussianBlur, GaussianNoise, Jpeg, MotionBlur
from faiglib.images.degradations import Degradation, noise_generator
from faiglib.networks import NETWORKS, build, zoo
from faiglib.system.tensors import load_weights, read_metadata, save_weights
from faiglib.training import checkpoint, milestones, publishing
from tests.helpers.pictures import read, write

NETWORK = "srresnet_s"  # the smallest
TOTAL = 21_696
"""Its filters at scale 2."""

COMMANDS = (
    *("attribute", "mask", "interpolate", "predict", "restore", "degrade"),
    *("train", "race", "publish", "import-weights", "fetch", "info"),
)
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(Path(faiglib.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
}


@dataclass(frozen=True)
class Outcome:
    """Exit status, standard output, and the lines of standard error that are no progress bars."""

    status: int
    out: str
    lines: list[str]

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.lines if line.startswith("faiglib: warning: ")]

    @property
    def error(self) -> str:
        """The only other line; anything else, such as a traceback, is a failure."""
        (line,) = (line for line in self.lines if line not in self.warnings)
        assert line.startswith("faiglib: ")
        return line.removeprefix("faiglib: ")


def visible(text: str) -> list[str]:
    """Lines as a terminal shows them in the end, without progress bars."""
    lines = [line.split("\r")[-1].rstrip() for line in text.split("\n")]
    return [line for line in lines if line and not re.search(r"\d+%\|.*\|.*\[.*\]$", line)]


Call = Callable[..., Outcome]


@pytest.fixture
def call(capsys, tmp_path) -> Iterator[Call]:
    """Run a command in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        status: str | int | None = 0
        try:
            main.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
        captured = capsys.readouterr()
        assert isinstance(status, int)
        return Outcome(status, captured.out, visible(captured.err))

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert not list(tmp_path.rglob("*.tmp")), "no half-written file stays"


@pytest.fixture
def fails(call) -> Callable[..., str]:
    """Run a command that has to fail with one sentence, and return it."""

    def run(*arguments: object, status: int = 1) -> str:
        outcome = call(*arguments)
        assert outcome.status == status, outcome
        return outcome.error

    return run


def start(*arguments: object, module: Sequence[object] = ("faiglib",), **options) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, (*module, *arguments))],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process: subprocess.Popen[str]) -> Outcome:
    out, err = process.communicate(timeout=120)
    return Outcome(process.returncode, out, visible(err))


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def places(tmp_path_factory, monkeypatch):
    """No data folder, an empty cache, and connections to this machine only."""
    monkeypatch.delenv("FAIGLIB_DATA", raising=False)
    monkeypatch.setenv("FAIGLIB_CACHE", str(tmp_path_factory.getbasetemp() / "empty cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(downloads, "RETRIES", 0)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@dataclass(frozen=True)
class Material:
    """Weights and matched images."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        return self.folder / (f"{name}.safetensors" if name in ("baseline", "target") else name)

    def networks(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        pair = build("srresnet_s"), build("srresnet_s")
        for network, path in zip(pair, (self.target, self.baseline), strict=True):
            network.load_state_dict(load_weights(path))
        return pair

    def attribute(self, out: Path, **changes: object) -> list[object]:
        options = {
            "network": "srresnet_s",
            "baseline": self.baseline,
            "target": self.target,
            "gt": self.gt,
            "blur": self.blur,
            "noise": self.noise,
            "out": out,
            "nodes": 2,
        }
        return ["attribute", *arguments(options | changes)]

    def restore(self, output: Path, **changes: object) -> list[object]:
        options = {"network": "srresnet_s", "weights": self.target, "input": self.noise, "output": output}
        return ["restore", *arguments(options | changes)]

    def mask(self, output: Path, **changes: object) -> list[object]:
        options = {
            "network": "srresnet_s",
            "baseline": self.baseline,
            "target": self.target,
            "filters": self.ranking,
            "input": self.noise,
            "output": output,
        }
        return ["mask", *arguments(options | changes)]


def arguments(options: dict[str, object]) -> list[object]:
    """Options as words; a tuple is an option that is given several times."""
    words: list[object] = []
    for name, value in options.items():
        for one in value if isinstance(value, tuple) else (value,):
            words += [f"--{name.replace('_', '-')}", one]
    return words


@pytest.fixture(scope="session")
def material(tmp_path_factory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    baseline = build("srresnet_s", seed=1).state_dict()
    generator = torch.Generator().manual_seed(2)
    target = {name: value + 0.01 * torch.randn(value.shape, generator=generator) for name, value in baseline.items()}
    save_weights(folder / "baseline.safetensors", baseline)
    save_weights(folder / "target.safetensors", target)
    for number, (name, height, width) in enumerate((("a", 24, 28), ("b", 24, 24), ("c", 28, 24))):
        path = write(folder / "gt" / f"{name}.png", height, width, number)
        for kind, degradation in (("blur", Degradation(blur_sigma=2)), ("noise", Degradation(noise_sigma=0.1))):
            low = degradation(read(path), noise_generator(0, number))[0].permute(1, 2, 0) * 255
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(low.round().byte().numpy()).save(folder / kind / f"{name}.png")
    ranking = np.random.default_rng(0).permutation(TOTAL)
    (folder / "ranking").write_text("".join(f"{number}\n" for number in ranking))
    return Material(folder)


@pytest.fixture(scope="session")
def attributed(material, tmp_path_factory) -> Path:
    """Output of an attribution that nobody disturbed."""
    out = tmp_path_factory.mktemp("attributed") / "new" / "out"
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        main.main([str(argument) for argument in material.attribute(out)])
    return out


@pytest.fixture
def broken(material, tmp_path) -> Material:
    """A copy of the images, to be damaged, with the same weights."""
    folder = tmp_path / "broken"
    for kind in ("gt", "blur", "noise"):
        (folder / kind).mkdir(parents=True)
        for path in (material.folder / kind).iterdir():
            (folder / kind / path.name).write_bytes(path.read_bytes())
    for name in ("baseline.safetensors", "target.safetensors", "ranking"):
        (folder / name).symlink_to(material.folder / name)
    return Material(folder)


def test_help_of_every_command(call):
    outcome = call("--help")
    assert outcome.status == 0
    assert outcome.lines == []
    for command in COMMANDS:
        assert re.search(rf"^  {command}  +[A-Z][^.]*\.$", outcome.out, re.MULTILINE), "described in full"
        page = call(command, "--help")
        assert page.status == 0
        assert page.lines == []
        assert page.out.startswith(f"Usage: faiglib {command} ")
        assert max(map(len, page.out.splitlines())) <= 100
    assert call().out == outcome.out, "without arguments"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "attribute",
            "--network --baseline --target --gt --blur --noise --out --rule --nodes --scale --devices --memory left",
        ),
        ("mask", "--network --baseline --target --filters --percent --input --output --scale --device"),
        ("restore", "--network --weights --input --output --scale --device srresnet srcnn_style"),
        ("degrade", "--input --output --blur --noise --seed --scale --jpeg --step motion:9@45"),
        ("train", "--network --role --profile --data --out --seed --devices --nodes quick deblurring bf16-mixed"),
        ("race", "--preset --data --test --data-dir --out --record --device cpu full quick"),
        ("import-weights", "--network --out --scale"),
        ("fetch", "set14 bsd100 kodak24 --data-dir"),
    ],
)
def test_help_names_options_and_values(call, command, words):
    page = call(command, "--help").out
    for word in words.split():
        assert re.search(rf"(?<![\w-]){word}(?![\w-])", page), word


def test_version(call):
    assert call("--version").out == f"faiglib {faiglib.__version__}\n"


def test_info(call, material, tmp_path):
    outcome = call("info", "--network", "srcnn_style", "--models-dir", tmp_path)
    assert outcome.status == 0
    assert outcome.lines == []
    assert f"faiglib {faiglib.__version__}, torch {torch.__version__}, device " in outcome.out
    assert "  set14        not here; faiglib fetch set14" in outcome.out
    assert "  skimage      5 images, embedded" in outcome.out
    assert f"none: no manifest.json of trained weights in {tmp_path}" in outcome.out
    assert "srcnn_style  156,224 in 9 layers" in outcome.out
    assert "srresnet     151,936 in 36 layers" in outcome.out
    layers = re.findall(r"^    (\S+) +([\d,]+) from id ([\d,]+)$", outcome.out, re.MULTILINE)
    network = build("srcnn_style")
    first = 0
    for (name, count, offset), (weight, value) in zip(
        layers, [(n, v) for n, v in network.state_dict().items() if v.ndim == 4], strict=True
    ):
        assert name == weight
        assert int(count.replace(",", "")) == value.shape[0] * value.shape[1]
        assert int(offset.replace(",", "")) == first
        first += value.shape[0] * value.shape[1]


def test_info_about_a_data_folder_that_is_not_there(call, tmp_path, monkeypatch):
    monkeypatch.setenv("FAIGLIB_DATA", str(tmp_path / "nowhere"))
    assert f"the data folder {tmp_path / 'nowhere'} does not exist" in call("info").out
    assert f"the data folder {tmp_path / 'there'} does not exist" in call("info", "--data-dir", tmp_path / "there").out


def test_attribution_is_that_of_the_library(attributed, material):
    pairs = {
        kind: [(read(path), read(material.gt / path.name)) for path in sorted((material.folder / kind).iterdir())]
        for kind in ("blur", "noise")
    }
    scores = {kind: faig(*material.networks(), images, nodes=2) for kind, images in pairs.items()}
    assert sorted(path.name for path in attributed.iterdir()) == [
        "blur_index.txt",
        "blur_scores.safetensors",
        "blur_totals.csv",
        "noise_index.txt",
        "noise_scores.safetensors",
        "noise_totals.csv",
    ]
    for kind, other in (("blur", "noise"), ("noise", "blur")):
        expected = scores[kind].values - scores[other].values
        ids = np.loadtxt(attributed / f"{kind}_index.txt", dtype=np.int64)
        assert (attributed / f"{kind}_index.txt").read_text() == "".join(f"{number}\n" for number in ids)
        assert sorted(ids) == list(range(TOTAL)), "every filter once"
        assert np.array_equal(ids, np.argsort(-expected.numpy(), kind="stable"))
        loaded = FilterScores.load(attributed / f"{kind}_scores.safetensors")
        assert torch.equal(loaded.values, expected)
        assert loaded.index == FilterIndex.of(build("srresnet_s"))


def test_totals_are_sums_over_filters(attributed, material):
    target, baseline = material.networks()
    images = [(read(path), read(material.gt / path.name)) for path in sorted((material.folder / "blur").iterdir())]
    whole = faig(target, baseline, images, nodes=2)
    parts = [path_integral(target, baseline, *one, nodes=2).contributions for one in images]
    with (attributed / "blur_totals.csv").open() as file:
        rows = list(csv.DictReader(file))
    layers = {row["layer"]: row for row in rows if not row["channel"]}
    for layer, piece in whole.index.split(whole.values):
        name = layer.name.removesuffix(".weight")
        channels = [row for row in rows if row["layer"] == name and row["channel"]]
        assert [int(row["channel"]) for row in channels] == list(range(layer.outputs))
        assert float(layers[name]["absolute"]) == pytest.approx(float(piece.sum()), rel=1e-6)
        assert [float(row["absolute"]) for row in channels] == pytest.approx(piece.sum(1).tolist(), rel=1e-6)
        signed = sum(part[layer.name].double().sum((1, 2, 3)) for part in parts) / len(parts)
        assert [float(row["signed"]) for row in channels] == pytest.approx(signed.tolist(), rel=1e-5, abs=1e-9)
        assert float(layers[name]["signed"]) == pytest.approx(float(signed.sum()), rel=1e-5, abs=1e-9)


@pytest.mark.slow
def test_attribution_by_several_processes_gives_the_same_files(material, attributed, tmp_path):
    outcome = finish(start(*material.attribute(tmp_path / "out", device="cpu", devices=2)))
    assert outcome.status == 0, outcome
    assert outcome.out.count("Ranked") == 1
    assert content(tmp_path / "out") == content(attributed)


def test_attribution_in_little_memory(call, fails, material, attributed, tmp_path):
    assert call(*material.attribute(tmp_path / "enough", memory=1)).status == 0
    assert content(tmp_path / "enough") == content(attributed)
    assert "does not suffice" in fails(*material.attribute(tmp_path / "little", memory=0.0001))
    assert "positive number of GiB" in fails(*material.attribute(tmp_path / "none", memory=0))


def test_attribution_until_the_choice_is_stable(call, fails, material, tmp_path):
    outcome = call(*material.attribute(tmp_path / "out", nodes=1, until=0.01, crop=8))
    assert outcome.status == 0
    assert re.search(r"After 20 crops of 8 pixels their resamples agree in [\d.]+% of the best filters\.", outcome.out)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{kind}_{what}" for kind in ("blur", "noise") for what in ("index.txt", "scores.safetensors", "totals.csv")
    }
    short = material.attribute(tmp_path / "short", nodes=1, until=0.999, crop=8, most=20)
    assert "with a larger --most than 20 it goes on from there" in fails(*short)
    for share in (0, 1, 2):
        wrong = material.attribute(tmp_path / "wrong", until=share)
        assert f"--until takes a share between 0 and 1, not {share}" in fails(*wrong)


@pytest.mark.parametrize(("rank", "told"), [(None, True), ("0", True), ("1", False)])
def test_what_every_process_raises_is_said_by_one(call, material, tmp_path, monkeypatch, rank, told):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    outcome = call(*material.attribute(tmp_path, nodes=1, until=0.999, crop=8, most=20))
    assert outcome.status == 1
    assert any("with a larger --most" in line for line in outcome.lines) == told


@pytest.mark.parametrize("named", [{"network": "srresnet_s"}, {}])
def test_a_scale_of_zero_is_refused(fails, material, tmp_path, named):
    command = ["restore", "--weights", material.target, "--input", material.noise, "--output", tmp_path / "out"]
    assert "scale" in fails(*command, *arguments(named | {"scale": 0}))


def test_channels_are_ranked_and_masked(call, fails, material, tmp_path):
    outcome = call(*material.attribute(tmp_path / "out", nodes=1, units="channels"))
    assert outcome.status == 0
    index = FilterIndex.of(build("srresnet_s"), "channels")
    assert f"Ranked {index.total:,} channels on 3 images" in outcome.out
    assert FilterScores.load(tmp_path / "out" / "blur_scores.safetensors").index == index
    options = {
        "network": "srresnet_s",
        "baseline": material.baseline,
        "target": material.target,
        "filters": tmp_path / "out" / "blur_index.txt",
        "input": material.blur,
        "output": tmp_path / "masked",
    }
    masked = call("mask", *arguments({**options, "units": "channels", "percent": 100}))
    assert f"Replaced {index.total:,} of {index.total:,} channels." in masked.out
    assert f"does not name each of the network's {TOTAL} filters" in fails("mask", *arguments(options))


def test_filters_are_interpolated(call, fails, material, attributed, tmp_path):
    options = {
        "baseline": material.baseline,
        "target": material.target,
        "filters": attributed / "noise_index.txt",
        "input": material.noise,
        "percent": 5,
    }
    line = ["interpolate", *arguments({**options, "output": tmp_path / "out", "lambda": 0.25})]
    outcome = call(*line)
    assert outcome.status == 0
    assert f"Moved {TOTAL * 5 // 100:,} of {TOTAL:,} filters to λ = 0.25." in outcome.out
    target, baseline = material.networks()
    index = FilterIndex.of(target)
    ids = torch.tensor([int(line) for line in (attributed / "noise_index.txt").read_text().split()])
    expected = substitute(target, baseline, top_of(index, ids, 5), 0.75)
    image = read(material.noise / "a.png")
    with torch.no_grad():
        restored = (255 * expected(image).clamp(0, 1)).round() / 255
    assert torch.equal(read(tmp_path / "out" / "a.png"), restored)
    assert "--lambda is a number, not nan" in fails(*line[:-1], "nan")


def test_degradations_are_predicted(call, fails, material, attributed, tmp_path):
    options = {
        "baseline": material.baseline,
        "target": material.target,
        "input": material.noise,
        "out": tmp_path / "scores.csv",
        "filters": tuple(f"{name}={attributed / name}_index.txt" for name in ("noise", "blur")),
    }
    outcome = call("predict", *arguments(options))
    assert outcome.out == f"Wrote the scores of 3 images to {tmp_path / 'scores.csv'}.\n"
    head, *rows = [line.split(",") for line in (tmp_path / "scores.csv").read_text().splitlines()]
    assert head == ["image", "noise", "blur"]
    assert [name for name, *_ in rows] == ["a", "b", "c"]
    path = ParameterPath(*material.networks())
    own = filters_of_image(path, read(material.noise / "a.png"))
    for name, score in zip(head[1:], rows[0][1:], strict=True):
        ids = torch.tensor([int(line) for line in (attributed / f"{name}_index.txt").read_text().split()])
        assert float(score) == pytest.approx(own.overlap(top_of(path.index, ids, 1)), abs=1e-6)
    assert "is not of the form NAME=FILE" in fails("predict", *arguments({**options, "filters": "blur_index.txt"}))


def test_attribution_as_released(call, material, tmp_path):
    for kind in ("gt", "blur", "noise"):
        (tmp_path / kind).mkdir()
        side = 4 if kind == "gt" else 2
        Image.open(material.folder / kind / "a.png").crop((0, 0, side, side)).save(tmp_path / kind / "a.png")
    changes = {kind: tmp_path / kind for kind in ("gt", "blur", "noise")}
    outcome = call(*material.attribute(tmp_path / "out", rule="left", nodes=100, **changes))
    assert outcome.status == 0
    assert outcome.lines == []
    assert f"Ranked {TOTAL:,} filters on 1 image" in outcome.out
    images = [(read(tmp_path / kind / "a.png"), read(tmp_path / "gt" / "a.png")) for kind in ("blur", "noise")]
    blurry, noisy = (faig(*material.networks(), [image], rule="left", nodes=100) for image in images)
    found = FilterScores.load(tmp_path / "out" / "noise_scores.safetensors").values
    assert torch.equal(found, (noisy - blurry).values)


def test_a_killed_attribution_goes_on(call, material, attributed, tmp_path, monkeypatch):
    out = tmp_path / "out"
    process = start(*material.attribute(out))

    def one_image_is_done() -> bool:
        with contextlib.suppress(WeightsError):
            return int(read_metadata(out / sums.PARTIAL).get("done", 0)) >= 1
        return False

    wait_until(one_image_is_done, process)
    process.kill()
    process.communicate()
    assert [path.name for path in out.iterdir() if path.suffix != ".tmp"] == [sums.PARTIAL]
    for path in out.glob(".*.tmp"):
        path.unlink()
    done = int(read_metadata(out / sums.PARTIAL)["done"])
    counted = []
    genuine = attribution.image_scores
    monkeypatch.setattr(
        attribution, "image_scores", lambda *rest, **options: counted.append(1) or genuine(*rest, **options)
    )
    assert call(*material.attribute(out)).status == 0
    assert len(counted) == 2 * (3 - done)
    assert content(out) == content(attributed)


def test_an_attribution_of_changed_files_starts_afresh(call, broken, tmp_path, monkeypatch, attributed):
    out = tmp_path / "out"
    genuine = attribution.image_scores
    calls = []

    def interrupted(*rest, **options):
        if len(calls) == 4:
            raise KeyboardInterrupt
        calls.append(1)
        return genuine(*rest, **options)

    monkeypatch.setattr(attribution, "image_scores", interrupted)
    outcome = call(*broken.attribute(out))
    assert (outcome.status, outcome.lines) == (130, [])
    assert read_metadata(out / sums.PARTIAL)["done"] == "2"
    monkeypatch.setattr(attribution, "image_scores", genuine)
    write(broken.noise / "a.png", 12, 14, 77)
    before = content(out)
    refused = call(*broken.attribute(out))
    assert refused.status == 1
    assert "holds 2 images or crops of an unfinished run of other work" in refused.lines[-1]
    assert content(out) == before
    assert call(*broken.attribute(out), "--overwrite").status == 0
    assert call(*broken.attribute(tmp_path / "fresh")).status == 0
    assert content(out) == content(tmp_path / "fresh")
    assert content(out) != content(attributed)


def test_masking_nothing_is_the_target_and_everything_the_baseline_but_its_biases(call, material, tmp_path):
    def masked(percent: float) -> dict[str, bytes]:
        output = tmp_path / f"masked {percent}"
        outcome = call(*material.mask(output, percent=percent))
        assert outcome.status == 0
        assert f"Replaced {int(TOTAL * percent / 100):,} of {TOTAL:,} filters." in outcome.out
        return content(output)

    call(*material.restore(tmp_path / "target"))
    assert masked(0) == content(tmp_path / "target")
    target, baseline = material.networks()
    state = target.state_dict()
    state.update({name: value for name, value in baseline.state_dict().items() if value.ndim == 4})
    save_weights(tmp_path / "mixed.safetensors", state)
    call(*material.restore(tmp_path / "mixed", weights=tmp_path / "mixed.safetensors"))
    everything = masked(100)
    assert everything == content(tmp_path / "mixed")
    for one in (masked(1), everything):
        assert one.keys() == {"a.png", "b.png", "c.png"}
        assert all(one[name] != content(tmp_path / "target")[name] for name in one)


def test_masking_goes_by_the_ranking(call, material, tmp_path):
    ids = np.loadtxt(material.ranking, dtype=np.int64)[: TOTAL // 100]
    target, baseline = material.networks()
    donor, first = baseline.state_dict(), 0
    with torch.no_grad():
        for name, weight in target.named_parameters():
            if weight.ndim == 4:
                count = weight.shape[0] * weight.shape[1]
                for number in ids[(ids >= first) & (ids < first + count)] - first:
                    weight[divmod(int(number), weight.shape[1])] = donor[name][divmod(int(number), weight.shape[1])]
                first += count
    save_weights(tmp_path / "by hand.safetensors", target.state_dict())
    call(*material.restore(tmp_path / "by hand", weights=tmp_path / "by hand.safetensors"))
    call(*material.mask(tmp_path / "masked"))
    assert content(tmp_path / "masked") == content(tmp_path / "by hand")


def test_a_share_that_is_no_filter_is_refused(fails, material, tmp_path):
    few = 90 / TOTAL
    message = fails(*material.mask(tmp_path / "out", percent=few))
    least = re.search(r"are none; --percent ([\d.]+) is one or more", message)
    assert least
    assert int(TOTAL * float(least[1]) / 100) >= 1
    assert not (tmp_path / "out").exists()


def test_restored_images_are_larger_and_keep_their_names(call, material, tmp_path):
    write(tmp_path / "in" / "photo.1.jpg", 13, 10, 0)
    write(tmp_path / "in" / "drawing.BMP", 6, 9, 1)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    outcome = call(*material.restore(tmp_path / "out", input=tmp_path / "in"))
    assert outcome.status == 0
    assert outcome.out == f"Wrote 2 images to {tmp_path / 'out'}.\n"
    sizes = {path.name: Image.open(path).size for path in (tmp_path / "out").iterdir()}
    assert sizes == {"photo.1.png": (20, 26), "drawing.png": (18, 12)}
    target, _ = material.networks()
    with torch.no_grad():
        expected = target(read(tmp_path / "in" / "drawing.BMP")).clamp(0, 1) * 255
    assert (read(tmp_path / "out" / "drawing.png") * 255 - expected).abs().max() < 0.51


def test_other_scales(call, material, tmp_path):
    save_weights(tmp_path / "x3.safetensors", build("srcnn_style", seed=0, scale=3).state_dict())
    options = {"network": "srcnn_style", "weights": tmp_path / "x3.safetensors", "scale": 3}
    assert call(*material.restore(tmp_path / "out", **options)).status == 0
    assert Image.open(tmp_path / "out" / "a.png").size == (42, 36)


@pytest.mark.parametrize(
    ("options", "degradation"),
    [
        ({"blur": 2}, Degradation(blur_sigma=2)),
        ({"noise": 0.1}, Degradation(noise_sigma=0.1)),
        ({"blur": 1.25, "noise": 0.05, "scale": 4}, Degradation(1.25, 0.05, 4)),
        ({}, Degradation()),
        ({"noise": 0.1, "jpeg": 30}, Chain((Downsample(2), GaussianNoise(0.1), Jpeg(30)))),
        ({"blur": 2, "jpeg": 90, "scale": 4}, Chain((GaussianBlur(2, 2), Downsample(4), Jpeg(90)))),
        (
            {"step": ("jpeg:40/444", "motion:5@30", "down:2")},
            Chain((Jpeg(40, "444"), MotionBlur(5, 30), Downsample(2))),
        ),
    ],
)
def test_degraded_images_are_those_of_the_library(call, material, tmp_path, options, degradation):
    outcome = call("degrade", *arguments({"input": material.gt, "output": tmp_path / "out", "seed": 5, **options}))
    assert outcome.status == 0
    assert outcome.out.startswith(f"Wrote 3 images to {tmp_path / 'out'} (")
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        expected = degradation(read(material.gt / name), noise_generator(5, number))
        assert torch.equal(read(tmp_path / "out" / name), expected)


def test_noise_is_decided_by_the_seed(call, material, tmp_path):
    for folder, seed in (("one", 1), ("two", 1), ("three", 2)):
        call("degrade", *arguments({"input": material.gt, "output": tmp_path / folder, "noise": 0.1, "seed": seed}))
    one, two, three = (content(tmp_path / folder) for folder in ("one", "two", "three"))
    assert one == two
    assert all(one[name] != three[name] for name in one)
    largest = {"input": material.gt, "output": tmp_path / "four", "noise": 0.1, "seed": command_options.LARGEST_SEED}
    assert call("degrade", *arguments(largest)).status == 0


@pytest.mark.parametrize("keys", [("params_ema", "params"), ("params",), ()], ids=lambda keys: "+".join(keys) or "bare")
def test_released_weights_are_imported(call, tmp_path, keys):
    state = build("srcnn_style", seed=4).state_dict()
    other = build("srcnn_style", seed=5).state_dict()
    released = {key: state if key == keys[0] else other for key in keys} or state
    torch.save(released, tmp_path / "released.pth")
    out = tmp_path / "new" / "imported.safetensors"
    outcome = call("import-weights", tmp_path / "released.pth", "--network", "srcnn_style", "--out", out)
    assert (outcome.status, outcome.out, outcome.lines) == (0, f"Wrote {out}.\n", [])
    loaded = load_weights(out)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    assert read_metadata(out) == {"network": "srcnn_style", "scale": "2", "source": "released.pth"}


@pytest.fixture(scope="session")
def training_images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "photos"
    for number in range(2):
        write(folder / f"{number}.png", 36, 48, number)
    return folder


def train(data: Path, out: Path, **changes: object) -> list[object]:
    options = {
        "network": "srresnet_s",
        "role": "baseline",
        "profile": "quick",
        "data": data,
        "out": out,
        "device": "cpu",
        "batch": 1,
        "patch": 12,
        "iterations": 40,
    }
    return ["train", *arguments(options | changes)]


@pytest.fixture(scope="session")
def undisturbed(training_images, tmp_path_factory) -> dict[str, bytes]:
    """Weights of a training that nobody interrupted."""
    out = tmp_path_factory.mktemp("undisturbed")
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        main.main([str(argument) for argument in train(training_images, out)])
    return load_weights(out / "srresnet_s-baseline-seed0" / "weights.safetensors")


@pytest.mark.parametrize("ignoring", [False, True], ids=["SIGINT", "SIGTERM, while SIGINT is ignored"])
def test_an_interrupted_training_goes_on_to_the_same_bits(call, training_images, undisturbed, tmp_path, ignoring):
    """Ctrl-C, and what ends a program in the background of a shell script, where Ctrl-C is ignored."""
    folder = tmp_path / "srresnet_s-baseline-seed0"
    log = folder / "log.csv"
    process = start(
        *train(training_images, tmp_path),
        # Set either way: whoever started the tests may have been told to ignore SIGINT.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_IGN if ignoring else signal.SIG_DFL),
    )
    wait_until(log.exists, process)
    process.send_signal(signal.SIGINT)
    if ignoring:
        rows = log.read_text().count("\n")
        wait_until(lambda: log.read_text().count("\n") > rows, process)
        process.send_signal(signal.SIGTERM)
    outcome = finish(process)
    assert outcome.status == 128 + (signal.SIGTERM if ignoring else signal.SIGINT)
    assert outcome.error == "interrupted"
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == ["log.csv", "sessions.json", "snapshots", "state.safetensors"]
    assert 10 <= int(read_metadata(folder / "state.safetensors")["step"]) < 40

    outcome = call(*train(training_images, tmp_path))
    assert outcome.status == 0
    assert outcome.out == f"Trained weights: {folder / 'weights.safetensors'}\n"
    weights = load_weights(folder / "weights.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in undisturbed.items())
    steps = [int(line.split(",")[0]) for line in log.read_text().splitlines()[1:]]
    assert steps == [10, 20, 30, 40]


def test_training_publishing_and_loading(call, training_images, tmp_path, monkeypatch):
    outcome = call(
        "train",
        *arguments({"network": "srresnet_s", "profile": "quick", "data": training_images, "out": tmp_path, "seed": 2}),
        *("--iterations", 4, "--patch", 16, "--device", "cpu"),
    )
    assert outcome.status == 0
    assert outcome.lines == []
    made = [tmp_path / f"srresnet_s-{role}-seed2" for role in ("baseline", "target")]
    assert outcome.out == "".join(f"Trained weights: {folder / 'weights.safetensors'}\n" for folder in made)
    described = json.loads((made[1] / "run.json").read_text())
    assert described["parent"] == "srresnet_s-baseline-seed2.safetensors"
    assert described["data"] == "photos"

    asked = []
    small = datasets.from_folder(training_images)
    monkeypatch.setattr(publishing, "ROUNDING_CROP", 16)
    monkeypatch.setattr(milestones, "examine", lambda *_: [])
    monkeypatch.setattr(datasets, "find", lambda name, data_dir=None: asked.append((name, data_dir)) or small)
    models = tmp_path / "models"
    outcome = call("publish", *made, "--models", models)
    assert outcome.status == 0
    assert outcome.lines == []
    assert asked[:2] == [("set14", None), ("bsd100", None)]
    entry = zoo.find(models, "srresnet_s", "target", 2)
    assert f"srresnet_s-target-seed2.safetensors: {entry.psnr}" in outcome.out
    pair = zoo.load_pair(models, "srresnet_s", 2)
    assert entry.psnr == {"photos": publishing.measured_psnr(pair.target, small)}
    full = load_weights(made[1] / "weights.safetensors")
    assert all(torch.equal(value, full[name].half().float()) for name, value in pair.target.state_dict().items())
    monkeypatch.undo()
    shown = call("info", "--models-dir", models).out
    assert re.search(r"^  srresnet_s-target-seed2\.safetensors +Set14 PSNR \(dB\): not measured$", shown, re.MULTILINE)

    path = models / entry.file
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(WeightsError, match="was changed"):
        zoo.load_pair(models, "srresnet_s", 2)


def test_a_training_repeats_the_manifest(call, fails, training_images, tmp_path, monkeypatch):
    """Two targets share the baseline of seed 2; repeating one trains both runs by their own recipes."""
    made = tmp_path / "made"
    assert call(*train(training_images, made, seed=2, iterations=2)).status == 0
    start = made / "srresnet_s-baseline-seed2" / "weights.safetensors"
    target = {"role": "target", "seed": 3, "initial": start, "iterations": 3, "precision": "bf16-mixed"}
    assert call(*train(training_images, made, **target)).status == 0
    photos = datasets.from_folder(training_images)
    monkeypatch.setattr(datasets, "find", lambda name, data_dir=None: photos)
    monkeypatch.setattr(publishing, "ROUNDING_CROP", 16)
    monkeypatch.setattr(milestones, "examine", lambda *_: [])
    models = tmp_path / "models"
    assert call("publish", *sorted(made.iterdir()), "--models", models).status == 0

    again = ["train", "--network", "srresnet_s", "--seed", 3, "--from-manifest", models, "--out", tmp_path / "again"]
    monkeypatch.setattr(registry, "NAMES", ("photos",))
    outcome = call(*again, "--device", "cpu", "--precision", "32-true")
    assert outcome.status == 0
    for name in ("srresnet_s-baseline-seed2", "srresnet_s-target-seed3"):
        first, second = (json.loads((root / name / "run.json").read_text()) for root in (made, tmp_path / "again"))
        kept = ("recipe", "data", "data_digest", "parent")
        assert {key: first[key] for key in kept} == {key: second[key] for key in kept}
    weights = [root / "srresnet_s-baseline-seed2" / "weights.safetensors" for root in (made, tmp_path / "again")]
    assert weights[0].read_bytes() == weights[1].read_bytes()

    write(training_images.parent / "others" / "0.png", 36, 48, 7)
    monkeypatch.setattr(
        datasets, "find", lambda name, data_dir=None: datasets.from_folder(training_images.parent / "others")
    )
    assert "are not those that srresnet_s-baseline-seed2 was trained on" in fails(*again)
    assert "--profile quick cannot" in fails(*again, "--profile", "quick")
    monkeypatch.setattr(datasets, "find", lambda name, data_dir=None: photos)
    assert "runs in 32-true and in bf16-mixed" in fails(*again)


def test_seeds_that_are_trained_together_are_as_if_trained_alone(call, training_images, tmp_path):
    changes = {"iterations": 2, "role": ()}
    for seed in (0, 1):
        assert call(*train(training_images, tmp_path / "alone", seed=seed, **changes)).status == 0
    outcome = call(*train(training_images, tmp_path / "together", seed=(0, 1), **changes))
    assert outcome.status == 0
    names = [f"srresnet_s-{role}-seed{seed}" for seed in (0, 1) for role in ("baseline", "target")]
    files = [tmp_path / "together" / name / "weights.safetensors" for name in names]
    assert outcome.out == "".join(f"Trained weights: {file}\n" for file in files)
    contents = [file.read_bytes() for file in files]
    assert contents == [(tmp_path / "alone" / name / "weights.safetensors").read_bytes() for name in names]
    assert len(set(contents)) == len(contents)


def test_a_baseline_that_seeds_share_is_trained_once(call, training_images, tmp_path):
    """The seeds of the shipped manifest share theirs."""
    changes = {"iterations": 2, "role": (), "profile": "standard", "seed": (0, 1, 2), "precision": "32-true"}
    changes |= {"network": "srresnet"}
    outcome = call(*train(training_images, tmp_path, **changes))
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    names = ["baseline-seed0", "target-seed0", "target-seed1", "target-seed2"]
    assert lines == [f"Trained weights: {tmp_path / f'srresnet-{name}' / 'weights.safetensors'}" for name in names]


def parent_of(folder: Path) -> str | None:
    return json.loads((folder / "run.json").read_text())["parent"]


def test_every_role_starts_from_its_own_parent(call, fails, training_images, tmp_path):
    """Not from what was trained before it; --initial is for the first one of a seed."""
    changes = {"iterations": 1}
    assert call(*train(training_images, tmp_path / "a", role=("deblurring", "denoising"), **changes)).status == 0
    assert call(*train(training_images, tmp_path / "b", role="denoising", **changes)).status == 0
    alone, second = (tmp_path / out / "srresnet_s-denoising-seed0" / "weights.safetensors" for out in "ba")
    assert alone.read_bytes() == second.read_bytes()
    message = fails(*train(training_images, tmp_path / "a", role=("target", "baseline"), **changes))
    assert message.endswith(f"{tmp_path / 'a' / 'srresnet_s-baseline-seed0' / 'weights.safetensors'} does not exist")

    changes |= {"role": ("baseline", "target", "denoising"), "initial": second, "seed": (1, 2)}
    assert call(*train(training_images, tmp_path / "c", **changes)).status == 0
    parents = [
        parent_of(tmp_path / "c" / f"srresnet_s-{role}-seed{seed}")
        for seed in (1, 2)
        for role in ("baseline", "target", "denoising")
    ]
    from_file = "srresnet_s-denoising-seed0.safetensors"
    assert parents == [
        *(from_file, "srresnet_s-baseline-seed1.safetensors", None),
        *(from_file, "srresnet_s-baseline-seed2.safetensors", None),
    ]


def distance(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    return sum(float((first[name] - second[name]).abs().sum()) for name in first)


SHORT = {"iterations": 3, "batch": 2, "peak_lr": 1e-5}


@pytest.fixture(scope="module")
def of_one_process(training_images, tmp_path_factory) -> dict[str, Tensor]:
    """Weights of a short training by one process."""
    out = tmp_path_factory.mktemp("one")
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        main.main([str(argument) for argument in train(training_images, out, **SHORT)])
    return load_weights(out / "srresnet_s-baseline-seed0" / "weights.safetensors")


def agrees(folder: Path, expected: dict[str, Tensor]) -> bool:
    """Whether two processes trained the same to rounding, and said that they were two.

    Rounding decides where a gradient is about 0, on which side of a kink or which way the first step of Adam goes.
    """
    found, start = load_weights(folder / "weights.safetensors"), build("srresnet_s", seed=0).state_dict()
    two = json.loads((folder / "run.json").read_text())["processes"] == 2
    return two and 0 < distance(start, expected) > 100 * distance(found, expected)


@pytest.mark.slow
def test_training_by_two_processes(call, training_images, of_one_process, tmp_path):
    """The files are written once, and one process may go on with what two began: here it finds it finished."""
    folder = tmp_path / "srresnet_s-baseline-seed0"
    outcome = finish(start(*train(training_images, tmp_path, devices=2, **SHORT)))
    assert outcome.status == 0, outcome
    assert outcome.out == f"Trained weights: {folder / 'weights.safetensors'}\n"
    assert agrees(folder, of_one_process)
    assert len(checkpoint.sessions(folder)) == 1
    before = content(tmp_path)
    (folder / "run.json").unlink()
    assert call(*train(training_images, tmp_path, **SHORT)).status == 0
    assert before == content(tmp_path) | {f"{folder.name}/run.json": before[f"{folder.name}/run.json"]}


def on_two_hosts(lines: list[list[object]]) -> list[Outcome]:
    """A command line for each of two hosts, both of which are this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["torch.distributed.run", "--nnodes", 2, "--nproc_per_node", 1, "--master_addr", "127.0.0.1"]
    started = [
        start("--master_port", port, "--node_rank", rank, "-m", "faiglib", *line, module=launch)
        for rank, line in enumerate(lines)
    ]
    return [finish(process) for process in started]


@pytest.mark.slow
def test_training_on_two_hosts(training_images, of_one_process, tmp_path):
    shared, other = tmp_path / "shared", tmp_path / "other"
    folder = shared / "srresnet_s-baseline-seed0"
    options = {"nodes": 2, **SHORT}
    outcomes = on_two_hosts([train(training_images, shared, **options)] * 2)
    assert [outcome.status for outcome in outcomes] == [0, 0], outcomes
    assert [outcome.out.count("Trained weights") for outcome in outcomes] == [1, 0]
    assert agrees(folder, of_one_process)

    (folder / "run.json").unlink()  # so that the run counts as not finished
    outcomes = on_two_hosts([train(training_images, out, **options) for out in (shared, other)])
    sentences = ["\n".join(outcome.lines) for outcome in outcomes]
    assert "different checkpoints (this one step 3); --out must be on a disk that they share" in sentences[0]
    assert "different checkpoints (this one step 0); --out must be on a disk that they share" in sentences[1]
    assert not list(other.rglob("*.*"))


class _Launched:
    """Stands in for Fabric to see what it would be asked for."""

    asked: dict[str, object] = {}  # noqa: RUF012 (the point of it)

    def __init__(self, **options: object) -> None:
        type(self).asked = options
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("device", "devices", "expected"),
    [
        ("cpu", 1, {"accelerator": "cpu", "devices": 1, "precision": "32-true"}),
        ("cpu", 2, {"accelerator": "cpu", "devices": 2, "precision": "32-true"}),
        ("cuda", 4, {"accelerator": "cuda", "devices": 4, "precision": "bf16-mixed"}),
        ("cuda:1", 1, {"accelerator": "cuda", "devices": [1], "precision": "bf16-mixed"}),
    ],
)
@pytest.mark.parametrize("nodes", [(), 3])
def test_training_runs_where_it_is_told(call, training_images, tmp_path, monkeypatch, device, devices, expected, nodes):
    monkeypatch.setattr(command_training, "choose_device", torch.device)
    monkeypatch.setattr(lightning_fabric, "Fabric", _Launched)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 0))
    assert call(*train(training_images, tmp_path, device=device, devices=devices, nodes=nodes)).status == 130
    environment = _Launched.asked.pop("plugins")
    assert (type(environment).__name__ == "LightningEnvironment") == (nodes == ()), "a scheduler counts for hosts only"
    assert _Launched.asked == expected | {"num_nodes": nodes or 1}


def test_one_device_for_two_processes(fails, training_images, tmp_path, monkeypatch):
    monkeypatch.setattr(command_training, "choose_device", torch.device)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 0))
    assert "'cuda:1'" in fails(*train(training_images, tmp_path, device="cuda:1", devices=2))


def test_an_unreachable_server_is_one_sentence(fails, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "fetch", partial(datasets.fetch, base_url="http://127.0.0.1:9"))
    message = fails("fetch", "set5", "--data-dir", tmp_path / "data")
    assert message.startswith("http://127.0.0.1:9/")
    assert message.endswith(" could not be fetched: the server cannot be reached or stopped answering")
    assert not content(tmp_path)


def test_what_cannot_be_fetched_says_how_to_get_it(fails):
    assert "download DIV2K_valid_HR from https://" in fails("fetch", "div2k_valid")


def test_the_photographs_of_scikit_image_need_no_server(call):
    assert "5 images in " in call("fetch", "skimage").out


# ---------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command 'nonsense'."),
        (["--nonsense"], "No such option: --nonsense"),
        (["attribute"], "Missing option '--baseline'."),
        (["restore", "--network", "resnet50"], "Invalid value for '--network': 'resnet50' is not one of "),
        (["attribute", "--rule", "simpson"], "Invalid value for '--rule': 'simpson' is not one of left, right, "),
        (["attribute", "--nodes", "0"], "Invalid value for '--nodes': "),
        (
            ["train", "--profile", "large"],
            "Invalid value for '--profile': 'large' is not one of standard, paper, quick.",
        ),
        (["train", "--role", "sharpening"], "Invalid value for '--role': 'sharpening' is not one of baseline, "),
        (["train", "--precision", "8"], "Invalid value for '--precision': '8' is not one of auto, "),
        (["train", "--seed", str(2**31)], "Invalid value for '--seed': "),
        (["degrade", "--seed", "-1"], "Invalid value for '--seed': "),
        (["degrade", "--blur", "-1"], "Invalid value for '--blur': "),
        (["degrade", "--noise", "much"], "Invalid value for '--noise': "),
        (["fetch", "set15"], "'set15' is not one of set5, set14, "),
        (["fetch"], "Missing argument 'NAMES"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(fails, arguments, words):
    assert words in fails(*arguments, status=2)


@pytest.mark.parametrize("command", ["degrade", "restore", "mask"])
@pytest.mark.parametrize("kind", ["missing", "empty", "a file", "no images"])
def test_a_folder_without_images(fails, broken, tmp_path, command, kind):
    folder = tmp_path / "folder"
    if kind == "a file":
        folder.write_text("")
    elif kind != "missing":
        folder.mkdir()
    if kind == "no images":
        (folder / "notes.txt").write_text("")
        (folder / ".hidden.png").write_text("")
    out = tmp_path / "out"
    line = {
        "degrade": ["degrade", "--input", folder, "--output", out],
        "restore": broken.restore(out, input=folder),
        "mask": broken.mask(out, input=folder),
    }[command]
    message = fails(*line)
    words = {"missing": "does not exist", "a file": "is not a folder"}.get(kind, "holds no image")
    assert str(folder) in message
    assert words in message
    assert not out.exists()


@pytest.mark.parametrize("kind", ["gt", "blur", "noise"])
def test_attribution_without_one_of_the_folders(fails, broken, tmp_path, kind):
    for path in (broken.folder / kind).iterdir():
        path.unlink()
    assert fails(*broken.attribute(tmp_path / "out")).startswith(f"folder {broken.folder / kind} holds no image")
    (broken.folder / kind).rmdir()
    assert fails(*broken.attribute(tmp_path / "out")) == f"folder {broken.folder / kind} does not exist"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["gt", "blur", "noise"])
def test_names_that_do_not_match(fails, broken, tmp_path, kind):
    (broken.folder / kind / "b.png").rename(broken.folder / kind / "b2.png")
    message = fails(*broken.attribute(tmp_path / "out"))
    assert re.search(r"^folder \S+ \((gt|blur|noise)\) has no image named b2?, but \S+ exists$", message)
    assert not (tmp_path / "out").exists()


def damaged_images() -> dict[str, bytes]:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 4), dtype=np.uint8)
    Image.fromarray(pixels[..., :3]).save(file, "PNG")
    transparent = io.BytesIO()
    Image.fromarray(pixels).save(transparent, "PNG")
    return {
        "text": b"This is no image.\n",
        "empty": b"",
        "truncated": file.getvalue()[: len(file.getvalue()) // 2],
        "transparent": transparent.getvalue(),
    }


@pytest.mark.parametrize("data", damaged_images().values(), ids=damaged_images().keys())
@pytest.mark.parametrize("command", ["attribute", "degrade", "restore", "mask", "train"])
def test_a_file_that_is_no_image(fails, broken, tmp_path, data, command):
    out = tmp_path / "out"
    folder = {"attribute": "blur", "degrade": "gt", "train": "gt"}.get(command, "noise")
    path = broken.folder / folder / "a.png"
    path.write_bytes(data)
    line = {
        "attribute": broken.attribute(out),
        "degrade": ["degrade", "--input", broken.gt, "--output", out],
        "restore": broken.restore(out),
        "mask": broken.mask(out),
        "train": train(broken.gt, out),
    }[command]
    message = fails(*line)
    assert message.count(str(path)) == 1
    assert not content(out)
    assert command == "train" or not out.exists()


def sixteen_bit_colour(path: Path, side: int) -> None:
    """A PNG of 16 bits per channel, written by hand, since Pillow cannot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = np.random.default_rng(0).integers(0, 2**16, (side, side, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def test_gray_opaque_and_16_bit_images_are_converted_with_a_warning(call, material, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(gray).save(folder / "gray.png")
    Image.fromarray(np.dstack([gray, gray, gray, np.full_like(gray, 255)])).save(folder / "opaque.png")
    Image.fromarray(gray.astype(np.uint16) * 256 + 7).save(folder / "deep gray.png")
    sixteen_bit_colour(folder / "deep.png", 16)
    write(folder / "plain.png", 16, 16, 0)
    outcome = call(*material.restore(tmp_path / "out", input=folder))
    assert outcome.status == 0
    assert outcome.lines == outcome.warnings
    assert sorted(line.removeprefix(f"faiglib: warning: image {folder}/") for line in outcome.lines) == [
        "deep gray.png was converted: 16 bits per channel reduced to 8, gray repeated to three channels",
        "deep.png was converted: 16 bits per channel reduced to 8",
        "gray.png was converted: gray repeated to three channels",
        "opaque.png was converted: opaque alpha channel dropped",
    ]
    found = content(tmp_path / "out")
    assert len(found) == 5
    assert found["gray.png"] == found["opaque.png"] == found["deep gray.png"]


def test_an_image_smaller_than_the_kernel(fails, broken, tmp_path):
    path = write(broken.gt / "b.png", 10, 24, 0)
    message = fails("degrade", "--input", broken.gt, "--output", tmp_path / "out", "--blur", 2)
    assert message.startswith(f"{path}: ")
    assert "24x10 pixels is too small for the 21x21 blur kernel" in message
    assert not (tmp_path / "out").exists(), "all images are looked at before the first result"


def test_steps_that_are_none_or_said_twice(fails, material, tmp_path):
    line = ["degrade", "--input", material.gt, "--output", tmp_path / "out"]
    assert fails(*line, "--step", "sepia:2").startswith("'sepia:2' is no step of a degradation; such are blur:2")
    assert "leave --blur, --noise, --jpeg and --scale out" in fails(*line, "--step", "down:2", "--noise", 0.1)
    assert not (tmp_path / "out").exists()


def test_sizes_that_do_not_fit_the_scale(fails, broken, tmp_path):
    path = write(broken.gt / "a.png", 24, 27, 0)
    message = fails("degrade", "--input", broken.gt, "--output", tmp_path / "out")
    assert message == f"{path}: an image of 27x24 pixels does not divide by the scale 2; crop it first"
    message = fails(*broken.attribute(tmp_path / "out"))
    assert "which is not 1/2 of the 27x24 of" in message
    assert not (tmp_path / "out").exists()


def test_training_images_smaller_than_the_patch(fails, training_images, tmp_path):
    message = fails(*train(training_images, tmp_path / "out", patch=64))
    assert "has 48x36 pixels, but both sides must be at least 64" in message


@pytest.mark.parametrize("value", ["iterations", "batch", "patch", "peak_lr"])
def test_training_with_a_value_out_of_range(fails, training_images, tmp_path, value):
    assert (
        fails(*train(training_images, tmp_path, **{value: 0}))
        == f"{value} must be positive, not {0.0 if value == 'peak_lr' else 0}"
    )


def test_training_on_what_is_neither_set_nor_folder(fails, tmp_path):
    message = fails(*train(tmp_path / "nowhere", tmp_path))
    assert message.startswith(f"{tmp_path / 'nowhere'} is neither a folder nor one of the image sets set5, ")
    assert fails(*train(Path("bsd400"), tmp_path)).endswith("`faiglib fetch bsd400` downloads it")


def test_a_target_without_its_baseline(fails, training_images, tmp_path):
    message = fails(*train(training_images, tmp_path, role="target"))
    assert message == f"weight file {tmp_path / 'srresnet_s-baseline-seed0' / 'weights.safetensors'} does not exist"


def test_a_folder_that_holds_another_training(call, fails, training_images, tmp_path):
    assert call(*train(training_images, tmp_path, iterations=1)).status == 0
    before = content(tmp_path)
    assert "belongs to a run with another recipe" in fails(*train(training_images, tmp_path, iterations=2))
    assert content(tmp_path) == before


class Attack:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def bad_weights(kind: str, folder: Path) -> Path:
    state = build("srresnet_s", seed=0).state_dict()
    suffix = ".pth" if "pickle" in kind else ".safetensors"
    path = folder / f"weights{suffix}"
    if kind == "of another network":
        save_weights(path, build("srcnn_style", seed=0).state_dict())
    elif kind == "of another scale":
        save_weights(path, build("srresnet_s", seed=0, scale=3).state_dict())
    elif kind == "NaN":
        state["conv_hr.weight"][0, 0, 0, 0] = float("nan")
        save_weights(path, state)
    elif kind == "pickle with NaN":
        state["conv_hr.bias"][3] = float("nan")
        torch.save({"params_ema": state}, path)
    elif kind == "pickle of something else":
        path.write_bytes(pickle.dumps({"params": [1, 2, 3]}))
    elif kind == "pickle of a list of tensors":
        torch.save([torch.zeros(3)], path)
    elif kind == "malicious pickle":
        path.write_bytes(pickle.dumps({"params_ema": Attack(folder / "mark")}))
    elif kind == "malicious pickle by torch":
        torch.save({"params_ema": Attack(folder / "mark")}, path)
    elif kind == "truncated":
        save_weights(path, state)
        path.write_bytes(path.read_bytes()[:100_000])
    elif kind == "text in a pickle's place":
        path.write_text("weights\n")
    return path


@pytest.mark.parametrize("command", ["restore", "import-weights"])
@pytest.mark.parametrize(
    "kind",
    [
        "of another network",
        "of another scale",
        "NaN",
        "pickle with NaN",
        "pickle of something else",
        "pickle of a list of tensors",
        "malicious pickle",
        "malicious pickle by torch",
        "truncated",
        "text in a pickle's place",
        "missing",
    ],
)
def test_weights_that_cannot_be_used(fails, material, tmp_path, command, kind):
    path = bad_weights(kind, tmp_path)
    out = tmp_path / "out.safetensors"
    line = {
        "restore": material.restore(out, weights=path),
        "import-weights": ["import-weights", path, "--network", "srresnet_s", "--out", out],
    }[command]
    message = fails(*line)
    assert str(path) in message
    assert not out.exists()
    assert not (tmp_path / "mark").exists(), "code in the pickle was run"


@pytest.mark.parametrize("which", ["baseline", "target"])
@pytest.mark.parametrize("command", ["attribute", "mask"])
def test_either_of_two_weight_files_may_be_bad(fails, material, tmp_path, command, which):
    path = bad_weights("of another network", tmp_path)
    message = fails(*getattr(material, command)(tmp_path / "out", **{which: path}))
    hint = "; they look like weights of srcnn_style at scale 2"
    assert message == f"weight file {path} does not fit SRResNet: it has no conv_first.weight{hint}"
    assert not (tmp_path / "out").exists()


def test_a_scale_there_is_no_network_for(fails, material, tmp_path):
    assert fails(*material.restore(tmp_path / "out", scale=5)) == "scale must be 2, 3 or 4, not 5"


def test_imported_weights_need_a_name_that_can_be_loaded(fails, material, tmp_path):
    message = fails("import-weights", material.target, "--network", "srresnet_s", "--out", tmp_path / "x.pth")
    assert str(tmp_path / "x.pth") in message
    assert not content(tmp_path)


@pytest.mark.parametrize("percent", [-0.1, 100.1, "nan", "inf"])
def test_percentages_out_of_range(fails, material, tmp_path, percent):
    message = fails(*material.mask(tmp_path / "out", percent=percent))
    assert message == f"a percentage of filters lies between 0 and 100, not {percent}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\n2\n", f"does not name each of the network's {TOTAL} filters exactly once"),
        ("one\n", "line 1 of the ranking"),
        ("", "line 1 of the ranking"),
        (None, "cannot be read"),
    ],
)
def test_a_ranking_that_is_none(fails, material, tmp_path, text, words):
    path = tmp_path / "ranking.txt"
    if text is not None:
        path.write_text(text)
    message = fails(*material.mask(tmp_path / "out", filters=path))
    assert str(path) in message
    assert words in message


@pytest.mark.parametrize("command", ["attribute", "restore", "mask", "train"])
@pytest.mark.parametrize("device", ["gpu9", "cuda:99", "meta"])
def test_a_device_that_is_not_here(fails, material, training_images, tmp_path, command, device):
    line = {"train": partial(train, training_images)}.get(command) or getattr(material, command)
    message = fails(*line(tmp_path / "out", device=device))
    assert message.startswith(f"the device {device!r} cannot be used here: ")
    assert not (tmp_path / "out").exists()


def line_with_output(command: str, material: Material, images: Path, out: Path) -> list[object]:
    return {
        "attribute": material.attribute(out),
        "degrade": ["degrade", "--input", material.gt, "--output", out],
        "restore": material.restore(out),
        "mask": material.mask(out),
        "train": train(images, out, iterations=1),
        "import-weights": [
            "import-weights",
            material.target,
            "--network",
            "srresnet_s",
            "--out",
            out / "w.safetensors",
        ],
    }[command]


@pytest.mark.parametrize("command", ["attribute", "degrade", "restore", "mask", "train", "import-weights"])
@pytest.mark.parametrize("kind", ["a file", "below a file", "read-only"])
def test_an_output_that_cannot_be_written(fails, material, training_images, tmp_path, command, kind):
    if kind == "read-only":
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        out = tmp_path / "out"
        out.mkdir(mode=0o500)
    else:
        (tmp_path / "file").write_text("kept")
        out = tmp_path / "file" if kind == "a file" else tmp_path / "file" / "out"
    message = fails(*line_with_output(command, material, training_images, out))
    assert str(tmp_path) in message
    assert content(tmp_path) == ({} if kind == "read-only" else {"file": b"kept"})


@pytest.mark.parametrize("command", ["attribute", "degrade", "restore", "mask", "train", "import-weights"])
def test_a_disk_that_is_full(fails, material, training_images, tmp_path, command, largest_file):
    out = tmp_path / "out"
    with largest_file(300):
        message = fails(*line_with_output(command, material, training_images, out))
    assert "cannot be written: " in message
    assert str(out) in message
    assert content(tmp_path).keys() <= {"out/srresnet_s-baseline-seed0/log.csv"}, "which is small enough"


def test_a_disk_that_fills_up_keeps_the_sums_so_far(call, fails, material, attributed, tmp_path, largest_file):
    with largest_file(3_000_000):
        assert call(*material.attribute(tmp_path / "out")).status == 0
    with largest_file(100_000):
        assert "cannot be written: " in fails(*material.attribute(tmp_path / "other"))
    assert call(*material.attribute(tmp_path / "other")).status == 0
    assert content(tmp_path / "out") == content(tmp_path / "other") == content(attributed)


@pytest.mark.parametrize("command", ["degrade", "restore", "mask"])
def test_two_images_with_one_name_for_the_result(fails, broken, tmp_path, command):
    for folder in (broken.gt, broken.noise):
        write(folder / "a.bmp", 24, 24, 0)
    message = fails(*line_with_output(command, broken, tmp_path, tmp_path / "out"))
    assert "holds both a.bmp and a.png" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["degrade", "restore", "mask"])
def test_results_never_replace_the_input(fails, broken, command):
    folder = broken.gt if command == "degrade" else broken.noise
    before = content(folder)
    message = fails(*line_with_output(command, broken, broken.gt, folder / ".." / folder.name))
    assert message == f"folder {folder} holds the input; results need another folder, to overwrite none of it"
    assert content(folder) == before


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 TiB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 TiB.\nGPU 0 has"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:1]\nDefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
        ),
    ],
)
def test_memory_that_does_not_suffice(fails, material, tmp_path, monkeypatch, error):
    def restore(*_: object) -> int:
        raise error

    monkeypatch.setattr(folders, "restore", restore)
    assert fails(*material.restore(tmp_path / "out")).startswith("out of memory: ")


@pytest.mark.parametrize("error", [RuntimeError("the memory format is wrong"), KeyError("name"), TypeError("a bug")])
def test_bugs_show_where_they_are(material, tmp_path, monkeypatch, error):
    def restore(*_: object) -> int:
        raise error

    monkeypatch.setattr(folders, "restore", restore)
    with pytest.raises(type(error)):
        main.main([str(argument) for argument in material.restore(tmp_path / "out")])


def test_the_sentence_has_a_line_of_its_own_after_a_progress_bar(broken, tmp_path, capsys):
    """What a terminal shows: the bar that broke off, then the sentence, and nothing behind it."""
    (tmp_path / "out" / "b.png").mkdir(parents=True)
    with pytest.raises(SystemExit):
        main.main(["degrade", "--input", str(broken.gt), "--output", str(tmp_path / "out")])
    *_, bar, sentence, end = [line.split("\r")[-1] for line in capsys.readouterr().err.split("\n")]
    assert bar.startswith("degrade:  33%|")
    assert sentence == f"faiglib: {tmp_path / 'out' / 'b.png'} cannot be written: Is a directory"
    assert end == ""


def test_a_warning_does_not_end_up_inside_a_progress_bar(broken, tmp_path, capsys):
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(broken.gt / "b.png")
    main.main(["degrade", "--input", str(broken.gt), "--output", str(tmp_path / "out")])
    lines = [line.split("\r")[-1] for line in capsys.readouterr().err.split("\n")]
    warning, bar, end = lines
    assert warning == f"faiglib: warning: image {broken.gt / 'b.png'} was converted: gray repeated to three channels"
    assert bar.startswith("degrade: 100%|")
    assert end == ""


def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    """As in ``faiglib info | head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "faiglib", "info", "--models-dir", str(tmp_path)]
    gone = subprocess.run(command, env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert gone.returncode != 0
    assert gone.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_standard_output_on_a_full_disk(capsys, monkeypatch, tmp_path):
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as stop:
            main.main(["info", "--models-dir", str(tmp_path)])
        with contextlib.suppress(OSError):
            full.close()
    assert stop.value.code == 1
    (line,) = visible(capsys.readouterr().err)
    assert line.startswith("faiglib: ")


def test_all_networks_can_be_named(call, tmp_path):
    for name in NETWORKS:
        save_weights(tmp_path / name / "w.safetensors", build(name, seed=0).state_dict())
        write(tmp_path / "in" / "a.png", 8, 8, 0)
        line = {"network": name, "weights": tmp_path / name / "w.safetensors", "input": tmp_path / "in"}
        assert call("restore", *arguments(line | {"output": tmp_path / name})).status == 0
