"""Files that are either there in full or not there at all."""

from __future__ import annotations

import csv
import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from faiglib.errors import StoreError

#: Seconds between attempts to rename a file.
PAUSES = (0.01, 0.03, 0.1, 0.3)


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: Literal["wb", "w"] = "wb") -> Iterator[IO[Any]]:
    """Write a file under a temporary name beside ``path`` and rename it when the block ends without an error.

    Folders that do not exist yet are created. When the block raises, the temporary file is removed and an
    earlier file at ``path`` stays as it was.

    Args:
        path: The final name of the file.
        mode: ``"wb"`` for bytes, ``"w"`` for text in UTF-8 whose line ends are written as they are.

    Yields:
        The open temporary file.

    Raises:
        StoreError: The file cannot be written (folder not writable, disk full, ...).
    """
    path = Path(path)
    start = os.fsencode(path.name)[:64].decode("utf-8", "ignore")  # names have a limit in bytes
    temporary = path.with_name(f".{start}.{secrets.token_hex(8)}.tmp")
    text: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""} if mode == "w" else {}
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, mode, **text) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error


def _replace(temporary: Path, path: Path) -> None:
    """Rename, again and again for a moment where it is denied: on Windows a virus scanner holds new files open."""
    for pause in (*PAUSES, None):
        try:
            return os.replace(temporary, path)
        except PermissionError:
            if pause is None:
                raise
            time.sleep(pause)


def _sync_folder(folder: Path) -> None:
    """Let a rename survive a power cut, where the system can do that for a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8 with :func:`atomic_write`.

    Raises:
        StoreError: The file cannot be written.
    """
    with atomic_write(path, "w") as file:
        file.write(text)


def write_rows_atomic(path: str | os.PathLike[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write a CSV file with :func:`atomic_write`; its columns are those of all rows, in the order of their appearance.

    Raises:
        StoreError: The file cannot be written.
    """
    with atomic_write(path, "w") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def usual_mode() -> int:
    """The permissions that new files get from this process: all but what its umask takes away."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with ``~`` replaced by the home folder.

    Raises:
        StoreError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise StoreError(f"the home folder that {os.fspath(path)} begins with is not known; write it out") from None


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the content of a file, as 64 hexadecimal digits.

    Raises:
        StoreError: The file is missing or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
