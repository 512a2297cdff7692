"""The command that makes the book: what is out of date is executed, then the HTML is built."""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from bookmaker import crew, data, execute, html, stage, staleness
from bookmaker.errors import BookError, os_error_sentence
from bookmaker.layout import Layout
from bookmaker.pages import colophon, drift
from bookmaker.records import crate
from faiglib.companion import kernel
from faiglib.errors import FaiglibError
from faiglib.system import environment, interruption
from faiglib.system.files import expanded

PROJECT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Options:
    """What one run is asked to do.

    Attributes:
        layout: The project.
        profile: The budget, a name in ``faiglib.companion.profiles``.
        only: Number or name of the only notebooks that may be executed; empty for all.
        device: Where to compute, ``auto`` for faiglib's choice.
        seed: Seed of everything random.
        data_dir: Folder of image sets, None for faiglib's choice.
        models_dir: Folder of weights, None for faiglib's choice.
        offline: Whether to download nothing.
        no_execute: Whether to execute nothing.
        record: Whether to make this run the recorded one.
    """

    layout: Layout
    profile: str = "standard"
    only: tuple[str, ...] = ()
    device: str = "auto"
    seed: int = 0
    data_dir: Path | None = None
    models_dir: Path | None = None
    offline: bool = False
    no_execute: bool = False
    record: bool = False

    def parameters(self) -> dict[str, Any]:
        """The values for the parameters cell of every notebook."""
        return {
            "profile": self.profile,
            "device": self.device,
            "seed": self.seed,
            "data_dir": str(self.data_dir) if self.data_dir else None,
            "models_dir": str(self.models_dir) if self.models_dir else None,
        }


def main(arguments: Sequence[str] | None = None, sets: data.Sets | None = None) -> int:
    """Makes the book.

    Args:
        arguments: Command line, without the program.
        sets: Where image sets come from; faiglib's unless given.

    Returns:
        Exit code: 0 when the book is there, 1 when it could not be made, 128 + number of the signal when interrupted.
    """
    received: list[int] = []
    try:
        with interruption.interruptible(received):
            options = parse(arguments)
            layout = options.layout
            layout.build.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(layout.lock, timeout=0), _one_world(layout):
                run(options, sets or data.FaiglibSets(options.parameters()["data_dir"]))
    except filelock.Timeout:
        return _fail("another run is making this book at the moment; wait until it has ended")
    except (BookError, FaiglibError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(os_error_sentence(error))
    except KeyboardInterrupt:
        print("\nInterrupted. The next run goes on with the notebook that was being executed.", file=sys.stderr)
        return 128 + (received[0] if received else signal.SIGINT)
    return 0


@contextlib.contextmanager
def _one_world(layout: Layout) -> Iterator[None]:
    """Let the kernels, which run in another folder, see the folders that this process sees."""
    named = {variable: environment.folder(variable) for variable in environment.FOLDERS}
    named["FAIGLIB_BUILD"] = layout.build
    with kernel.environment({variable: str(path) for variable, path in named.items() if path}):
        yield


def parse(arguments: Sequence[str] | None) -> Options:
    """The options of a command line.

    Raises:
        BookError: If an option has a value that cannot be used.
    """
    from faiglib.companion.profiles import PROFILES

    parser = argparse.ArgumentParser(
        prog="reproduce", description="Runs the notebooks that are out of date, then builds the book."
    )
    parser.add_argument("--profile", default="standard", help=f"the budget: {', '.join(PROFILES)} (%(default)s)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="03",
        help="execute this notebook only; can be repeated",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, … (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (%(default)s)")
    parser.add_argument("--data-dir", type=expanded, help="folder with the image sets (otherwise FAIGLIB_DATA, cache)")
    parser.add_argument("--models-dir", type=expanded, help="folder with the trained weights (otherwise models/)")
    parser.add_argument("--offline", action="store_true", help="download no images")
    parser.add_argument("--no-execute", action="store_true", help="build from notebooks as last executed")
    parser.add_argument("--record", action="store_true", help="make this run the recorded one, in results/")
    parser.add_argument("--root", type=Path, default=PROJECT, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.profile not in PROFILES:
        raise BookError(f"there is no profile '{given.profile}'; choose one of {', '.join(PROFILES)}")
    must_exist = [variable for variable, needed in environment.FOLDERS.items() if needed]
    for option, folder in (
        ("--data-dir", given.data_dir),
        *((variable, environment.folder(variable)) for variable in must_exist),
        ("--models-dir", given.models_dir),
    ):
        if folder and not folder.is_dir():
            raise BookError(f"{option} {folder} is not a folder")
    layout = Layout(given.root.resolve())
    return Options(
        layout=layout,
        profile=given.profile,
        only=choose(layout, given.only),
        device=given.device,
        seed=given.seed,
        data_dir=given.data_dir and given.data_dir.resolve(),
        models_dir=given.models_dir and given.models_dir.resolve(),
        offline=given.offline,
        no_execute=given.no_execute,
        record=given.record,
    )


def choose(layout: Layout, wanted: Sequence[str]) -> tuple[str, ...]:
    """The notebooks that ``--only`` names: by number (``03``, ``3``), name, or file name.

    Raises:
        BookError: If there is no such notebook.
    """
    names = layout.notebooks()
    chosen = []
    for word in wanted:
        stem = Path(word).stem
        found = [name for name in names if name == stem or name.split("_")[0] == stem.zfill(2)]
        if not found:
            raise BookError(f"there is no notebook '{word}' in the book; it has {', '.join(names)}")
        chosen += found
    return tuple(chosen)


def run(options: Options, sets: data.Sets) -> None:
    """Executes what is out of date and builds the book; prints a line for every step.

    Raises:
        BookError: If a notebook fails or the book cannot be built.
    """
    from faiglib.companion.profiles import PROFILES

    start = time.monotonic()
    layout = options.layout
    if options.no_execute:
        strict = True
    else:
        print(f"profile {options.profile}, device {options.device}, seed {options.seed}", flush=True)
        profile = PROFILES[options.profile]
        found = data.prepare((*profile.image_sets, *profile.other_sets), sets, offline=options.offline)
        strict = _execute_stale(options, found)
    if options.record:
        chapters = options.only or layout.notebooks()
        kept = drift.keep(layout, options.profile, chapters, complete=strict and not options.only)
        print(f"record: {kept}", flush=True)
    without_results = stage.stage(layout)
    for name in without_results:
        print(f"{name}: has never been executed here, its page says so", flush=True)
    strict = strict and not without_results
    print("book: building" + ("" if strict else ", with warnings allowed") + " … ", end="", flush=True)
    built = time.monotonic()
    html.build(layout, strict=strict)
    crate.write_book(layout)
    print(crew.duration(time.monotonic() - built), flush=True)
    print(drift.report(layout), flush=True)
    print(f"total: {crew.duration(time.monotonic() - start)}")
    print(f"The book is ready: {(layout.html / 'index.html').as_uri()}", flush=True)


def _execute_stale(options: Options, found: data.Digests) -> bool:
    """Executes the notebooks that need it; returns whether all of the book's notebooks are now up to date."""
    layout = options.layout
    names = layout.notebooks()
    models = options.models_dir or layout.root / "models"
    shared = staleness.shared_ingredients(layout, options.parameters(), models, found)
    made_of = {name: staleness.with_notebook(shared, layout.notebook(name)) for name in names}
    made_with = colophon.made_with(options.device, found, models)
    jobs = []
    up_to_date = True
    for number, name in enumerate(names, start=1):
        step = f"[{number}/{len(names)}] {name}:"
        reason = staleness.reason_to_execute(layout, name, made_of[name])
        if reason is None:
            print(step, "up to date", flush=True)
            execute.forget_failure(layout, name)
        elif options.only and name not in options.only:
            print(step, f"left as it is ({reason})", flush=True)
            up_to_date = False
        else:
            jobs.append(crew.Job(name, step, reason))

    team = crew.Crew(layout, options.parameters(), crew.workers(len(jobs), options.device))
    if team.threads:
        made_with["torch_threads"] = team.threads

    costs = []

    def remember(job: crew.Job, cost: staleness.Cost, generated: Path) -> None:
        costs.append(cost)
        tables = staleness.take_tables(layout, options.profile, generated)
        staleness.remember(layout, job.name, made_of[job.name], cost, made_with, options.profile, tables)

    with kernel.of_this_python(layout.build / "jupyter"):
        known = drift.costs(layout, options.profile)
        jobs.sort(key=lambda job: -known[job.name]["seconds"] if job.name in known else -math.inf)
        team.execute(jobs, remember)
    if costs:
        print(f"attribution: {crew.attributed(costs)} in all", flush=True)
    return up_to_date


def _fail(message: str) -> int:
    print(f"\nreproduce: {message}", file=sys.stderr)
    return 1
