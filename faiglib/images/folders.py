"""The images of folders, and which of several folders belong together."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Mapping
from pathlib import Path

from faiglib.errors import DatasetError
from faiglib.images.files import SUFFIXES


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The image files of a folder (not of its subfolders), sorted by name; hidden files are ignored.

    A folder that is named like an image is left out with a warning.

    Raises:
        DatasetError: The folder is missing, is not a folder, holds no image, or something else under an image's name.
    """
    folder = Path(folder)
    if not folder.exists():
        raise DatasetError(f"folder {folder} does not exist")
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder")
    try:
        paths = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
        )
    except OSError as error:
        raise DatasetError(f"folder {folder} cannot be read: {error.strerror or error}") from error
    images = [path for path in paths if not path.is_dir()]
    for path in paths:
        if path.is_dir():
            warnings.warn(
                f"{path} is a folder, though it is named like an image, and left out", UserWarning, stacklevel=2
            )
        elif not path.is_file():
            what = "a link to nothing" if path.is_symlink() and not path.exists() else "no file"
            raise DatasetError(f"{path} is {what}, though it is named like an image")
    if not images:
        raise DatasetError(f"folder {folder} holds no image (png, bmp, jpg, tif or webp)")
    return images


def name_of(path: Path) -> str:
    """A file's name without its ending, letters with accents in one spelling (Unicode's form NFC)."""
    return unicodedata.normalize("NFC", path.stem)


def images_by_stem(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """The images of a folder by :func:`name_of`, sorted by it.

    Raises:
        DatasetError: As :func:`list_images`, or two images differ in nothing but their ending, the case of letters or
            their spelling in Unicode, so that some system would write their results into one file.
    """
    stems: dict[str, Path] = {}
    for path in list_images(folder):
        key = name_of(path).casefold()
        if key in stems:
            raise DatasetError(
                f"folder {folder} holds both {stems[key].name} and {path.name}; names without ending must differ"
                + ("" if stems[key].stem == path.stem else " in more than the case of letters or their spelling")
            )
        stems[key] = path
    return dict(sorted((name_of(path), path) for path in stems.values()))


def match_by_name(**folders: str | os.PathLike[str]) -> list[dict[str, Path]]:
    """Pair the images of several folders that have the same name without its ending.

    Where all names of a folder end alike (``baby_x2``, ``bird_x2``), that is left out if the rest makes pairs; a
    warning says so.

    Args:
        **folders: The folders, each under the keyword that the result uses for it.

    Returns:
        One dictionary, keyword to path, per name, sorted by name.

    Raises:
        DatasetError: A folder is missing or empty, or a name is not in all of the folders.
    """
    stems = {keyword: images_by_stem(folder) for keyword, folder in folders.items()}
    if len({frozenset(found) for found in stems.values()}) > 1:
        endings = _common_endings(stems)
        if endings is not None:
            for keyword, ending in endings.items():
                if ending:
                    stems[keyword] = {name[: -len(ending)]: path for name, path in stems[keyword].items()}
                    warnings.warn(
                        f"the names in {folders[keyword]} ({keyword}) were paired without the {ending!r} at their end",
                        UserWarning,
                        stacklevel=2,
                    )
    for stem in sorted(set().union(*stems.values())):
        for keyword, found in stems.items():
            if stem not in found:
                having = next(other[stem] for other in stems.values() if stem in other)
                raise DatasetError(
                    f"folder {folders[keyword]} ({keyword}) has no image named {stem}, but {having} exists"
                )
    return [{keyword: found[stem] for keyword, found in stems.items()} for stem in next(iter(stems.values()), {})]


def _common_endings(stems: Mapping[str, Mapping[str, Path]]) -> dict[str, str] | None:
    """What to take from the end of all names of each folder so that all folders have the same names, if anything."""
    first, *others = stems.values()
    if any(len(names) != len(first) for names in others):
        return None
    for cut in range(min(map(len, first))):
        wanted = {name[: len(name) - cut] for name in first}
        if len(wanted) != len(first):
            return None
        endings = {}
        for keyword, names in stems.items():
            extra = sum(map(len, names)) - sum(map(len, wanted))
            length, rest = divmod(extra, len(names))
            if rest or length < 0 or {name[: len(name) - length] for name in names} != wanted:
                break
            found = {name[len(name) - length :] for name in names}
            if len(found) > 1:
                break
            endings[keyword] = found.pop()
        else:
            return endings
    return None
