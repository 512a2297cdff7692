"""The container by the rules of the trade: a pinned base, no root, nothing left in caches, and what the README says."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of a Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(None, 1)[0].upper(), line.split(None, 1)[1]) for line in joined.splitlines() if line.strip()]


def faults(text: str) -> list[str]:
    """What a reviewer of containers would say, in the order of hadolint's rules."""
    given = instructions(text)
    found = []
    for name, arguments in given:
        if name == "FROM" and not re.search(r":\d+\.\d+\.\d+", arguments):
            found.append("the base is not pinned")
        if name == "RUN" and "apt-get install" in arguments:
            if "--no-install-recommends" not in arguments or not re.search(r"--yes|-y\b", arguments):
                found.append("apt-get brings more than asked, or asks")
            if "rm -rf /var/lib/apt/lists" not in arguments or "apt-get update" not in arguments:
                found.append("lists of packages are old, or stay in the image")
            packages = arguments.split("apt-get install", 1)[1].split("&&")[0].split()
            found += [f"{one} has no version" for one in packages if not one.startswith("-") and "=" not in one]
        if name == "RUN" and "sudo" in arguments:
            found.append("sudo")
        if name == "ADD":
            found.append("ADD where COPY does")
    users = [arguments for name, arguments in given if name == "USER"]
    if not users or users[-1] in ("root", "0"):
        found.append("it runs as root")
    everything = " ".join(arguments for _, arguments in given)
    if "pip install" in everything and "PIP_NO_CACHE_DIR=1" not in everything and "--no-cache-dir" not in everything:
        found.append("pip's cache stays in the image")
    if "pip install" in everything and "--constraint" not in everything:
        found.append("packages are not pinned")
    if [name for name, _ in given].count("CMD") != 1:
        found.append("there is not one command")
    return found


def test_the_container_has_no_fault():
    assert faults((ROOT / "Dockerfile").read_text()) == []


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("python:3.11.13-slim", "python:3-slim", "the base is not pinned"),
        ("USER reader", "USER root", "it runs as root"),
        ("PIP_NO_CACHE_DIR=1", "X=1", "pip's cache stays in the image"),
        ("git=1:2.39.*", "git", "git has no version"),
        ("    && rm -rf /var/lib/apt/lists/*", "    && true", "lists of packages are old, or stay in the image"),
        ("--no-install-recommends", "", "apt-get brings more than asked, or asks"),
        ("--constraint constraints.txt", "", "packages are not pinned"),
        ("COPY --chown=reader . ./", "ADD . ./", "ADD where COPY does"),
    ],
)
def test_faults_are_found(before, after, fault):
    text = (ROOT / "Dockerfile").read_text()
    assert before in text
    assert faults(text.replace(before, after)) == [fault]


def test_it_does_by_default_what_the_readme_says():
    (command,) = [arguments for name, arguments in instructions((ROOT / "Dockerfile").read_text()) if name == "CMD"]
    assert " ".join(json.loads(command)) in (ROOT / "README.md").read_text()
    base = re.search(r"FROM python:(\d+\.\d+)", (ROOT / "Dockerfile").read_text()).group(1)
    assert f"Programming Language :: Python :: {base}" in (ROOT / "pyproject.toml").read_text()


def test_the_development_container_is_the_same_one():
    described = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    folder = ROOT / ".devcontainer"
    assert (folder / described["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (folder / described["build"]["context"]).resolve() == ROOT
    users = [arguments for name, arguments in instructions((ROOT / "Dockerfile").read_text()) if name == "USER"]
    assert described["remoteUser"] == users[-1]
    assert described["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"].startswith(".nox/env")


def test_nothing_generated_goes_into_it():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in (".nox", ".venv", "build", "**/__pycache__"):
        assert name in ignored


def test_binder_gets_what_conda_gets():
    """From a folder of its own: repo2docker would take a Dockerfile before any other description of an environment."""
    usual = yaml.safe_load((ROOT / "environment.yml").read_text())
    binder = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text())
    *conda, pip = binder.pop("dependencies")
    *usual_conda, usual_pip = usual.pop("dependencies")
    assert binder == usual
    assert [re.split("[<>=]", one)[0] for one in conda] == [re.split("[<>=]", one)[0] for one in usual_conda]
    (python,) = (one for one in conda if one.startswith("python"))
    assert re.fullmatch(r"python=3\.\d+", python)  # any other form, and repo2docker takes a version of its own
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert SpecifierSet(supported).contains(python.partition("=")[2])
    assert pip["pip"] == [line.replace("-c ", "-c ../").replace("-e .", "-e ..") for line in usual_pip["pip"]]
    assert (ROOT / ".binder" / pip["pip"][0].removeprefix("-c ")).resolve() == ROOT / "constraints.txt"
