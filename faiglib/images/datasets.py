"""Named sets of images: where they are found, how they are fetched, and what exactly is in them.

``registry.csv`` pins each downloadable file to a commit, a size and a SHA-256. A set is looked for in an
explicit folder (argument or the environment variable ``FAIGLIB_DATA``), then in the cache of earlier
downloads (``FAIGLIB_CACHE`` moves it); both are laid out as the ``path`` column of the registry. Nothing is
downloaded unless :func:`fetch` is called.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from torch import Tensor

from faiglib.errors import DatasetError, ImageError, IncompleteError, PlaceError, StoreError
from faiglib.images import origins
from faiglib.images.fetching import bring
from faiglib.images.files import center_crop, crop_to_multiple, read_image
from faiglib.images.folders import images_by_stem
from faiglib.images.registry import (
    BASE_URL,
    DIV2K,
    SKIMAGE,
    TITLES,
    expected_files,
    registered_files,
    require_known,
    title,
)
from faiglib.system import environment
from faiglib.system.files import expanded, sha256_file

Where = Literal["folder", "cache", "embedded"]


@dataclass(frozen=True)
class ImageSet:
    """Images under a name.

    Attributes:
        name: One of :data:`NAMES`, or the name of the user's folder.
        title: The name as printed in tables.
        paths: The files.
        where: ``"folder"`` for the user's own, ``"cache"`` for earlier downloads, ``"embedded"`` for images
            inside an installed package.
    """

    name: str
    title: str
    paths: tuple[Path, ...]
    where: Where

    def __len__(self) -> int:
        """Number of images."""
        return len(self.paths)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the file names and the hashes of their contents, wherever the files lie."""
        lines = (f"{path.name} {sha256_file(path)}\n" for path in self.paths)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def select(self, limit: int | None = None) -> tuple[Path, ...]:
        """At most ``limit`` of the files, evenly spaced; all of them without a limit.

        Raises:
            DatasetError: ``limit`` is less than 1.
        """
        count = len(self.paths)
        if limit is None or limit >= count:
            return self.paths
        if limit < 1:
            raise DatasetError(f"{limit} images of {self.title} were asked for; at least 1 was expected")
        return tuple(self.paths[(2 * index + 1) * count // (2 * limit)] for index in range(limit))

    def load(
        self, limit: int | None = None, crop: int | None = None, multiple: int = 12
    ) -> Iterator[tuple[str, Tensor]]:
        """Read the images one after the other.

        Args:
            limit: Take at most that many images, evenly spaced (:meth:`select`).
            crop: Take the central square of at most ``crop`` pixels a side.
            multiple: Height and width are cut down to a multiple of this; 12 suits the scales 2, 3 and 4,
                and 1 keeps every pixel.

        Yields:
            The file's name without ending, and the image, (1, 3, H, W) in [0, 1].

        Raises:
            DatasetError: ``limit`` is less than 1.
            ImageError: A file cannot be read, or is smaller than ``multiple``.
        """
        for path in self.select(limit):
            image = read_image(path, warn=not _is_builtin(self))
            side = min(image.shape[-2:]) if crop is None else min(crop, *image.shape[-2:])
            if side < multiple:
                raise ImageError(f"image {path} is used with {side} pixels a side; at least {multiple} were expected")
            if crop is not None:
                image = center_crop(image, side // multiple * multiple)
            yield path.stem, crop_to_multiple(image, multiple).contiguous()


def find(name: str, data_dir: str | os.PathLike[str] | None = None) -> ImageSet:
    """Find a set that is on this machine; nothing is downloaded.

    A set counts only when every one of its files is there, with its registered content.

    Args:
        name: One of :data:`NAMES`.
        data_dir: Folder to look in first; by default the environment variable ``FAIGLIB_DATA``.

    Raises:
        IncompleteError: Some of its files are here, and others are missing or have other content.
        DatasetError: The name is unknown, ``data_dir`` does not exist, or the set is missing; the sentence says where
            it was looked for and how to get it.
    """
    require_known(name)
    if name == "skimage":
        return _embedded()
    shortcomings = []
    for folder, where in places(data_dir):
        shortcoming = _shortcoming(name, folder)
        if shortcoming is None:
            return _image_set(name, folder, where)
        shortcomings.append(shortcoming)
    kind = DatasetError if all(one.startswith("it is not in") for one in shortcomings) else IncompleteError
    raise kind(f"{title(name)} was not found: {' and '.join(shortcomings)}; {_remedy(name)}")


def from_folder(path: str | os.PathLike[str]) -> ImageSet:
    """The images of the user's own folder, sorted by name.

    Raises:
        DatasetError: The folder is missing, holds no image, or two images differ in nothing but their ending.
    """
    paths = tuple(images_by_stem(path).values())
    name = Path(path).resolve().name
    return ImageSet(name=name, title=name, paths=paths, where="folder")


def fetch(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    base_url: str = BASE_URL,
    progress: bool = True,
) -> ImageSet:
    """Download what is missing of a set, each file from its pinned commit and checked against its SHA-256.

    Files that are there with the right content are kept, so an interrupted download is resumed. A mirror that
    ``FAIGLIB_MIRROR`` names is asked first, then each of :data:`faiglib.images.origins.REGISTERED`.

    Args:
        name: One of :data:`NAMES`; nothing is downloaded for ``"skimage"``.
        data_dir: Folder to download into; by default the cache.
        base_url: Another server than the registered ones, which answers ``/<repository>/<commit>/<path>``; it is asked
            alone.
        progress: Whether a progress bar over the files is shown on the terminal.

    Raises:
        DatasetError: The name is unknown, the set cannot be downloaded by faiglib, or a file could not be
            fetched; nothing half-written stays under a final name.
    """
    require_known(name)
    if name == "skimage":
        return _embedded()
    files = registered_files(name)
    if not files:
        raise DatasetError(f"{title(name)} is not downloaded by faiglib; {_remedy(name)}")
    folder = environment.cache_folder() if data_dir is None else expanded(data_dir)
    missing = [file for file in files if not _is_good(folder / file.path, file.bytes, file.sha256)]
    bring(title(name), files, missing, folder, origins.to_ask(base_url), progress)
    return _image_set(name, folder, "cache" if data_dir is None else "folder")


def _is_builtin(image_set: ImageSet) -> bool:
    """Whether the set is one of :data:`NAMES` and not a user's folder that happens to have such a name."""
    return TITLES.get(image_set.name) == image_set.title


def places(data_dir: str | os.PathLike[str] | None) -> Iterator[tuple[Path, Where]]:
    """The folders that data are looked for in, in this order.

    Args:
        data_dir: The first of them; by default the environment variable ``FAIGLIB_DATA``.

    Raises:
        PlaceError: It does not exist.
    """
    origin = "" if data_dir is not None else " (from FAIGLIB_DATA)"
    if folder := expanded(data_dir) if data_dir is not None else environment.folder("FAIGLIB_DATA"):
        if not folder.is_dir():
            raise PlaceError(f"data folder {folder}{origin} does not exist or is not a folder")
        yield folder, "folder"
    yield environment.cache_folder(), "cache"


def _shortcoming(name: str, folder: Path) -> str | None:
    """What keeps the set in ``folder`` from being complete, or None."""
    expected = expected_files(name)
    bad = [path for path, size, digest in expected if not _is_good(folder / path, size, digest)]
    if not bad:
        return None
    if not any((folder / path).exists() for path, *_ in expected):
        return f"it is not in {folder}"
    return (
        f"{len(bad)} of its {len(expected)} files are missing, cannot be read or have other content in {folder}, the "
        f"first {bad[0]}"
    )


def _is_good(path: Path, size: int | None, digest: str | None) -> bool:
    """Whether a file is the registered one; of one that is not registered, whether it holds anything."""
    try:
        found = path.stat()
        if size is None or digest is None:
            return found.st_size > 0 and os.access(path, os.R_OK)
        return found.st_size == size and _digest(path, found.st_size, found.st_mtime_ns) == digest
    except (OSError, StoreError):
        return False


@lru_cache(maxsize=8192)
def _digest(path: Path, _size: int, _changed: int) -> str:
    """SHA-256 of a file, computed once as long as it does not change."""
    return sha256_file(path)


def _remedy(name: str) -> str:
    if name in DIV2K:
        subfolder = DIV2K[name][0].partition("/")[0]
        return (
            f"download {subfolder} from https://data.vision.ee.ethz.ch/cvl/DIV2K/ and "
            f"let FAIGLIB_DATA name the folder that holds it"
        )
    return f"`faiglib fetch {name}` downloads it"


def _image_set(name: str, folder: Path, where: Where) -> ImageSet:
    paths = tuple(folder / path for path, *_ in expected_files(name))
    return ImageSet(name=name, title=title(name), paths=paths, where=where)


def _embedded() -> ImageSet:
    """Photographs inside the scikit-image wheel, addressed by path so that nothing is downloaded."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise DatasetError("scikit-image, whose photographs were asked for, is not installed")
    folder = Path(spec.origin).parent / "data"
    paths = tuple(folder / file for file in SKIMAGE)
    for path in paths:
        if not path.is_file():
            raise DatasetError(f"the installed scikit-image lacks its photograph {path}")
    return ImageSet(name="skimage", title=title("skimage"), paths=paths, where="embedded")
