from __future__ import annotations

import getpass
import json
import os
import platform
import shutil
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

import faiglib
from faiglib.system import provenance


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A faiglib of its own, with two sources, in a folder that is no checkout."""
    folder = tmp_path / "checkout" / "faiglib"
    for name in ("networks", "command", "companion/page", "companion/masking"):
        (folder / name).mkdir(parents=True)
    (folder / "metrics.py").write_text("x = 1\n")
    (folder / "networks" / "paper.py").write_text("y = 1\n")
    for name in (
        "command/main.py",
        "companion/page/style.py",
        "companion/masking/show.py",
        "companion/masking/report.py",
    ):
        (folder / name).write_text("")
    monkeypatch.setattr(provenance, "_PACKAGE", folder.resolve())
    for name in ("source_digest", "_git_state"):  # without what they remember of this process
        monkeypatch.setattr(provenance, name, getattr(provenance, name).__wrapped__)
    return folder


def git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    run = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_entries_are_true_and_json():
    before = datetime.now(UTC) - timedelta(seconds=2)
    found = json.loads(json.dumps(provenance.collect("cpu", seed=3, weights={"a": "0f"})))
    assert found["faiglib"] == faiglib.__version__
    assert found["python"] == platform.python_version()
    assert (found["torch"], found["numpy"]) == (torch.__version__, np.__version__)
    assert (found["device"], found["gpu"]) == ("cpu", None)
    assert found["torch_threads"] == torch.get_num_threads()
    assert 1 <= found["cores"] <= os.cpu_count()
    assert found["ram_gib"] > 0.25
    assert found["cpu"]
    assert (found["seed"], found["weights"]) == (3, {"a": "0f"})
    assert before <= datetime.fromisoformat(found["time_utc"]) <= datetime.now(UTC) + timedelta(seconds=2)


def test_nothing_personal_is_recorded():
    text = json.dumps(provenance.collect())
    for secret in (socket.gethostname(), str(Path.home()), os.getcwd(), str(Path(faiglib.__file__).parent)):
        if len(secret) > 2:
            assert secret not in text
    words = text.replace('"', " ").split()
    assert getpass.getuser() not in words
    assert not any(word.startswith("/") for word in words)


def test_extra_that_is_not_json_is_refused(tmp_path):
    with pytest.raises(TypeError):
        provenance.collect(folder=tmp_path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_is_named():
    assert provenance.collect("cuda:0")["gpu"] == torch.cuda.get_device_name(0)
    assert provenance.collect("cpu")["gpu"] is None


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_and_changes_of_a_checkout(package, monkeypatch):
    assert provenance.collect()["commit"] is None
    git(package.parent, "init", "-q")
    assert provenance.collect()["commit"] is None
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-q", "-m", "first")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as set while a git hook runs
    found = provenance.collect()
    monkeypatch.delenv("GIT_DIR")
    assert (found["commit"], found["dirty"]) == (git(package.parent, "rev-parse", "HEAD"), False)
    (package / "metrics.py").write_text("x = 2\n")
    assert provenance.collect()["dirty"] is True


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_checkout_of_another_project_is_not_ours(package):
    git(package.parent.parent, "init", "-q")
    found = provenance.collect()
    assert (found["commit"], found["dirty"]) == (None, None)


def test_git_is_not_needed(package, monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = provenance.collect()
    assert (found["commit"], found["dirty"]) == (None, None)


def test_source_digest_follows_the_sources_that_compute(package):
    digest = provenance.source_digest()
    assert digest == provenance.source_digest()
    showing = ("command/main.py", "companion/page/style.py", "companion/x/show.py", "companion/x/report.py")
    for name in (*showing, "notes.txt"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("z = 3\n")
    (package / "metrics.py").write_bytes(b"x = 1\r\n")  # as checked out on Windows
    assert provenance.source_digest() == digest
    seen = {digest}
    (package / "metrics.py").write_text("x = 2\n")
    seen.add(provenance.source_digest())
    (package / "networks" / "paper.py").write_text("y = 2\n")
    seen.add(provenance.source_digest())
    (package / "metrics.py").rename(package / "measures.py")
    seen.add(provenance.source_digest())
    (package / "new.py").write_text("")
    seen.add(provenance.source_digest())
    assert len(seen) == 5
