"""What made a result: versions, source code, machine, and whatever the caller adds."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faiglib._version import __version__

_PACKAGE = Path(__file__).resolve().parents[1]
#: By place and name: the shell, what words or shows results, and what pages share. All else may decide what is stored.
_NOT_COMPUTING = re.compile(r"command/|companion/page/|(.*/)?(report|show|words|captions)\.py$")


def collect(device: str | torch.device | None = None, **extra: Any) -> dict[str, Any]:
    """Describe how a result comes about, without the user's name, the host's name or a path.

    Args:
        device: Device of the computation; by default only the presence of a GPU is recorded.
        **extra: Further entries, such as seeds, budgets and hashes of weights and images.

    Returns:
        A dictionary that can be written as JSON. Entries that cannot be found out are None: ``commit`` and
        ``dirty`` outside a git checkout of faiglib, ``gpu`` without one.

    Raises:
        TypeError: An entry of ``extra`` cannot be written as JSON.
    """
    json.dumps(extra)
    commit, dirty = _git_state()
    return {
        "faiglib": __version__,
        "commit": commit,
        "dirty": dirty,
        "sources": source_digest(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": cores(),
        "ram_gib": ram_gib(),
        "device": None if device is None else str(device),
        "gpu": _gpu_name(device),
        "torch_threads": torch.get_num_threads(),
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        **extra,
    }


def in_words(made: Mapping[str, Any], digits: int = 8) -> str:
    """With what something was made, for a sentence: version, commit, PyTorch and machine.

    Args:
        made: from :func:`collect`.
        digits: of the commit.
    """
    changes = " with changes" if made["dirty"] else ""
    commit = f", commit {made['commit'][:digits]}{changes}" if made["commit"] else ""
    return f"faiglib {made['faiglib']}{commit}, PyTorch {made['torch']}, {made['gpu'] or made['cpu']}"


@cache
def source_digest() -> str:
    """SHA-256 over the sources that compute: not the command line, nor reports, figures and pages.

    It is taken once per process, so an edit counts from the next start of Python.
    """
    lines = []
    for path in sorted(_PACKAGE.rglob("*.py")):
        name = path.relative_to(_PACKAGE).as_posix()
        if not _NOT_COMPUTING.match(name):
            content = path.read_bytes().replace(b"\r\n", b"\n")
            lines.append(f"{name} {hashlib.sha256(content).hexdigest()}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@cache
def _git_state() -> tuple[str | None, bool | None]:
    """Commit of the checkout that faiglib lies in, and whether files differ from it.

    As the digest of the sources, taken once per process: what is committed later is not the code that runs.
    """
    top = git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != _PACKAGE.parent:
        return None, None
    commit = git("rev-parse", "--verify", "HEAD")
    changes = git("status", "--porcelain")
    return commit, None if changes is None else bool(changes)


def git(*arguments: str, folder: Path | None = None) -> str | None:
    """Output of a git command run in a folder, or None where that fails: no git, no repository, not trusted, too slow.

    Args:
        *arguments: of git.
        folder: by default where faiglib lies.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder or _PACKAGE,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            text=True,
            timeout=20,
        ).stdout.strip()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


@cache
def _cpu_model() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or None


def cores() -> int | None:
    """How many cores this process may use, or None where that is not known."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def ram_gib() -> float | None:
    """Memory of the machine in GiB, or None where that is not known."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _gpu_name(device: str | torch.device | None) -> str | None:
    kind = None if device is None else torch.device(device).type
    if kind in (None, "cuda") and torch.cuda.is_available():
        return torch.cuda.get_device_name(None if device is None else torch.device(device))
    return "Apple GPU" if kind == "mps" else None
