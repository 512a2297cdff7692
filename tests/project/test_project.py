from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
REQUIREMENTS = [
    Requirement(line)
    for line in [*PYPROJECT["project"]["dependencies"], *(r for extra in EXTRAS.values() for r in extra)]
]
GENERATED = {
    ".git",
    ".nox",
    "build",
    "data",
    ".venv",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
}
TEXT = {
    "",
    ".py",
    ".toml",
    ".txt",
    ".yml",
    ".yaml",
    ".md",
    ".cff",
    ".json",
    ".csv",
    ".css",
    ".bib",
    ".svg",
    ".js",
}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line) for line in found)
    names = [canonicalize_name(line.split("==")[0]) for line in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, (line.split("==")[1] for line in found), strict=True))


def project_files() -> list[Path]:
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not GENERATED & set(path.relative_to(ROOT).parts)
        and path.suffix in TEXT
        and not path.name.startswith(".coverage")
        and "mathjax" not in path.parts
        and ".egg-info" not in str(path)
    ]


@pytest.mark.parametrize("version", ["3.11.0", "3.12.0", "3.13.0"])
def test_every_pinned_package_runs_on_the_first_release_of_every_supported_python(version):
    """As their metadata says; a release may drop the patch releases of a Python that others still have."""
    assert version in SpecifierSet(PYPROJECT["project"]["requires-python"])
    wanted = {}
    for name in pins():
        try:
            wanted[name] = importlib.metadata.metadata(name)["Requires-Python"] or ""
        except importlib.metadata.PackageNotFoundError:  # of another platform, or of the extra that is not installed
            continue
    assert len(wanted) > len(REQUIREMENTS)
    assert [name for name, python in wanted.items() if version not in SpecifierSet(python)] == []


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_every_dependency_has_a_pin_that_it_allows(requirement):
    """One that no session installs is its own pin, as spandrel is, which wants torchvision."""
    if requirement.name == "spandrel":
        assert [one.operator for one in requirement.specifier] == ["=="]
        assert canonicalize_name(requirement.name) not in pins()
        return
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)], prereleases=True)


def test_the_versions_that_the_book_needs():
    assert pins()["torch"] == "2.13.0"
    assert pins()["jupyter-book"] == "1.0.4.post1"
    assert not [name for name in pins() if name.startswith(("nvidia-", "cuda-")) or name == "triton"]
    book = next(r for r in REQUIREMENTS if r.name == "jupyter-book")
    assert not book.specifier.contains("2.0.0")


def test_conda_environment_agrees():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-c constraints.txt", "-e .[book]"]}
    names = {re.split(r"[<>=]", entry)[0] for entry in conda}
    assert names == {"python", "pip"}
    python = next(entry.removeprefix("python") for entry in conda if entry.startswith("python"))
    assert SpecifierSet(python) == SpecifierSet(PYPROJECT["project"]["requires-python"])


def test_all_packages_are_installed():
    listed = set(PYPROJECT["tool"]["setuptools"]["packages"]) - {"faiglib._assets", "faiglib._models"}
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "faiglib").rglob("__init__.py")}
    assert listed == there


def test_every_pin_has_hashes():
    """But torch's, whose wheels differ from machine to machine."""
    text = (ROOT / "hashes.txt").read_text()
    entries = re.findall(
        r"^([A-Za-z0-9._-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    )
    found = {canonicalize_name(name): version for name, version, _ in entries}
    assert found == {name: version for name, version in pins().items() if name != "torch"}
    assert len(re.findall("^[A-Za-z0-9]", text, re.MULTILINE)) == len(entries)


def test_actions_are_pinned_by_commit():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        used = re.findall(r"uses: (\S+)(.*)", path.read_text())
        assert used
        for action, comment in used:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), f"{path}: {action}"
            assert re.fullmatch(r"  # v\d+\.\d+\.\d+", comment), f"{path}: which version is {action}?"


def test_nox_has_its_sessions():
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    sessions = {
        node.name: {keyword.arg for decorator in node.decorator_list for keyword in decorator.keywords}
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.decorator_list
    }
    assert sessions.keys() == {
        "env", "reproduce", "tests", "masks", "metadata", "passes", "portability", "compat", "lint", "pdf", "lab",
        "train", "bench", "book", "hashes", "audit", "picture", "axe", "release", "rounding",
    }  # fmt: skip
    own = {"env", "compat", "hashes", "audit", "axe", "release"}
    assert all("requires" in keywords for name, keywords in sessions.items() if name not in own)


def supported() -> list[str]:
    """The versions of Python that the classifiers name."""
    prefix = "Programming Language :: Python :: 3."
    names = [line for line in PYPROJECT["project"]["classifiers"] if line.startswith(prefix)]
    return [name.rpartition(" ")[2] for name in names]


def test_the_supported_versions_of_python_agree_everywhere():
    versions = supported()
    assert versions == sorted(versions, key=lambda version: int(version.split(".")[1]))
    lowest = versions[0]
    assert PYPROJECT["project"]["requires-python"] == f">={lowest}"
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{lowest.replace('.', '')}"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == lowest
    assert f"python={json.dumps(versions)}" in (ROOT / "noxfile.py").read_text()
    assert f"Python {versions[0]} to {versions[-1]} are supported" in (ROOT / "CONTRIBUTING.md").read_text()
    assert f"Python {lowest} or newer" in (ROOT / "README.md").read_text()
    workflow = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text())
    steps = [
        step["with"]["python-version"]
        for job in ("check", "processors", "site")
        for step in workflow["jobs"][job]["steps"]
        if "setup-python" in step.get("uses", "")
    ]
    assert set(steps) <= set(versions)


def test_the_code_compiles_as_the_oldest_python_that_is_supported():
    feature = tuple(map(int, supported()[0].split(".")))
    for path in project_files():
        if path.suffix == ".py":
            ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=feature)


def distribution_of() -> dict[str, set[str]]:
    """What every module that is installed here comes from."""
    return {
        module: {canonicalize_name(name) for name in names}
        for module, names in importlib.metadata.packages_distributions().items()
    }


CORE = [
    str(path.relative_to(ROOT))
    for path in sorted((ROOT / "faiglib").iterdir())
    if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.name != "companion"
]
BOOK = ["book/tools", "notebooks", "faiglib/companion"]
DEVELOPMENT = ["tests", "noxfile.py", "benchmarks"]
#: Modules that are only looked at where they are there, or that come with what they are used with.
OPTIONAL = {"lightning", "requests", "sphinx", "packaging", "click", "spandrel"}


def imported(places: list[str]) -> set[str]:
    """The top-level modules that the code imports, whether at its beginning or later."""
    modules = set()
    for place in places:
        paths = [ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py"))
        assert paths, f"{place} holds no module"
        for path in paths:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    modules.add(node.module.partition(".")[0])
    return modules


@pytest.mark.parametrize(
    ("places", "extras"),
    [(CORE, []), (BOOK, ["book"]), (DEVELOPMENT, ["book", "dev"])],
    ids=["core", "book", "dev"],
)
def test_everything_that_is_imported_is_declared(places, extras):
    lines = [*PYPROJECT["project"]["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    ours = {"faiglib", "bookmaker", "benchmarks", "tests", *(path.stem for path in (ROOT / "tests").glob("*.py"))}
    known = distribution_of()
    missing = {
        module
        for module in imported(places) - ours - OPTIONAL - sys.stdlib_module_names
        if not known.get(module, set()) & declared
    }
    assert missing == set()


def test_the_docs_name_what_there_is():
    """Sessions, files and commands in the pages that people read first."""
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md", "book/reading.md", "models/README.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        named = {word for line in re.findall(r"nox -s ([\w ]+)", text) for word in line.split()}
        assert named <= sessions | {"NAME"}, name
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", text):
            # The pages of the book are laid out beside the executed notebooks.
            places = [(ROOT / name).parent / target, ROOT / f"{target}.py"]
            assert any(place.exists() for place in places), f"{name} links to {target}"
    commands = set(re.findall(r"faiglib ([a-z][a-z-]+) ", (ROOT / "README.md").read_text()))
    assert commands
    from faiglib.command.main import app

    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert commands <= known


def messages(path: Path) -> list[str]:
    """The messages of all raised errors, with {} for what is filled in; those of the command line end as typer's do."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Raise)
            and isinstance(node.exc, ast.Call)
            and node.exc.args
            and "BadParameter" not in ast.dump(node.exc.func)
        ):
            text = node.exc.args[0]
            parts = text.values if isinstance(text, ast.JoinedStr) else [text]
            if isinstance(text, ast.JoinedStr | ast.Constant):
                found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts))
    return found


def test_errors_are_worded_alike():
    texts = [
        text
        for folder in ("faiglib", "book/tools")
        for path in (ROOT / folder).rglob("*.py")
        for text in messages(path)
    ]
    assert len(texts) > 100
    assert [text for text in texts if text.endswith(".") or re.match(r"[A-Z][a-z]* [a-z{]", text)] == []


def test_citation_names_the_software_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PYPROJECT["project"]["version"]
    assert citation["license"] == PYPROJECT["project"]["license"]
    paper = citation["preferred-citation"]
    assert [author["family-names"] for author in paper["authors"]] == ["Xie", "Wang", "Dong", "Qi", "Shan"]
    assert paper["year"] == 2021


def test_versions_agree():
    import faiglib

    assert faiglib.__version__ == PYPROJECT["project"]["version"]
    assert f"## {faiglib.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_notebooks_are_in_the_book_and_take_the_parameters(path):
    text = path.read_text()
    assert f"- file: notebooks/{path.stem}\n" in (ROOT / "book" / "_toc.yml").read_text()
    cell = re.search(r'# %% tags=\["parameters"\]\n(.*?)(?=\n# %%|\Z)', text, re.DOTALL)
    assert cell is not None
    names = {node.targets[0].id for node in ast.parse(cell.group(1)).body if isinstance(node, ast.Assign)}
    assert names == {"profile", "device", "seed", "data_dir", "models_dir"}


def test_nothing_refers_to_one_machine():
    # Taken apart, so that this file does not find itself.
    wrong = re.compile(
        "|".join(["/" + "work/", "/" + r"home/\w", "/" + r"root/", "/" + r"Users/\w", r"C:\\" + "Users"])
    )
    shared = re.compile(r"\.\./" + "shared")
    for path in project_files():
        text = path.read_text(encoding="utf-8")
        assert not wrong.search(text), f"{path} refers to a folder of one machine"
        if path.relative_to(ROOT) != Path(".ci/run"):
            assert not shared.search(text), f"{path} refers to a folder beside the checkout"


def test_no_image_of_a_benchmark_is_in_the_project():
    names = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp"}
    found = [p for p in ROOT.rglob("*") if p.suffix.lower() in names and not GENERATED & set(p.relative_to(ROOT).parts)]
    assert found == [ROOT / "book/assets/story.png"], "only scikit-image's cat, drawn by nox -s picture"
