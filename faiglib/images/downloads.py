"""Files that are pinned by address, size and SHA-256, brought here and checked."""

from __future__ import annotations

import logging
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faiglib.errors import DatasetError
from faiglib.images.pace import Pace, seconds_asked_for
from faiglib.system.files import usual_mode

if TYPE_CHECKING:
    import pooch

DOWNLOADS_AT_A_TIME = 4

RETRIES = 2
TIMEOUT_SECONDS = (5.0, 30.0)
"""Longest wait for a connection, and for the next bytes on it."""

PRIVATE = 0o600
"""Permissions of temporary files, which others who share a cache could not read."""

_FINAL_STATUS = frozenset(range(400, 500)) - {408, 429}
"""Answers that asking again would not change."""

_BUSY_STATUS = frozenset({429, 503})
"""Answers that may say when to ask again."""


@dataclass(frozen=True)
class Download:
    """A file to be brought here.

    Attributes:
        path: Place below the folder of downloads, with forward slashes.
        url: Address.
        sha256: Hash of the content, 64 hexadecimal digits.
        bytes: Size of the content.
    """

    path: str
    url: str
    sha256: str
    bytes: int


def fetch_all(title: str, files: Sequence[Download], folder: Path, progress: bool = True) -> None:
    """Download what is missing of some files, several at a time; those that are there with the right content stay.

    Args:
        title: Of all of them, for the progress bar and for errors.
        files: To be brought.
        folder: Where to.
        progress: Whether a progress bar over the files is shown on the terminal.

    Raises:
        DatasetError: A file could not be fetched; nothing half-written stays under a final name.
    """
    import pooch
    from tqdm.auto import tqdm

    source = pooch.create(
        path=folder,
        base_url="",
        registry={file.path: f"sha256:{file.sha256}" for file in files},
        urls={file.path: file.url for file in files},
        retry_if_failed=RETRIES,
    )
    try:  # before the threads, since pooch's own way fails when two of them make one folder
        for file in files:
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{title} could not be fetched: {reason(error)}") from error
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    executor = ThreadPoolExecutor(DOWNLOADS_AT_A_TIME)
    try:
        pace, mode = Pace(), usual_mode()
        jobs = [executor.submit(download, source, file, pace, mode) for file in files]
        for job in tqdm(as_completed(jobs), title, len(jobs), unit="file", disable=not progress):
            job.result()
    finally:
        executor.shutdown(cancel_futures=True)
        logger.setLevel(level)


def download(source: pooch.Pooch, file: Download, pace: Pace, mode: int) -> None:
    """Fetch one file into the folder of ``source`` unless it is there already."""
    import requests

    url = file.url

    def download(url: str, output_file: str, _source: pooch.Pooch) -> None:
        for attempt in range(RETRIES + 1):
            pace.wait()
            try:
                return _transfer(url, Path(output_file), file.bytes)
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

    try:
        fetched = Path(source.fetch(file.path, downloader=download))
        if stat.S_IMODE(fetched.stat().st_mode) == PRIVATE:
            fetched.chmod(mode)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors, a wrong hash is a ValueError
        raise DatasetError(f"{url} could not be fetched: {reason(error)}") from error


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
