"""The missing files of an image set, or others, brought into a folder from whatever server gives them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from faiglib.errors import DatasetError
from faiglib.images import bundles
from faiglib.images.downloads import RETRIES, download, reason
from faiglib.images.origins import Asked
from faiglib.images.registry import PinnedFile, RegisteredFile
from faiglib.system.files import usual_mode

DOWNLOADS_AT_A_TIME = 4


def bring(
    title: str,
    files: Sequence[PinnedFile],
    missing: Sequence[RegisteredFile],
    folder: Path,
    servers: Sequence[Asked],
    progress: bool,
) -> None:
    """Fetch what is missing of a set: by one archive where many files are and the first server offers it, else by file.

    Args:
        title: of the set.
        files: all of it; those that are there are checked again.
        missing: those of them that are not there with the registered content, as far as an archive may have them.
        folder: that they go to.
        servers: in the order in which they are asked.
        progress: whether a bar is shown.

    Raises:
        DatasetError: a file could not be fetched.
    """
    import pooch
    from tqdm.auto import tqdm

    source = pooch.create(
        path=folder,
        base_url="",
        registry={file.path: f"sha256:{file.sha256}" for file in files},
        urls={file.path: servers[0].origin.of(file) for file in files},
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
        mode = usual_mode()
        with tqdm(desc=title, total=len(files), unit="file", disable=not progress) as bar:
            trouble = bundles.bring(missing, folder, servers[0], bar.update)
            if trouble:
                tqdm.write(f"One archive does not do ({trouble}); files are fetched one by one.")
            bar.reset()
            jobs = [executor.submit(download, source, file, servers, mode) for file in files]
            for job in as_completed(jobs):
                job.result()
                bar.update()
    finally:
        executor.shutdown(cancel_futures=True)
        logger.setLevel(level)
