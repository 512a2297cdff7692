"""Many files of one commit from one archive, which asks a server once instead of for every file."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from faiglib.errors import DatasetError
from faiglib.images import downloads
from faiglib.images.origins import Asked
from faiglib.images.registry import RegisteredFile
from faiglib.system.files import atomic_write

#: Files that have to be missing for an archive, which holds whatever else is in the repository.
MANY = 50
#: Bytes after which an archive is given up, as sent and unpacked; the registered ones are far smaller.
LONGEST = 2**30


def bring(files: Sequence[RegisteredFile], folder: Path, server: Asked, brought: Callable[[], object]) -> str | None:
    """Fetch the files of every commit of which many are wanted, from the archives of a server that offers them.

    Args:
        files: that are missing.
        folder: that they go to.
        server: that is asked.
        brought: called for every file that has come.

    Returns:
        Why an archive did not give all that was wanted of it, in a sentence; None where none was needed or all came.

    Raises:
        StoreError: a file cannot be written.
    """
    address = server.origin.bundle
    if address is None:
        return None
    for (repository, _), wanted in _by_commit(files).items():
        if len(wanted) < MANY:
            continue
        url = address(next(iter(wanted.values())))
        try:
            _unpack(url, server, wanted, folder, brought)
        except DatasetError as error:
            return str(error)
        if wanted:
            return f"the archive {url} has not all files of {repository}: {len(wanted)} missing"
    return None


def _by_commit(files: Sequence[RegisteredFile]) -> Mapping[tuple[str, str], dict[str, RegisteredFile]]:
    """Files by repository and commit, and by their place in it."""
    commits: dict[tuple[str, str], dict[str, RegisteredFile]] = {}
    for file in files:
        commits.setdefault((file.repository, file.commit), {})[file.path_in_repository] = file
    return commits


def _unpack(
    url: str, server: Asked, wanted: dict[str, RegisteredFile], folder: Path, brought: Callable[[], object]
) -> None:
    """Take files from an archive as it comes in, and from ``wanted`` those that came with the registered content."""
    import requests

    def transfer() -> None:
        with requests.get(url, stream=True, timeout=downloads.TIMEOUT_SECONDS) as answer:
            answer.raise_for_status()
            incoming = io.BufferedReader(_Incoming(answer.iter_content(1 << 16)))
            with tarfile.open(fileobj=incoming, mode="r|gz") as archive:
                for name, content in _members(archive, wanted):
                    file = wanted[name]
                    if hashlib.sha256(content).hexdigest() == file.sha256:
                        with atomic_write(folder / file.path) as place:
                            place.write(content)
                        del wanted[name]
                        brought()
                    if not wanted:
                        return

    try:
        downloads.patiently(url, server.pace, transfer)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DatasetError(f"{url} could not be fetched: it is no sound archive") from error
    except OSError as error:  # requests' errors are OSErrors, and so is gzip's
        raise DatasetError(f"{url} could not be fetched: {downloads.reason(error)}") from error


def _members(archive: tarfile.TarFile, wanted: Mapping[str, RegisteredFile]) -> Iterator[tuple[str, bytes]]:
    """Place in the repository and content of the wanted files with the registered size, in the archive's order."""
    unpacked = 0
    for member in archive:
        unpacked += member.size
        if unpacked > LONGEST:
            return
        name = member.name.partition("/")[2]
        if member.isfile() and name in wanted and member.size == wanted[name].bytes:
            content = archive.extractfile(member)
            if content is not None:
                yield name, content.read()


class _Incoming(io.RawIOBase):
    """What comes in, as a file that ends after :data:`LONGEST` bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks, self._rest, self._left = chunks, b"", LONGEST

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._rest = self._rest or next(self._chunks, b"")
        part = self._rest[: min(len(buffer), self._left)]
        buffer[: len(part)] = part
        self._rest, self._left = self._rest[len(part) :], self._left - len(part)
        return len(part)
