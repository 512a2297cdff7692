"""One file, brought here and checked."""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from faiglib.errors import DatasetError
from faiglib.images.origins import Asked
from faiglib.images.pace import Pace, seconds_asked_for
from faiglib.images.registry import PinnedFile

if TYPE_CHECKING:
    import pooch

RETRIES = 2
TIMEOUT_SECONDS = (5.0, 30.0)
"""Longest wait for a connection, and for the next bytes on it."""

PRIVATE = 0o600
"""Permissions of temporary files, which others who share a cache could not read."""

_FINAL_STATUS = frozenset(range(400, 500)) - {408, 429}
"""Answers that asking again would not change."""

_BUSY_STATUS = frozenset({429, 503})
"""Answers that may say when to ask again."""


def download(source: pooch.Pooch, file: PinnedFile, servers: Sequence[Asked], mode: int) -> None:
    """Fetch one file into the folder of ``source`` unless it is there already, from the first server that gives it.

    Args:
        source: of the folder, with the file's hash.
        file: which.
        servers: in the order in which they are asked; one that did not answer at all is not asked again but last.
        mode: permissions of the file.

    Raises:
        DatasetError: no server gives it, and what each of them said.
    """
    failures: list[DatasetError] = []
    for server in servers:
        if server.lost and server is not servers[-1]:
            continue
        try:
            return _from(source, file, server, mode)
        except DatasetError as error:
            failures.append(error)
    raise DatasetError("; ".join(map(str, failures))) from failures[-1]


def _from(source: pooch.Pooch, file: PinnedFile, server: Asked, mode: int) -> None:
    import requests

    url = server.origin.of(file)

    def bring(_url: str, output_file: str, _source: pooch.Pooch) -> None:
        patiently(url, server.pace, lambda: _transfer(url, Path(output_file), file.bytes))

    try:
        fetched = Path(source.fetch(file.path, downloader=bring))
        if stat.S_IMODE(fetched.stat().st_mode) == PRIVATE:
            fetched.chmod(mode)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong hash is a ValueError
        server.lost = server.lost or isinstance(error, requests.ConnectionError | requests.Timeout)
        raise DatasetError(f"{url} could not be fetched: {reason(error)}") from error


def patiently(url: str, pace: Pace, transfer: Callable[[], None]) -> None:
    """Ask a server, and again when it names the time.

    Args:
        url: what is asked for.
        pace: of the server.
        transfer: asks, and raises what ``requests`` does.

    Raises:
        DatasetError: asking again would change nothing, or the server asks for a longer pause than it is granted.
        requests.RequestException: there is no answer, or another one.
    """
    import requests

    for attempt in range(RETRIES + 1):
        pace.wait()
        try:
            return transfer()
        except requests.HTTPError as error:
            if error.response is None:
                raise
            status, asked = error.response.status_code, error.response.headers.get("Retry-After")
            asked_often = status in _BUSY_STATUS and asked is not None and attempt == RETRIES
            if status in _FINAL_STATUS or asked_often:
                raise DatasetError(f"{url} could not be fetched: {reason(error)}") from error
            if status not in _BUSY_STATUS or asked is None:
                raise  # and let pooch try again in its own way
            pace.slow_down(seconds_asked_for(asked), url)


def _transfer(url: str, path: Path, size: int) -> None:
    """Write what a server answers into a file, and stop as soon as it is longer than what is registered.

    Raises:
        requests.RequestException: there is no answer, or another one.
        DatasetError: the answer is compressed, which nobody asked for, or longer than the file.
    """
    import requests

    headers = {"Accept-Encoding": "identity"}
    with requests.get(url, stream=True, timeout=TIMEOUT_SECONDS, headers=headers) as answer, path.open("wb") as file:
        answer.raise_for_status()
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise DatasetError(f"{url} could not be fetched: the server sends it compressed, which was not asked for")
        left = size
        for chunk in answer.iter_content(1 << 16):
            left -= len(chunk)
            if left < 0:
                raise DatasetError(f"{url} could not be fetched: it is longer than the {size:,} bytes registered")
            file.write(chunk)


def reason(error: Exception) -> str:
    """Why a transfer failed, in a few words."""
    import requests

    match error:
        case requests.HTTPError() if error.response is not None:
            return f"the server answered {error.response.status_code} {error.response.reason}"
        case requests.Timeout():
            return f"no answer within {TIMEOUT_SECONDS[0]:g} s to connect or {TIMEOUT_SECONDS[1]:g} s to read"
        case requests.exceptions.ChunkedEncodingError():
            return "the transfer broke off"
        case requests.ConnectionError():
            return "the server cannot be reached or stopped answering"
        case requests.exceptions.InvalidURL() | requests.exceptions.InvalidSchema():
            return "the address is not valid"
        case requests.exceptions.MissingSchema():
            return "the address does not start with https://"
        case requests.RequestException():
            return str(error)
        case OSError():
            return f"{error.filename or 'the folder'} cannot be written ({error.strerror or error})"
    return "its content does not have the registered SHA-256"
