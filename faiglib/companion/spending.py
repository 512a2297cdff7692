"""What a notebook spends on attribution: counted in its kernel, told to whoever executes it."""

from __future__ import annotations

import dataclasses
import json
import sys

from faiglib.companion.places import Places
from faiglib.errors import StoreError
from faiglib.system.documents import DocumentError, read_json
from faiglib.system.files import write_text_atomic
from faiglib.system.spent import Spent, spent


def note(places: Places) -> None:
    """Write what this process has spent so far."""
    write_text_atomic(places.spent, json.dumps(dataclasses.asdict(spent())))


def note_after_cells(places: Places) -> None:
    """In a notebook, :func:`note` after every cell from now on."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:
        shell.events.register("post_run_cell", lambda _result: note(places))


def read(places: Places) -> Spent:
    """What was noted last; nothing where no notebook has opened a workbench.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        return read_json(places.spent, Spent)
    except FileNotFoundError:
        return Spent()
    except (OSError, DocumentError) as error:
        raise StoreError(f"{places.spent} cannot be read: {error}") from None
