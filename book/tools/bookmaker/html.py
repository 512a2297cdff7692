"""Builds the HTML from the staged source, and checks that it is all there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bookmaker.errors import ANSI, BookError
from bookmaker.finish import finishing
from bookmaker.layout import Layout
from faiglib.system import provenance

SHOWN_LINES = 40
JUPYTER_BOOK = "import bookmaker; from jupyter_book.cli.main import main; main()"  # it cannot be run with -m


def build(layout: Layout, *, strict: bool) -> None:
    """Builds ``build/source`` into ``build/html``, which stays as it is if that fails.

    Args:
        layout: The project.
        strict: Whether every warning is an error.

    Raises:
        BookError: If the build fails or a page is missing; the message holds the end of what Sphinx said.
    """
    old = layout.build / "html.old"
    if old.exists() and not layout.html.exists():  # an earlier run was killed when it exchanged the two
        os.replace(old, layout.html)
    built = run_sphinx(layout, "html", strict=strict)
    check_pages(built, layout.pages())
    finishing.finish(built, provenance.cores() or 1)
    shutil.rmtree(old, ignore_errors=True)
    if layout.html.exists():
        os.replace(layout.html, old)
    os.replace(built, layout.html)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(work_folder(layout), ignore_errors=True)


def work_folder(layout: Layout) -> Path:
    """Where a build goes on before it takes the place of the last one."""
    return layout.build / "jupyter-book"


def run_sphinx(layout: Layout, builder: str, *, strict: bool) -> Path:
    """Builds ``build/source`` by one of Jupyter Book's builders and returns the folder of the result.

    Args:
        layout: The project.
        builder: ``html`` or ``singlehtml``.
        strict: Whether every warning is an error.

    Raises:
        BookError: If the build fails; the message holds the end of what Sphinx said.
    """
    work = work_folder(layout)
    log = layout.build / "logs" / f"{builder}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work, ignore_errors=True)
    command = [
        sys.executable,
        "-c",
        JUPYTER_BOOK,
        "build",
        str(layout.source),
        "--path-output",
        str(work),
        "--all",
        "--builder",
        builder,
    ]
    command += ["--config", str(layout.source / "_config.yml"), "--keep-going"]
    command += ["-n", "-W"] if strict else []
    environment = {**os.environ, "PYTHONPATH": _python_path(), "NO_COLOR": "1", "MPLBACKEND": "agg"}
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command, cwd=layout.root, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise BookError(f"the book could not be built; {log} holds everything, it says:\n\n{complaints(log)}")
    return work / "_build" / builder


def _python_path() -> str:
    """Lets Sphinx import the extension :mod:`.docstrings`."""
    here = str(Path(__file__).resolve().parents[1])
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))


def complaints(log: Path) -> str:
    """The warnings and errors in a log, or its end if it has none."""
    lines = ANSI.sub("", log.read_text(encoding="utf-8", errors="replace")).splitlines()
    wanted = [line for line in lines if "WARNING" in line or "ERROR" in line or "rror:" in line] or lines
    return "\n".join(f"    {line}" for line in wanted[-SHOWN_LINES:])


def check_pages(html: Path, pages: list[str]) -> None:
    """Checks that ``index.html`` and every page of the table of contents exist and are not empty.

    Raises:
        BookError: If one is missing or empty.
    """
    for page in ["index", *pages]:
        path = html / f"{page}.html"
        if not path.is_file() or path.stat().st_size == 0:
            raise BookError(f"the book was built, but its page {path} is missing or empty")
