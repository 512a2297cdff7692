"""The wheel and the sdist: what is in them, and that the wheel works in an empty environment without the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faiglib.companion.pair.__main__ import ASSETS

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = f"{PROJECT['name']}-{PROJECT['version']}"
BUILD = "import sys, setuptools.build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"


def sources() -> list[str]:
    """What git keeps, or what a tree without git holds; nothing that was generated."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    pytest.skip("not a git checkout")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with wheel and sdist, made from a copy of the sources with rubbish strewn in."""
    folder = tmp_path_factory.mktemp("build")
    tree, made = folder / "tree", folder / "made"
    for name in sources():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    for rubbish in (
        "build/html/index.html",
        "faiglib/__pycache__/x.pyc",
        ".nox/env/x",
        "data/Set14/a.png",
        ".git/config",
    ):
        (tree / rubbish).parent.mkdir(parents=True, exist_ok=True)
        (tree / rubbish).write_text("rubbish")
    made.mkdir()
    for kind in ("sdist", "wheel"):
        subprocess.run(
            [sys.executable, "-c", BUILD, f"build_{kind}", str(made)],
            cwd=tree,
            check=True,
            capture_output=True,
            timeout=200,
        )
    return made


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (path,) = built.glob("*.whl")
    assert path.name == f"{NAME}-py3-none-any.whl"
    return path


def test_the_wheel_holds_the_package_the_weights_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        name
        for name in sources()
        if name.startswith("faiglib/") and Path(name).suffix in {".py", ".csv", ".typed", ".md"}
    }
    expected |= {f"faiglib/_assets/{name}" for name in ASSETS}
    expected |= {f"faiglib/_models/{name.removeprefix('models/')}" for name in sources() if name.startswith("models/")}
    information = {name for name in names if name.startswith(f"{NAME}.dist-info/")}
    assert names - information == expected
    assert {Path(name).name for name in information} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "LICENSE",
        "entry_points.txt",
        "top_level.txt",
    }


def test_the_metadata_of_the_wheel(wheel):
    text = zipfile.ZipFile(wheel).read(f"{NAME}.dist-info/METADATA").decode()
    head = text.split("\n\n")[0].splitlines()
    assert f"Requires-Python: {PROJECT['requires-python']}" in head
    assert "License-Expression: Apache-2.0" in head
    for version in ("3.11", "3.12", "3.13"):
        assert f"Classifier: Programming Language :: Python :: {version}" in head
    required = [line.removeprefix("Requires-Dist: ") for line in head if line.startswith("Requires-Dist: ")]
    assert len([line for line in required if "extra ==" not in line]) == len(PROJECT["dependencies"])


def extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Unpack an archive of our own; the safe filter of tarfile is there from Python 3.11.4 on."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        archive.extractall(folder)


def test_the_sdist_is_the_sources_and_builds_the_same_wheel(built, wheel, tmp_path):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert all(member.name == NAME or member.name.startswith(f"{NAME}/") for member in members)
        names = {member.name.removeprefix(f"{NAME}/") for member in members if member.isfile()}
        extract(archive, tmp_path)
    generated = {"PKG-INFO", "setup.cfg"} | {name for name in names if ".egg-info/" in name}
    kept = {name for name in sources() if not name.startswith((".ci/", ".github/"))}
    assert names - generated - kept == set(), "no stray file"
    assert kept - names == set(), "nothing is missing"
    subprocess.run(
        [sys.executable, "-c", BUILD, "build_wheel", str(tmp_path)],
        cwd=tmp_path / NAME,
        check=True,
        capture_output=True,
        timeout=200,
    )
    again = zipfile.ZipFile(tmp_path / wheel.name)
    first = zipfile.ZipFile(wheel)
    assert {n: again.read(n) for n in again.namelist() if "RECORD" not in n} == {
        n: first.read(n) for n in first.namelist() if "RECORD" not in n
    }


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel alone; PyTorch and the like come from the environment of the tests."""
    folder = tmp_path_factory.mktemp("installed") / "env"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    places = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    python = Path(places["scripts"]) / ("python.exe" if os.name == "nt" else "python")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(python),
            "install",
            "--no-deps",
            "--no-index",
            "--quiet",
            str(wheel),
        ],
        check=True,
        capture_output=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    # Behind its own packages, and without the .pth files there, one of which leads to the repository.
    Path(places["purelib"], "zz_dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def call(environment: Path, *arguments: object) -> str:
    """Runs a program of the environment outside of the repository, and returns what it prints."""
    scripts = Path(sysconfig.get_path("scripts", vars={"base": str(environment)}))
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and not k.startswith("FAIGLIB_")}
    program, *rest = map(str, arguments)
    done = subprocess.run(
        [scripts / program, *rest],
        cwd=environment.parent,
        env={**clean, "OMP_NUM_THREADS": "1", "FAIGLIB_CACHE": str(environment / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_command_works_without_the_repository(installed, wheel):
    """It explains itself, finds the weights inside the package, and attributes with them."""
    models = Path(sysconfig.get_path("purelib", vars={"base": str(installed)})) / "faiglib" / "_models"
    manifest = json.loads((models / "manifest.json").read_text(encoding="utf-8"))
    assert "Find the filters of a restoration network" in call(installed, "faiglib", "--help")
    said = call(installed, "faiglib", "info")
    assert said.startswith(f"faiglib {PROJECT['version']}, ")
    assert len(manifest["models"]) >= 2
    assert [entry["file"] for entry in manifest["models"] if entry["file"] not in said] == []

    place = installed.parent
    for kind, side in (("gt", 24), ("blur", 12), ("noise", 12)):
        pixels = np.random.default_rng(len(kind)).integers(0, 256, (side, side, 3), dtype=np.uint8)
        (place / kind).mkdir()
        Image.fromarray(pixels).save(place / kind / "a.png")
    entry = next(entry for entry in manifest["models"] if entry["role"] == "target")
    pair = [f"--baseline={models / entry['parent']}", f"--target={models / entry['file']}"]
    images = ["--gt=gt", "--blur=blur", "--noise=noise", "--out=found", "--nodes=1", "--device=cpu"]
    call(installed, "faiglib", "attribute", f"--network={entry['network']}", *pair, *images)
    ranking = [int(line) for line in (place / "found" / "blur_index.txt").read_text().splitlines()]
    assert sorted(ranking) == list(range(len(ranking)))
    assert len(ranking) > 100_000
