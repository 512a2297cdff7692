"""Servers that have the registered files: a mirror that the user names, their origin, and an archive of public sources.

Whatever a server answers counts only with its registered size and SHA-256, so that none has to be trusted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from faiglib.errors import DatasetError
from faiglib.images.pace import Pace
from faiglib.images.registry import BASE_URL, RegisteredFile

MIRROR = "FAIGLIB_MIRROR"


@dataclass(frozen=True)
class Origin:
    """A server.

    Attributes:
        title: Its name.
        of: Address of a file there; it takes what files the server has.
        bundle: Address of one archive (tar, compressed by gzip) of all files of a file's commit, below one folder; None
            where the server offers none.
    """

    title: str
    of: Callable[[Any], str]
    bundle: Callable[[RegisteredFile], str] | None = None


@dataclass
class Asked:
    """A server that is being asked.

    Attributes:
        origin: Which.
        pace: How fast it may be asked.
        lost: Whether it was found not to answer at all.
    """

    origin: Origin
    pace: Pace = field(default_factory=Pace)
    lost: bool = False


GITHUB = Origin(
    "GitHub",
    RegisteredFile.url,
    lambda file: f"https://codeload.github.com/{quote(file.repository)}/tar.gz/{file.commit}",
)
#: Keeps public repositories for good, and finds a file by what is in it.
SOFTWARE_HERITAGE = Origin(
    "Software Heritage",
    lambda file: f"https://archive.softwareheritage.org/api/1/content/sha256:{file.sha256}/raw/",
)
REGISTERED = (GITHUB, SOFTWARE_HERITAGE)
"""The origins of every registered file, in the order in which they are asked."""


def at(base_url: str) -> Origin:
    """A server that answers ``/<repository>/<commit>/<path>``, as GitHub does."""
    return Origin(base_url, lambda file: file.url(base_url))


def mirror() -> Origin | None:
    """The mirror that ``FAIGLIB_MIRROR`` names, a server with the files laid out as in the cache; None without one.

    Raises:
        DatasetError: The variable holds no address.
    """
    base = os.environ.get(MIRROR, "").rstrip("/")
    if not base:
        return None
    if not base.startswith(("https://", "http://")):
        raise DatasetError(f"{MIRROR} is {base!r}, which does not start with https:// or http://")
    return Origin(base, lambda file: f"{base}/{quote(file.path)}")


def to_ask(base_url: str = BASE_URL) -> list[Asked]:
    """The servers to ask, in their order: the mirror, then the registered ones; another base address alone.

    Raises:
        DatasetError: ``FAIGLIB_MIRROR`` holds no address.
    """
    if base_url != BASE_URL:
        return [Asked(at(base_url))]
    named = mirror()
    return [Asked(origin) for origin in ((named, *REGISTERED) if named else REGISTERED)]
