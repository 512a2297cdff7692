"""Jupyter kernels of the running Python, whatever kernels a machine has installed."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from faiglib.system.files import write_text_atomic

KERNEL = "python3"

# Whatever reads notebooks loads jsonschema, which builds a grammar of addresses with letters of all the world for
# seconds where this package is there. No notebook has one.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

#: For glibc, which otherwise gives the memory of every large tensor back to the system and takes it anew for the next
#: one, a tenth of the time of a gradient. Other C libraries do not know these.
KEEP_FREED_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_MMAP_THRESHOLD_": "4000000000"}


@contextlib.contextmanager
def of_this_python(folder: Path) -> Iterator[None]:
    """Make ``python3`` the kernel of the running Python while the block lasts.

    Args:
        folder: for the description of the kernel.
    """
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=50"],
        "display_name": "Python 3",
        "language": "python",
        "env": KEEP_FREED_MEMORY,
    }
    write_text_atomic(folder / "kernels" / KERNEL / "kernel.json", json.dumps(spec))
    # JUPYTER_PATH is searched before anything else; figures go inline even where the shell sets MPLBACKEND.
    wanted = {"JUPYTER_PATH": str(folder), "MPLBACKEND": None, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    with environment(wanted):
        yield


@contextlib.contextmanager
def environment(wanted: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables, and remove those that are None, while the block lasts."""
    before = {name: os.environ.get(name) for name in wanted}
    _set_environment(wanted)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
