"""What machines, schedulers and servers do to a run: obeyed, or told in one sentence."""

from __future__ import annotations

import email.utils
import threading
import time
import warnings
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from faiglib.command import training
from faiglib.errors import DatasetError, TrainingError
from faiglib.images import datasets, downloads, pace
from faiglib.training import trainer
from faiglib.training.compiled import Compiled
from faiglib.training.fabric import fabric_on
from faiglib.training.patches import PatchSource, large_enough
from faiglib.training.recipe import Recipe
from faiglib.training.trainer import train

# ---------------------------------------------------------------- schedulers

LEFT_OVER = {
    "SLURM, a job": {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "job.sh", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"},
    "SLURM, interactive": {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "bash"},
    "SLURM, an editor": {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "vscode"},
    "SLURM, tasks per node": {
        "SLURM_NTASKS": "8",
        "SLURM_NTASKS_PER_NODE": "4",
        "SLURM_NNODES": "2",
        "SLURM_JOB_NAME": "x",
    },
    "LSF": {"LSB_JOBID": "7", "LSB_DJOB_RANKFILE": "/nowhere", "JSM_NAMESPACE_SIZE": "2", "JSM_NAMESPACE_RANK": "1"},
    "torchrun": {
        "TORCHELASTIC_RUN_ID": "x",
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "nowhere",
    },
    "Open MPI": {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
    "Kubeflow": {"KUBERNETES_PORT": "1", "MASTER_ADDR": "x", "MASTER_PORT": "1", "WORLD_SIZE": "2", "RANK": "1"},
}


@pytest.mark.parametrize("left", LEFT_OVER.values(), ids=LEFT_OVER)
def test_one_process_is_one_process_whatever_a_scheduler_has_set(left, monkeypatch, images):
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fabric = fabric_on(torch.device("cpu"))
        fabric.launch()
    assert (fabric.world_size, fabric.global_rank, fabric.is_global_zero) == (1, 0, True)
    recipe = Recipe("srresnet_s", "baseline", 0, iterations=1, batch=1, patch=16, peak_lr=1e-4)
    assert train(recipe, images, progress=False).log


@pytest.fixture
def images():
    return [torch.rand(1, 3, 36, 36, generator=torch.Generator().manual_seed(0))]


# ---------------------------------------------------------------- compilers


def compiler_errors() -> dict[str, Exception]:
    from torch._dynamo.exc import BackendCompilerFailed, InternalTorchDynamoError
    from torch._inductor.exc import CppCompileError, TritonMissing

    chained = RuntimeError("wrapped")
    chained.__cause__ = TritonMissing(None)
    return {
        "no Triton": TritonMissing(None),
        "the backend": BackendCompilerFailed("inductor", RuntimeError("gcc: not found"), None),
        "the inductor": CppCompileError(["g++"], "not found"),
        "dynamo": InternalTorchDynamoError("broken"),
        "chained": chained,
    }


@pytest.mark.parametrize("kind", ["no Triton", "the backend", "the inductor", "dynamo", "chained"])
def test_what_cannot_be_compiled_runs_as_it_is(kind, monkeypatch):
    error, calls = compiler_errors()[kind], []

    def broken(*_):
        calls.append(1)
        raise error

    monkeypatch.setattr(torch, "compile", lambda model, **_: broken)
    model = nn.Conv2d(3, 3, 3)
    compiled = Compiled(model)
    image = torch.rand(1, 3, 8, 8)
    with pytest.warns(UserWarning, match="cannot be compiled here and runs as it is") as said:
        outputs = [compiled(image) for _ in range(3)]
    assert len(said) == len(calls) == 1
    assert all(torch.equal(output, model(image)) for output in outputs)
    assert list(compiled.parameters()) == list(model.parameters())


OWN_ERRORS = [RuntimeError("shapes"), ValueError("mine"), torch.OutOfMemoryError("CUDA"), KeyboardInterrupt()]


@pytest.mark.parametrize("error", OWN_ERRORS)
def test_errors_of_the_model_are_its_own(error, monkeypatch):
    def broken(*_):
        raise error

    monkeypatch.setattr(torch, "compile", lambda model, **_: broken)
    with pytest.raises(type(error)):
        Compiled(nn.Conv2d(3, 3, 3))(torch.rand(1, 3, 8, 8))


def test_a_failed_compilation_changes_no_result(monkeypatch, images):
    """The trainer with a compiler that fails at the first step against the trainer without one."""
    recipe = Recipe("srresnet_s", "baseline", 0, iterations=3, batch=1, patch=16, peak_lr=1e-4)
    expected = train(recipe, images, progress=False).state
    error = compiler_errors()["no Triton"]

    def broken(*_):
        raise error

    monkeypatch.setattr(torch, "compile", lambda model, **_: broken)
    monkeypatch.setattr(trainer, "should_compile", lambda *_: True)
    with pytest.warns(UserWarning, match="cannot be compiled"):
        found = train(recipe, images, progress=False).state
    assert all(torch.equal(found[name], expected[name]) for name in expected)


CAPABILITIES = dict.fromkeys([(6, 1), (7, 0), (7, 5)], "32-true")
CAPABILITIES |= dict.fromkeys([(8, 0), (8, 9), (9, 0), (12, 0)], "bf16-mixed")


@pytest.mark.parametrize(("capability", "precision"), CAPABILITIES.items())
def test_bfloat16_where_the_hardware_has_it(monkeypatch, capability, precision):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert training.precision_of([], torch.device("cuda")) == precision
    assert training.precision_of([], torch.device("cpu")) == "32-true"


# ---------------------------------------------------------------- training images


@pytest.mark.parametrize(("height", "width"), [(60, 400), (400, 60), (24, 24)])
def test_a_training_image_that_is_too_small_is_named(tmp_path, height, width):
    for name, size in {"a": (90, 90), "b": (height, width), "c": (90, 90)}.items():
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / f"{name}.png")
    with pytest.raises(
        TrainingError, match=rf"b\.png has {width // 12 * 12}x{height // 12 * 12} pixels, .* patches of 64"
    ):
        PatchSource.from_images(large_enough(datasets.from_folder(tmp_path), 64), 64)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["iterations", "batch", "patch", "peak_lr", "period"])
def test_budgets_that_are_none(field, value):
    with pytest.raises(TrainingError, match=f"{field} must be positive"):
        Recipe(
            "srresnet", "baseline", 0, **({"iterations": 1, "batch": 1, "patch": 32, "peak_lr": 1e-4} | {field: value})
        )


# ---------------------------------------------------------------- servers


class Busy:
    """A server of a set's first files that answers some requests by asking for a pause."""

    def __init__(self, answers: list[tuple[int, str | None]]) -> None:
        self.answers, self.times, lock = answers, [], threading.Lock()
        busy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    number = len(busy.times)
                    busy.times.append(time.monotonic())
                status, after = busy.answers[min(number, len(busy.answers) - 1)]
                self.send_response(status)
                if after is not None:
                    self.send_header("Retry-After", after)
                self.send_header("Content-Length", "1")
                self.end_headers()
                self.wfile.write(b"x")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def slept(monkeypatch):
    """The pauses, which take no time here: the clock of the pace jumps instead."""
    found, offset, clock = [], [0.0], time.monotonic
    lock = threading.Lock()

    def sleep(seconds: float) -> None:
        with lock:
            found.append(seconds)
            offset[0] += seconds

    monkeypatch.setattr(pace, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock() + offset[0]))
    return found


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("seconds", [1, 7, 60])
def test_a_server_that_asks_for_a_pause_gets_it(tmp_path, slept, status, seconds):
    busy = Busy([(status, str(seconds))])
    with pytest.raises(DatasetError, match=f"the server answered {status}"):
        datasets.fetch("set5", tmp_path, busy.url, progress=False)
    busy.server.shutdown()
    assert slept
    assert max(slept) == pytest.approx(seconds, abs=0.6)
    assert len(busy.times) <= 5 * (downloads.RETRIES + 1)


def test_a_pause_that_is_too_long_is_one_sentence(tmp_path, slept):
    busy = Busy([(429, "86400")])
    with pytest.raises(DatasetError, match="the server asks to come back in 86,400 s"):
        datasets.fetch("set5", tmp_path, busy.url, progress=False)
    busy.server.shutdown()
    assert not slept


def http_date(moment: datetime) -> str:
    return email.utils.format_datetime(moment, usegmt=True)


HEADERS = {
    "5": 5, " 12 ": 12, "0": 0, "-3": 0, "soon": 0, "": 0, "1e3": 0, "\u0665": 0,
    "Wed, 21 Oct 2015 07:28:00 GMT": 0, "Wed, 99 Oct 2015": 0,
}  # fmt: skip


@pytest.mark.parametrize(("header", "seconds"), HEADERS.items(), ids=ascii)
def test_what_retry_after_asks_for(header, seconds):
    assert pace.seconds_asked_for(header) == seconds


@pytest.mark.parametrize("ahead", [3, 90, 4000])
def test_retry_after_a_date(ahead):
    asked = http_date(datetime.now(UTC) + timedelta(seconds=ahead))
    assert pace.seconds_asked_for(asked) == pytest.approx(ahead, abs=1.5)
