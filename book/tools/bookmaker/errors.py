"""What ends a run with one sentence instead of a traceback."""

from __future__ import annotations

import re
import shutil

ANSI = re.compile(r"\x1b\[[0-9;]*m")
"""The colours that programs print."""

SYSTEM_ERROR = re.compile(r"^\[Errno \d+\] ([^:]+)")
"""What the system said, inside the text of an OSError."""


class BookError(Exception):
    """The book cannot be made; the message is what the user reads."""


def os_error_sentence(error: OSError) -> str:
    """One sentence for a file operation that failed, such as a full disk."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):  # of shutil.copytree
        _, destination, reason = error.args[0][0]
        said = SYSTEM_ERROR.match(str(reason))
        return f"{destination} could not be read or written: {said[1] if said else reason}"
    return f"{error.filename or 'a file'} could not be read or written: {error.strerror or error}"
