"""Executes one notebook for the driver, in a process of its own: ``python -m bookmaker.worker``.

One line of JSON on the standard input says which. Every line of the standard output is JSON, too: how many cells are
done, and at the end what came of it. When the driver dies, the standard input ends, and so does this process.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
from pathlib import Path

from bookmaker import execute
from bookmaker.errors import BookError, os_error_sentence
from bookmaker.layout import Layout
from faiglib.companion import spending
from faiglib.companion.places import Places
from faiglib.errors import FaiglibError
from faiglib.system import interruption


def main() -> int:
    """Executes the notebook; returns the exit status."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    return interruption.ended_by_signals(lambda: _execute(Layout(Path(asked["root"])), **asked["notebook"]))


def _execute(layout: Layout, name: str, parameters: dict[str, object]) -> int:
    try:
        execute.execute(layout, name, parameters, lambda done, cells: _say(done=done, cells=cells))
    except (BookError, FaiglibError) as error:
        _say(failed=str(error))
        return 1
    except OSError as error:
        _say(failed=os_error_sentence(error))
        return 1
    _say(memory_gib=_memory_gib(), **dataclasses.asdict(spending.read(Places.of_environment())))
    return 0


def _memory_gib() -> float | None:
    """The most memory that the kernel held, or None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 2**10
    return round(unit * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**30, 2)


def _say(**message: object) -> None:
    print(json.dumps(message), flush=True)


def _end_with_the_driver() -> None:
    sys.stdin.read()
    os._exit(1)  # its kernel notices that, and ends, too


if __name__ == "__main__":
    sys.exit(main())
