"""The rooms of the house: who may import whom, what the core install suffices for, how large anything is."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LINTER = Path(sys.executable).with_name("lint-imports")
#: Data tables, which are as long as they are.
LONG = {"faiglib/companion/paper.py", "faiglib/companion/criteria.py"}
MOST_LINES, MOST_IN_A_FUNCTION = 300, 60


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    for name in ("faiglib", "book/tools/bookmaker"):
        shutil.copytree(ROOT / name, folder / Path(name).name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINTER, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


def test_the_contracts_are_kept(copied):
    done = lint(copied)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("attribution/chance.py", "import faiglib.images.files", "Attribution knows neither images nor networks"),
        ("system/files.py", "import faiglib.filters.index", "A room imports what lies below it"),
        ("networks/zoo.py", "def late():\n    import pandas", "The library needs the core install alone"),
        ("command/main.py", "import faiglib.companion.paper", "A room imports what lies below it"),
        ("companion/masking/report.py", "import faiglib.companion.masking.show", "A chapter shows what it reports"),
        ("companion/masking/report.py", "import faiglib.companion.beyond.report", "Chapters do not import each other"),
        ("companion/record.py", "import bookmaker.layout", "Faiglib knows neither the book's tools"),
        ("../bookmaker/records/recording.py", "import bookmaker.pages.places", "The book's tools"),
    ],
)
def test_an_import_that_is_forbidden_breaks_a_contract(copied, module, line, contract):
    path = copied / "faiglib" / module
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}\n\n{line}\n", encoding="utf-8")
    try:
        done = lint(copied)
    finally:
        path.write_text(before, encoding="utf-8")
    assert done.returncode == 1
    assert re.search(rf"{contract}.* BROKEN", done.stdout), done.stdout


def core_distributions() -> set[str]:
    """Names of what `pip install faiglib` brings, down to the last."""
    found, waiting = set(), ["faiglib"]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            try:
                needed = map(Requirement, requires(name) or ())
            except ModuleNotFoundError:  # another platform's
                continue
            waiting += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


IMPORT_ALL = """
import importlib, pkgutil, sys
from importlib.machinery import PathFinder
absent, find_spec = set(sys.argv[1].split(",")), PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in absent else find_spec(name, *rest)
import faiglib
names = [one.name for one in pkgutil.walk_packages(faiglib.__path__, "faiglib.", onerror=lambda name: None)]
outside = [name for name in names if not name.startswith("faiglib.companion") and not name.endswith("__main__")]
for name in outside:
    importlib.import_module(name)
print(len(outside))
"""


def test_all_but_the_companion_imports_with_the_core_install():
    core = core_distributions()
    absent = {
        module
        for module, names in packages_distributions().items()
        if not {canonicalize_name(name) for name in names} & core and module != "faiglib"
    }
    assert {"pandas", "matplotlib", "sklearn", "IPython", "seaborn"} <= absent
    command = [sys.executable, "-c", IMPORT_ALL, ",".join(sorted(absent))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


SOURCES = [path for folder in ("faiglib", "book/tools", "benchmarks") for path in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_too_long(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES or str(path.relative_to(ROOT)) in LONG
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < MOST_IN_A_FUNCTION, node.name


def rooms(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("*/__init__.py")}


def test_tests_mirror_the_rooms():
    assert rooms(ROOT / "tests") == rooms(ROOT / "faiglib") | {"project", "book", "helpers"}


def test_the_map_in_contributing_is_true():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = text.split("## Where things are")[1].split("```")[1]
    for folder in ("faiglib", "book/tools/bookmaker"):
        below = re.split(r"\n(?=\S)", tree.split(f"\n{folder}/ ")[1], maxsplit=1)[0]
        assert set(re.findall(r"^  (\w+)/ ", below, re.MULTILINE)) == rooms(ROOT / folder)
    chapters = set(re.findall(r"\w+", tree.split("a folder a chapter:")[1].split("\n\n")[0]))
    assert chapters == rooms(ROOT / "faiglib" / "companion") - {"page", "pair"}
    for name in set(re.findall(r"^(\S+?)/? ", tree, re.MULTILINE)) - {"build"}:
        assert (ROOT / name).exists(), name


def test_every_chapter_has_the_name_of_its_notebook():
    notebooks = {path.stem.partition("_")[2] for path in (ROOT / "notebooks").glob("*.py")}
    known = {
        "one_vs_two_branch": "one_versus_two",
        "faig": "method",
        "beyond_the_paper": "beyond",
        "training": "weights",
    }
    folders = {known.get(name, name) for name in notebooks}
    assert rooms(ROOT / "faiglib" / "companion") - {"page", "pair"} == folders - {"your_own_network"}


def test_a_command_that_trains_nothing_does_not_wait_for_lightning():
    """Importing it takes as long as importing PyTorch, which a user would wait for at every command."""
    code = "import sys, faiglib.command.main; print('lightning_fabric' in sys.modules, 'torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
