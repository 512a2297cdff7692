"""What ends a run with one sentence instead of a traceback."""

from __future__ import annotations

import re

ANSI = re.compile(r"\x1b\[[0-9;]*m")
"""The colours that programs print."""


class BookError(Exception):
    """The book cannot be made; the message is what the user reads."""


def os_error_sentence(error: OSError) -> str:
    """One sentence for a file operation that failed, such as a full disk."""
    return f"{error.filename or 'a file'} could not be read or written: {error.strerror or error}"
