"""Executes several notebooks side by side, each by a process of :mod:`bookmaker.worker`."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bookmaker.errors import BookError
from bookmaker.layout import Layout
from bookmaker.staleness import Cost
from faiglib.companion.page.words import counted
from faiglib.system import environment, provenance

GIB_EACH = 4  # of memory that a notebook of the profile standard may need, with some to spare


@dataclass(frozen=True)
class Job:
    """A notebook to execute.

    Attributes:
        name: Without suffix.
        step: What a line about it begins with.
        reason: Why it is executed.
    """

    name: str
    step: str
    reason: str


def workers(notebooks: int, device: str) -> int:
    """How many notebooks run at a time: one for each core, as far as the memory goes; one on a GPU."""
    from faiglib.system.devices import choose_device

    if choose_device(device).type != "cpu":
        return 1
    room = int(provenance.ram_gib() or GIB_EACH) // GIB_EACH
    return max(1, min(notebooks, provenance.cores() or 1, room))


@dataclass
class Crew:
    """The processes of one run.

    Attributes:
        layout: The project.
        parameters: The values for the parameters cell of every notebook.
        size: How many notebooks run at a time.
    """

    layout: Layout
    parameters: Mapping[str, Any]
    size: int
    _running: set[subprocess.Popen[str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def execute(self, jobs: Sequence[Job], remember: Callable[[Job, Cost, Path], None]) -> None:
        """Executes notebooks, first come first served.

        Args:
            jobs: In the order in which they start.
            remember: Called with each one that is done, what it cost, and the folder of everything that it generated
                (:class:`faiglib.companion.places.Places`), one call at a time.

        Raises:
            BookError: If one fails. The others that run are stopped, and are not remembered.
        """
        slots = list(range(self.size))
        with ThreadPoolExecutor(max(self.size, 1)) as pool:
            waiting = {pool.submit(self._one, job, slots): job for job in jobs}
            try:
                for finished in as_completed(waiting):
                    remember(waiting[finished], *finished.result())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                self._stop()

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()

    def _one(self, job: Job, slots: list[int]) -> tuple[Cost, Path]:
        own = self.layout.build / "running" / job.name
        shutil.rmtree(own, ignore_errors=True)
        start = time.monotonic()
        with self._lock:
            if self._stopped:
                raise BookError("stopped")
            process = subprocess.Popen(
                [sys.executable, "-m", "bookmaker.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment(own),
                text=True,
                start_new_session=True,  # Ctrl-C is for the driver, which ends its workers itself
            )
            self._running.add(process)
            slot = slots.pop(0)
            say(f"{job.step} executing ({job.reason})")
        try:
            last = self._follow(process, job, slot)
        finally:
            with self._lock:
                self._running.discard(process)
                slots.append(slot)
        seconds = time.monotonic() - start
        if "memory_gib" not in last:
            if not self._stopped:
                say(f"{job.step} FAILED after {duration(seconds)}")
            raise BookError(
                last.get("failed") or f"the process that executed {job.name} ended with {process.returncode}"
            )
        finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        cost = Cost(seconds, **last, finished=finished)
        say(f"{job.step} done, {duration(seconds)}, {attributed([cost])}")
        return cost, own

    def _follow(self, process: subprocess.Popen[str], job: Job, slot: int) -> dict[str, Any]:
        """Shows how far a notebook is; returns the last thing that its process says."""
        assert process.stdin
        assert process.stdout
        message: dict[str, Any] = {}
        off = not sys.stderr.isatty()
        with (
            process,
            tqdm(desc=job.name, unit="cell", position=slot, leave=False, total=0, disable=off) as bar,
        ):
            asked = {"root": str(self.layout.root), "notebook": {"name": job.name, "parameters": dict(self.parameters)}}
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                message = json.loads(line)
                if "cells" in message:
                    bar.total = message["cells"]
                    bar.update(message["done"] - bar.n)
            process.stdin.close()
        return message

    def _environment(self, own: Path) -> dict[str, str]:
        """Variables of a worker: its own folder for tables, the store of all, and its share of the cores."""
        tools = str(Path(__file__).resolve().parents[1])
        store = environment.folder("FAIGLIB_STORE") or self.layout.build / "store"
        variables = {
            **os.environ,
            "FAIGLIB_BUILD": str(own),
            "FAIGLIB_STORE": str(store),
            "PYTHONPATH": os.pathsep.join(filter(None, [tools, os.environ.get("PYTHONPATH")])),
        }
        if self.threads:
            variables["OMP_NUM_THREADS"] = str(self.threads)
        return variables

    @property
    def threads(self) -> int | None:
        """Threads of a worker that shares the cores with others; None where the user or PyTorch chooses."""
        if self.size < 2 or "OMP_NUM_THREADS" in os.environ:
            return None
        return max(1, (provenance.cores() or 1) // self.size)


def say(line: str) -> None:
    """Prints a line above the progress bars."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()


def attributed(costs: Collection[Cost]) -> str:
    """What attribution took, in words: ``1,200 gradients (1.2 megapixels)``."""
    gradients, pixels = sum(cost.gradients for cost in costs), sum(cost.pixels for cost in costs)
    return f"{counted(gradients, 'gradient')} ({pixels / 1e6:.1f} megapixels)" if gradients else "no gradients"


def duration(seconds: float) -> str:
    """A time in words: ``8.1 s``, ``3 min 05 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
