"""Finds the image sets of a profile, or fetches them, and says loudly which are missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

Digests = dict[str, str]

ALWAYS_THERE = "skimage"


class Sets(Protocol):
    """What this module asks of ``faiglib.images.datasets``."""

    def find(self, name: str, /) -> tuple[str, str]:
        """The title and digest of a set that is on this machine; raises :class:`SetMissing`."""
        ...

    def fetch(self, name: str, /) -> tuple[str, str]:
        """The same after a download; raises :class:`SetMissing`."""
        ...


class SetMissing(Exception):
    """A set is not here, or could not be fetched; the message says why."""


class FaiglibSets:
    """The image sets that faiglib knows.

    Args:
        data_dir: Where to look first; without it, faiglib looks where it always does.
    """

    def __init__(self, data_dir: str | None) -> None:
        self.data_dir = data_dir

    def find(self, name: str, /) -> tuple[str, str]:
        """See :class:`Sets`."""
        return self._call("find", name)

    def fetch(self, name: str, /) -> tuple[str, str]:
        """See :class:`Sets`."""
        return self._call("fetch", name)

    def _call(self, function: str, name: str) -> tuple[str, str]:
        from faiglib.errors import DatasetError
        from faiglib.images import datasets

        try:
            # Downloads go to the cache, never into a folder of the user's.
            found = datasets.fetch(name) if function == "fetch" else datasets.find(name, data_dir=self.data_dir)
        except DatasetError as error:
            raise SetMissing(str(error)) from error
        return found.title, found.digest


def prepare(names: Iterable[str], sets: Sets, *, offline: bool) -> Digests:
    """Looks for every set, tries one download of each that is absent, and prints what came of it.

    Args:
        names: The image sets that the profile uses.
        sets: Where sets come from.
        offline: Whether to leave out the downloads.

    Returns:
        The digest of every set that was found, by name.
    """
    found: Digests = {}
    titles: list[str] = []
    missing: dict[str, str] = {}
    for name in names:
        try:
            title, found[name] = sets.find(name)
        except SetMissing as absent:
            if offline:
                missing[name] = str(absent)
                continue
            print(f"images: {name} is not on this machine, fetching it …", flush=True)
            try:
                title, found[name] = sets.fetch(name)
            except SetMissing as failed:
                missing[name] = str(failed)
                continue
        titles.append(title)
    if titles:
        print(f"images: found {', '.join(titles)}", flush=True)
    if missing:
        instead = "scikit-image's own photos only" if found.keys() <= {ALWAYS_THERE} else "the sets that were found"
        why = next(reversed(missing.values()))
        print(
            f"images: MISSING {', '.join(missing).upper()}: the pages will show {instead}. ({why})",
            flush=True,
        )
    return found
