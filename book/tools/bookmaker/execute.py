"""Executes one text notebook with papermill, and says what failed where."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bookmaker import staleness
from bookmaker.errors import ANSI, BookError
from bookmaker.layout import Layout
from faiglib.companion.kernel import KERNEL
from faiglib.system.files import write_text_atomic

TRACEBACK_LINES = 25
#: How often a notebook's process is started at most: the ports that it is given are free when they are looked for, and
#: may be another one's when it takes them, above all where several start side by side.
STARTS = 4
#: Seconds that it is given to answer; a busy machine takes more than the minute that is usual.
PATIENCE = 300


def read_notebook(path: Path) -> Any:
    """A text notebook as a notebook node that names its kernel.

    Raises:
        BookError: If there is no cell tagged ``parameters``.
    """
    import jupytext

    notebook = jupytext.read(path, fmt="py:percent")
    notebook.metadata["kernelspec"] = {"name": KERNEL, "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python"}
    if not any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells):
        raise BookError(f'{path} has no cell tagged "parameters"')
    return notebook


def write_notebook(path: Path, notebook: Any) -> None:
    """Writes a notebook node, whole or not at all.

    Raises:
        StoreError: The file cannot be written.
    """
    import nbformat

    write_text_atomic(path, nbformat.writes(notebook))


def execute(
    layout: Layout, name: str, parameters: Mapping[str, Any], report: Callable[[int, int], object] | None = None
) -> None:
    """Executes a notebook into ``build/notebooks/NAME.ipynb``.

    A notebook that fails is kept, as far as it came, as ``NAME.failed.ipynb``; an earlier result stays.

    Args:
        layout: The project.
        name: The notebook, without suffix.
        parameters: The values for its cell tagged ``parameters``.
        report: Told after every cell how many are done, and how many there are.

    Raises:
        BookError: If a cell fails; the message says which, and holds the exception and a short traceback. Or the
            notebook cannot be written.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    text, failed = layout.notebook(name), failed_path(layout, name)
    final = layout.executed / f"{name}.ipynb"
    given = layout.executed / f".{name}.given.ipynb"
    partial = layout.executed / f".{name}.partial.ipynb"
    layout.executed.mkdir(parents=True, exist_ok=True)
    forget_failure(layout, name)
    notebook = read_notebook(text)
    write_notebook(given, notebook)
    cells = len(notebook.cells) + 1  # papermill adds the one with the parameters
    try:
        _started(
            lambda: papermill.execute_notebook(
                _literal(given),
                _literal(partial),
                parameters=dict(parameters),
                cwd=str(text.parent),
                progress_bar=False,
                start_timeout=PATIENCE,
                on_cell_complete=lambda cell, cell_index: report(cell_index + 1, cells) if report else None,
            )
        )
    except papermill.PapermillExecutionError as error:
        os.replace(partial, failed)
        raise BookError(failure(text, failed, error)) from None
    except DeadKernelError:
        os.replace(partial, failed)
        raise BookError(
            f"notebooks/{name}.py: its Python process died, most often because the memory ran out; "
            f"{failed} shows how far it came"
        ) from None
    except _NotStarted as error:
        partial.unlink(missing_ok=True)
        raise BookError(f"notebooks/{name}.py: its Python process {error}") from None
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BookError(f"{final} could not be written: {error.strerror or error}") from None
    finally:
        given.unlink(missing_ok=True)
    staleness.forget(layout, name)
    os.replace(partial, final)


class _NotStarted(Exception):
    """The process of a notebook ended before it began, however often it was started, or never answered."""


def _started(run: Callable[[], object]) -> None:
    """Run a notebook, once more where its process ended before the first cell."""
    for _ in range(STARTS):
        try:
            run()
        except RuntimeError as error:  # as nbclient hands on from jupyter_client
            if "Kernel didn't respond" in str(error):
                raise _NotStarted(f"did not answer within {PATIENCE} seconds") from None
            if "before replying to kernel_info" not in str(error):
                raise
        else:
            return
    raise _NotStarted(f"ended {STARTS} times before it began")


def _literal(path: Path) -> str:
    """A path for papermill, which takes braces in it for places to be filled."""
    return str(path).replace("{", "{{").replace("}", "}}")


def failed_path(layout: Layout, name: str) -> Path:
    """Where a notebook is kept that failed."""
    return layout.executed / f"{name}.failed.ipynb"


def forget_failure(layout: Layout, name: str) -> None:
    """Removes what an earlier failure of a notebook left."""
    failed_path(layout, name).unlink(missing_ok=True)


def failure(text: Path, failed: Path, error: Any) -> str:
    """What a user needs to know about a failed cell."""
    lines = [line for line in error.source.splitlines() if line.strip()]
    first = lines[0].strip() if lines else "(empty cell)"
    where = f"notebooks/{text.name}, cell [{error.exec_count}]"
    line = _line_of(text, error.source)
    if line:
        where += f" at line {line}"
    trace = ANSI.sub("", "\n".join(error.traceback)).rstrip().splitlines()
    if len(trace) > TRACEBACK_LINES:
        trace = ["…", *trace[-TRACEBACK_LINES:]]
    shown = "\n".join(f"    {entry}" for entry in trace)
    message = ANSI.sub("", str(error.evalue)).strip()
    return f"{where} failed.\n  {first}\n  {error.ename}: {message}\n\n{shown}\n\n  As far as it came: {failed}"


def _line_of(text: Path, source: str) -> int | None:
    start = text.read_text(encoding="utf-8").find(source)
    return None if start < 0 or not source else text.read_text(encoding="utf-8").count("\n", 0, start) + 1
