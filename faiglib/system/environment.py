"""Folders that environment variables name: read in one place, absolute, so that every process means the same ones."""

from __future__ import annotations

import os
from pathlib import Path

from faiglib.errors import PlaceError
from faiglib.system.files import expanded

#: The variables, and whether their folder has to be there already.
FOLDERS = {"FAIGLIB_DATA": True, "FAIGLIB_CACHE": False, "FAIGLIB_STORE": False, "FAIGLIB_BUILD": False}


def folder(variable: str) -> Path | None:
    """The folder that a variable names, as an absolute path; None where it is not set or empty.

    Raises:
        StoreError: it begins with a home folder that is not known.
    """
    value = os.environ.get(variable)
    return Path(os.path.abspath(expanded(value))) if value else None


def cache_folder() -> Path:
    """The folder of downloads: ``FAIGLIB_CACHE`` if set, else the operating system's place for caches.

    Raises:
        PlaceError: there is no home folder for it.
        StoreError: the variable begins with a home folder that is not known.
    """
    if chosen := folder("FAIGLIB_CACHE"):
        return chosen
    import pooch

    found = Path(pooch.os_cache("faiglib"))
    if not found.is_absolute():  # what begins with ~ where there is no home
        raise PlaceError("there is no home folder for a cache of images; let FAIGLIB_CACHE name one")
    return found
