"""Says whether an executed notebook still stands for its text, the library, its parameters and its data.

The record of an execution, ``NAME.json`` beside ``NAME.ipynb``, is written last. It vouches for the notebook by its
sha256, and names the tables that the execution measured. A notebook without a record, or with one that does not fit,
is executed again; so an interrupted run leaves nothing that a later one could mistake for done.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bookmaker.layout import Layout
from faiglib.companion.places import Places
from faiglib.system.files import sha256_file, write_text_atomic

PACKAGES = (
    "torch",
    "numpy",
    "scikit-image",
    "scipy",
    "pandas",
    "matplotlib",
    "seaborn",
    "scikit-learn",
    "pillow",
)
Ingredients = dict[str, str]


@dataclass(frozen=True)
class Cost:
    """What an execution took.

    Attributes:
        seconds: From its start to its end.
        memory_gib: The most that its kernel held, None where the system does not tell.
        gradients: Of one image each, that attribution took.
        pixels: Of the network inputs of these gradients, added up.
        finished: Time, as ISO 8601 has it.
    """

    seconds: float
    memory_gib: float | None
    gradients: int
    pixels: int
    finished: str


def digest(value: object) -> str:
    """The sha256 of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_files(folder: Path, patterns: Iterable[str]) -> str:
    """The sha256 of names and contents of the matching files below a folder; an absent folder is empty."""
    total = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0")
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def digest_recorded(folder: Path) -> str:
    """The sha256 of the recorded results that notebooks show: all but the runs that new ones are compared with."""
    from faiglib.companion.profiles import PROFILES

    shown = [one for one in sorted(folder.glob("*")) if one.is_dir() and one.name not in PROFILES]
    return digest({one.name: digest_files(one, ["*.csv", "*.json", "*.safetensors"]) for one in shown})


def shared_ingredients(
    layout: Layout, parameters: Mapping[str, Any], models: Path, data: Mapping[str, str]
) -> Ingredients:
    """What every notebook of one run depends on: digests under names that a user understands."""
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "faiglib": digest_files(layout.root / "faiglib", ["*.py", "*.csv"]),
        "parameters": digest(dict(parameters)),
        "models": digest_files(models, ["*.safetensors", "*.json", "*.csv"]),
        "recorded results": digest_recorded(layout.root / "results"),
        "images": digest(dict(data)),
        "package versions": digest(versions),
    }


def with_notebook(ingredients: Ingredients, notebook: Path) -> Ingredients:
    """Adds the text of one notebook to what all depend on."""
    return {"notebook": hashlib.sha256(notebook.read_bytes()).hexdigest(), **ingredients}


def read_execution(layout: Layout, name: str) -> dict[str, Any] | None:
    """The record of the last complete execution of a notebook, or None if there is none."""
    try:
        record = json.loads((layout.executed / f"{name}.json").read_text(encoding="utf-8"))
        content = (layout.executed / f"{name}.ipynb").read_bytes()
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or any(
        key not in record or not isinstance(record[key], kind) for key, kind in FIELDS.items()
    ):
        return None
    whole = record["sha256"] == hashlib.sha256(content).hexdigest()
    return record if whole and _are_words(record["made_of"]) and _are_words(record["tables"]) else None


#: What a record holds.
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "made_of": dict,
    "seconds": (int, float),
    "memory_gib": (int, float, type(None)),
    "gradients": int,
    "pixels": int,
    "finished": str,
    "made_with": dict,
    "sha256": str,
    "profile": str,
    "tables": dict,
}


def _are_words(values: Mapping[Any, Any]) -> bool:
    return all(isinstance(value, str) for value in values.values())


def tables_of(layout: Layout, profile: str) -> dict[str, str]:
    """Sha256 of every file in a profile's folder of measured tables, by its name."""
    folder = layout.measured(profile)
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {file.name: sha256_file(file) for file in files if file.is_file()}


def take_tables(layout: Layout, profile: str, own: Path) -> dict[str, str]:
    """Puts the tables that a notebook measured in a folder of its own in the place of all; their sha256, by name."""
    written = Places.below(own).measured(profile)
    there = layout.measured(profile)
    there.mkdir(parents=True, exist_ok=True)
    files = sorted(written.iterdir()) if written.is_dir() else []
    for file in files:
        os.replace(file, there / file.name)
    shutil.rmtree(own, ignore_errors=True)
    return {file.name: sha256_file(there / file.name) for file in files}


def reason_to_execute(layout: Layout, name: str, made_of: Ingredients) -> str | None:
    """Why a notebook has to be executed, in a few words, or None if its last execution still stands."""
    record = read_execution(layout, name)
    if record is None:
        return "not executed yet"
    before = record["made_of"]
    changed = [part for part in {**before, **made_of} if before.get(part) != made_of.get(part)]
    return f"changed: {', '.join(changed)}" if changed else None


def forget(layout: Layout, name: str) -> None:
    """Removes the record of a notebook."""
    (layout.executed / f"{name}.json").unlink(missing_ok=True)


def remember(
    layout: Layout,
    name: str,
    made_of: Ingredients,
    cost: Cost,
    made_with: Mapping[str, Any],
    profile: str,
    tables: Mapping[str, str],
) -> None:
    """Writes the record of a complete execution; call it last."""
    record = {
        "made_of": made_of,
        **dataclasses.asdict(cost),
        "seconds": round(cost.seconds, 1),
        "made_with": dict(made_with),
        "sha256": hashlib.sha256((layout.executed / f"{name}.ipynb").read_bytes()).hexdigest(),
        "profile": profile,
        "tables": dict(tables),
    }
    write_text_atomic(layout.executed / f"{name}.json", json.dumps(record, indent=1))
