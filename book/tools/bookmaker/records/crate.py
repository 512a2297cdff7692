"""RO-Crate metadata of recorded runs and of built books: what was run, with what, on what, and what came of it.

A folder with such a file is a Process Run Crate (https://w3id.org/ro/wfrun/process/0.5): runs are actions with an
instrument (this project at a commit), objects (weights and image sets by sha256) and results (tables, pages). Who ran
it is left open.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bookmaker import staleness
from bookmaker.errors import BookError
from bookmaker.finish.finishing import pages
from bookmaker.layout import Layout
from faiglib.images import registry
from faiglib.system.documents import DocumentError, read_json
from faiglib.system.files import sha256_file, write_text_atomic

FILE = "ro-crate-metadata.json"
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
LICENSE = "https://spdx.org/licenses/Apache-2.0"
#: What of a provenance describes the machine and its programs.
ENVIRONMENT = ("python", "torch", "numpy", "platform", "cpu", "cores", "ram_gib", "device", "gpu", "torch_threads")
KINDS = {".csv": "text/csv", ".json": "application/json", ".html": "text/html"}

Entity = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """Something that was executed.

    Attributes:
        name: In words.
        made_on: From :func:`faiglib.system.provenance.collect`.
        finished: When, as ISO 8601 has it.
        weights: sha256 by name.
        image_sets: Digest by name.
        results: Files of the crate, relative to its folder.
    """

    name: str
    made_on: Mapping[str, Any]
    finished: str
    weights: Mapping[str, str]
    image_sets: Mapping[str, str]
    results: tuple[str, ...]


def write_record(layout: Layout, profile: str) -> Path:
    """Describes the recorded run of a profile, in its folder.

    Raises:
        BookError: A file of the record cannot be read.
        StoreError: It cannot be written.
    """
    folder = layout.root / "results" / profile
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name != FILE and file.name[0] != ".")
    runs = list(_recorded_runs(folder, files, profile))
    return _write(folder, f"Recorded run of the book, profile {profile}", files, runs)


def write_book(layout: Layout) -> Path | None:
    """Describes the book that was built, in its folder; nothing where no chapter has been executed.

    Raises:
        StoreError: It cannot be written.
    """
    executions = {name: staleness.read_execution(layout, name) for name in layout.notebooks()}
    runs = [
        Run(
            f"Chapter {name}, profile {found['profile']}",
            found["made_with"],
            found["finished"],
            found["made_with"].get("weights", {}),
            found["made_with"].get("images", {}),
            (f"notebooks/{name}.html",),
        )
        for name, found in executions.items()
        if found
    ]
    if not runs or not layout.html.is_dir():
        return None
    files = [*pages(layout.html), *sorted(layout.html.rglob("*.csv"))]
    return _write(layout.html, "Finding discriminative filters, reproduced", files, runs)


def _recorded_runs(folder: Path, files: Iterable[Path], profile: str) -> Iterator[Run]:
    """The runs that the tables of a record come from: those of one commit were one. A table may not say it."""
    by_commit: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    for file in files:
        if file.suffix == ".json" and file.with_suffix(".csv").is_file():
            try:
                made_by = read_json(file, dict[str, Any])
            except (OSError, DocumentError) as error:
                raise BookError(f"{file} of the recorded run cannot be read: {error}") from None
            if {"made_on", "weights", "image_sets"} <= made_by.keys():
                by_commit.setdefault(str(made_by["made_on"].get("commit")), []).append((file, made_by))
    for tables in by_commit.values():
        newest = max((made_by for _, made_by in tables), key=lambda one: str(one["made_on"]["time_utc"]))
        yield Run(
            f"nox -s reproduce -- --profile {profile} --record",
            newest["made_on"],
            newest["made_on"]["time_utc"],
            {
                f"{network}-target-seed{seed}.safetensors": sha256
                for network, seeds in newest["weights"].items()
                for seed, sha256 in seeds.items()
            },
            newest["image_sets"],
            tuple(name for file, _ in tables for name in (f"{file.stem}.csv", file.name)),
        )


def _write(folder: Path, name: str, files: list[Path], runs: list[Run]) -> Path:
    graph = list(_graph(folder, name, files, runs))
    path = folder / FILE
    write_text_atomic(path, json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False) + "\n")
    return path


def _graph(folder: Path, name: str, files: list[Path], runs: list[Run]) -> Iterator[Entity]:
    parts = [file.relative_to(folder).as_posix() for file in files]
    last = max((run.finished for run in runs), default="")
    yield {
        "@id": FILE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    yield {
        "@id": "./",
        "@type": "Dataset",
        "name": name,
        "description": f"{name}: what was executed, with which weights and images, and the files that came of it.",
        "datePublished": last,
        "license": {"@id": LICENSE},
        "conformsTo": {"@id": PROFILE},
        "hasPart": _ids(parts),
        "mentions": _ids(f"#run-{number}" for number in range(len(runs))),
    }
    yield {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    yield {"@id": LICENSE, "@type": "CreativeWork", "name": "Apache License 2.0"}
    for file, part in zip(files, parts, strict=True):
        kind = {"encodingFormat": KINDS[file.suffix]} if file.suffix in KINDS else {}
        size = str(file.stat().st_size)
        yield {"@id": part, "@type": "File", "name": part, "contentSize": size, "sha256": sha256_file(file), **kind}
    seen: set[str] = set()
    for number, run in enumerate(runs):
        for entity in _of_run(number, run):
            if entity["@id"] not in seen:
                seen.add(entity["@id"])
                yield entity


def _of_run(number: int, run: Run) -> Iterator[Entity]:
    """An action, its instrument, its objects and its environment."""
    commit = run.made_on.get("commit")
    instrument = f"#faiglib-{(commit or run.made_on['sources'])[:12]}"
    weights = {f"#weights-{sha256[:24]}": (name, sha256) for name, sha256 in run.weights.items()}
    sets = {f"#images-{digest[:24]}": (name, digest) for name, digest in run.image_sets.items()}
    around = {f"#environment-{number}-{name}": (name, run.made_on.get(name)) for name in ENVIRONMENT}
    around = {place: (name, value) for place, (name, value) in around.items() if value is not None}
    yield {
        "@id": f"#run-{number}",
        "@type": "CreateAction",
        "name": run.name,
        "endTime": run.finished,
        "instrument": {"@id": instrument},
        "object": _ids([*sets, *weights]),
        "result": _ids(run.results),
        "environment": _ids(around),
    }
    yield {
        "@id": instrument,
        "@type": "SoftwareApplication",
        "name": "faiglib",
        "softwareVersion": run.made_on["faiglib"],
        "version": commit or f"sources {run.made_on['sources']}",
    }
    for place, (name, sha256) in weights.items():
        yield {"@id": place, "@type": "CreativeWork", "name": f"models/{name}", "sha256": sha256}
    for place, (name, digest) in sets.items():
        yield {"@id": place, "@type": "Dataset", "name": registry.TITLES.get(name, name), "sha256": digest}
    for place, (name, value) in around.items():
        yield {"@id": place, "@type": "PropertyValue", "name": name, "value": str(value)}


def _ids(places: Iterable[str]) -> list[Entity]:
    return [{"@id": place} for place in places]
