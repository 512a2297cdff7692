"""Sessions of this project: ``nox -l`` lists them, ``nox -s NAME -- options`` runs one.

One virtual environment, made by the session ``env``, serves all the others.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import urllib.request
from pathlib import Path

import nox
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "tests"]
nox.options.default_venv_backend = "venv"  # NOX_DEFAULT_VENV_BACKEND=uv is several times faster
nox.options.error_on_missing_interpreters = False  # the session compat runs with those that are there

ROOT = Path(__file__).parent
STAMP = "faiglib-stamp.txt"
JUPYTEXT_IN_LAB = {"@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"python": "Jupytext Notebook"}}}

# Where the shared environment is; the session `env`, which all others require, sets it.
shared_bin: Path | None = None


def run(session: nox.Session, program: str, *arguments: str, **variables: str) -> None:
    """Runs a program of the shared environment, with some environment variables."""
    assert shared_bin is not None
    suffix = ".exe" if os.name == "nt" else ""
    path = os.pathsep.join([str(shared_bin), os.environ.get("PATH", "")])
    session.run(str(shared_bin / (program + suffix)), *arguments, external=True, env={"PATH": path, **variables})


def options(session: nox.Session) -> list[str]:
    """The arguments after ``--``; a second ``--`` between them is harmless."""
    return [argument for argument in session.posargs if argument != "--"]


@nox.session(reuse_venv=True)
def env(session: nox.Session) -> None:
    """Makes the environment that all other sessions use, unless it is there and up to date."""
    global shared_bin
    shared_bin = Path(session.bin)
    version = session.run("python", "-c", "import sys; print(sys.version)", silent=True) or ""
    made_of = hashlib.sha256(version.encode())
    for name in ("pyproject.toml", "constraints.txt", "hashes.txt"):
        made_of.update((ROOT / name).read_bytes())
    stamp = Path(session.virtualenv.location) / STAMP
    if stamp.is_file() and stamp.read_text() == f"{ROOT}\n{made_of.hexdigest()}\n":
        session.log("The environment is up to date.")
        return
    stamp.unlink(missing_ok=True)
    session.log("Installing the pinned packages once; on a slow line this takes a while.")
    session.install("--no-deps", "--require-hashes", "-r", "hashes.txt", silent=False)
    session.install("-c", "constraints.txt", "-e", ".[book,dev]", silent=False)
    stamp.write_text(f"{ROOT}\n{made_of.hexdigest()}\n")


@nox.session(venv_backend="none", requires=["env"])
def reproduce(session: nox.Session) -> None:
    """Runs what is out of date and builds the book: -- --profile quick|standard|paper --only 03."""
    run(session, "python", "book/tools/reproduce.py", *options(session))


@nox.session(venv_backend="none", requires=["env"])
def book(session: nox.Session) -> None:
    """Builds the HTML again from the notebooks as they were last executed."""
    run(session, "python", "book/tools/reproduce.py", "--no-execute", *options(session))


@nox.session(venv_backend="none")
def axe(session: nox.Session) -> None:
    """Installs axe-core, in the pinned version, for the check of the book; wants npm and the network."""
    folder = ROOT / "build" / "axe"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "book" / "tools" / "axe" / name, folder)
    session.chdir(folder)
    session.run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", external=True)


@nox.session(venv_backend="none", requires=["env"])
def pdf(session: nox.Session) -> None:
    """Prints the book that was built last to build/book.pdf; wants Chromium or Chrome."""
    run(session, "python", "book/tools/print_book.py", *options(session))


@nox.session(venv_backend="none", requires=["env"])
def tests(session: nox.Session) -> None:
    """Runs the tests; options after -- go to pytest: -- --cov measures what they cover."""
    run(session, "python", "-m", "pytest", "-n", "auto", *options(session))


#: What makes libraries choose other kernels, as other processors do, and with how many workers the tests then run: an
#: old processor, and one of some years with two threads.
KERNELS = {
    "old": ({"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"}, "auto"),
    "usual": ({"MKL_CBWR": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2", "FAIGLIB_TEST_THREADS": "2"}, "1"),
}


@nox.session(venv_backend="none", requires=["env"])
@nox.parametrize("processor", list(KERNELS), ids=list(KERNELS))
def portability(session: nox.Session, processor: str) -> None:
    """Repeats the numeric tests with other kernels and numbers moved by one unit in the last place, both at once."""
    kernels, workers = KERNELS[processor]
    seed = list(KERNELS).index(processor)
    numeric = ("-m", "pytest", "-q", "-m", "numeric", "-n", workers, f"--ulp-seed={seed}", *options(session))
    run(session, "python", *numeric, **kernels)


@nox.session(reuse_venv=True, python=["3.11", "3.12", "3.13"])
def compat(session: nox.Session) -> None:
    """Runs the tests with every supported Python that is installed, each in an environment of its own."""
    session.install("-c", "constraints.txt", "-e", ".[book,dev]")
    session.run("python", "-m", "pytest", "-n", "auto", *options(session))


@nox.session(venv_backend="none", requires=["env"])
def lint(session: nox.Session) -> None:
    """Checks style, docstrings, types, who imports whom, and that notebooks survive the way to .ipynb and back."""
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")
    run(session, "mypy")
    run(session, "lint-imports", PYTHONPATH="book/tools")
    notebooks = [str(notebook.relative_to(ROOT)) for notebook in sorted(ROOT.glob("notebooks/*.py"))]
    run(session, "jupytext", "--test-strict", "--to", "ipynb", *notebooks)


@nox.session(venv_backend="none")
def hashes(session: nox.Session) -> None:
    """Writes hashes.txt: the SHA-256 of every file that the index has of the versions in constraints.txt."""
    found = [
        "# Made by `nox -s hashes`, for `pip install --no-deps --require-hashes`. Without torch: which of its wheels",
        "# is wanted (CPU, CUDA) differs from machine to machine, and its CPU wheels are not on the index.",
    ]
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        if version and name != "torch" and not line.startswith("#"):
            digests = [f"--hash=sha256:{digest}" for digest in sorted(digests_of(name, version))]
            found.append(" \\\n    ".join([line, *digests]))
    (ROOT / "hashes.txt").write_text("\n".join(found) + "\n")


def digests_of(name: str, version: str) -> set[str]:
    """SHA-256 of all files of a version on the package index."""
    accepted = {"Accept": "application/vnd.pypi.simple.v1+json"}
    request = urllib.request.Request(f"https://pypi.org/simple/{canonicalize_name(name)}/", headers=accepted)
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    found = {one["hashes"]["sha256"] for one in files if version_of(one["filename"]) == Version(version)}
    if not found:
        raise SystemExit(f"the index has no file of {name} {version}")
    return found


def version_of(file: str) -> Version | None:
    """The version that a file of the index is of, or None for kinds of files that are no longer used."""
    try:
        return parse_wheel_filename(file)[1] if file.endswith(".whl") else parse_sdist_filename(file)[1]
    except ValueError:
        return None


@nox.session(reuse_venv=True)
def audit(session: nox.Session) -> None:
    """Asks the public databases for known vulnerabilities of the pinned versions; wants the network."""
    session.install("pip-audit>=2.7")
    session.run("pip-audit", "--requirement", "constraints.txt", "--no-deps", "--disable-pip", *options(session))


@nox.session(venv_backend="none", requires=["env"])
def picture(session: nox.Session) -> None:
    """Draws the README's picture anew."""
    run(session, "python", "book/tools/picture.py")


@nox.session(venv_backend="none", requires=["env"])
def masks(session: nox.Session) -> None:
    """Trains the masks of chapter 13 anew, for the image set that is here, and records what they exchange."""
    run(session, "python", "book/tools/record_masks.py")


@nox.session(venv_backend="none", requires=["env"])
def passes(session: nox.Session) -> None:
    """Studies which nodes, crops and sizes come closest to the ranking of a data set, and records it."""
    run(session, "python", "book/tools/record_passes.py", *options(session))


@nox.session(venv_backend="none", requires=["env"])
def metadata(session: nox.Session) -> None:
    """Writes codemeta.json and .zenodo.json anew, from CITATION.cff."""
    run(session, "python", "book/tools/metadata.py")


@nox.session(reuse_venv=True)
def release(session: nox.Session) -> None:
    """Builds wheel and sdist, checks them, and uses the wheel in empty environments without pins; uploads nothing."""
    session.install("build>=1.2", "twine>=6")
    folder = ROOT / "build" / "release"
    shutil.rmtree(folder, ignore_errors=True)
    alone = {"PYTHONPATH": ""}
    session.run("python", "-m", "build", "--outdir", str(folder), env=alone)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    session.run("twine", "check", "--strict", str(wheel), str(sdist))
    version = str(parse_wheel_filename(wheel.name)[1])
    scripts = "Scripts" if os.name == "nt" else "bin"
    for extra, more in (("", []), ("[book]", [str(sdist)])):
        place = folder / (extra.strip("[]") or "core")
        session.run("python", "-m", "venv", str(place))
        python = str(place / scripts / "python")
        session.run(python, "-m", "pip", "install", "--quiet", f"{wheel}{extra}", external=True, env=alone)
        session.run(python, "-m", "pip", "check", external=True, env=alone)
        session.run(python, "-I", "book/tools/use_release.py", version, *more, external=True)
    session.log(
        f"Ready, and not uploaded: {wheel.name} and {sdist.name}. A person does that: twine upload {folder}/*.*"
    )


@nox.session(venv_backend="none", requires=["env"])
def rounding(session: nox.Session) -> None:
    """Measures the cheapest tables with other kernels and arithmetic, and records how far they move."""
    run(session, "python", "book/tools/record_rounding.py")


@nox.session(venv_backend="none", requires=["env"])
def lab(session: nox.Session) -> None:
    """Opens JupyterLab, where a double click on notebooks/NAME.py opens it as a notebook."""
    assert shared_bin is not None
    overrides = shared_bin.parent / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    overrides.parent.mkdir(parents=True, exist_ok=True)
    overrides.write_text(json.dumps(JUPYTEXT_IN_LAB, indent=2))
    (ROOT / "build" / "lab").mkdir(parents=True, exist_ok=True)
    run(session, "jupyter", "lab", "--notebook-dir", str(ROOT), *options(session))


@nox.session(venv_backend="none", requires=["env"])
def train(session: nox.Session) -> None:
    """Trains networks; options after -- go to ``faiglib train``."""
    run(session, "faiglib", "train", *options(session))


@nox.session(venv_backend="none", requires=["env"])
def bench(session: nox.Session) -> None:
    """Measures speed and memory; options after -- go to ``python -m benchmarks``."""
    run(session, "python", "-m", "benchmarks", *options(session))
