"""Which files image sets consist of: origin, commit, size and SHA-256 of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path, PureWindowsPath
from urllib.parse import quote

from faiglib.errors import DatasetError
from faiglib.system.documents import DocumentError, parse_csv, read_text

BASE_URL = "https://raw.githubusercontent.com"

REGISTRY = Path(__file__).with_name("registry.csv")
_FOLDERS = {
    "set5": ("Set5",),
    "set14": ("Set14",),
    "bsd100": ("BSDS500/val",),
    "bsd400": ("BSDS500/train", "BSDS500/test"),
    "kodak24": ("Kodak24",),
}
DIV2K = {
    "div2k_train": tuple(f"DIV2K_train_HR/{number:04d}.png" for number in range(1, 801)),
    "div2k_valid": tuple(f"DIV2K_valid_HR/{number:04d}.png" for number in range(801, 901)),
}
SKIMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "rocket.jpg")
TITLES = {
    "set5": "Set5",
    "set14": "Set14",
    "bsd100": "BSD100 (BSDS500 val)",
    "bsd400": "BSD400 (BSDS500 train and test)",
    "kodak24": "Kodak24",
    "div2k_train": "DIV2K train",
    "div2k_valid": "DIV2K validation",
    "skimage": "scikit-image's photographs",
}


@dataclass(frozen=True)
class Terms:
    """On what terms a set is given, by the word of its origin.

    Attributes:
        origin: Where it comes from, in words.
        stated: The terms that its origin states.
        page: Address of the page that states them, or of the set where none does.
        redistribute: Who may hand its images on, as far as the terms say so.
    """

    origin: str
    stated: str
    page: str
    redistribute: str


_BSDS = Terms(
    "Berkeley Segmentation Dataset 500 (UC Berkeley)",
    "to be downloaded for research and education that are not commercial",
    "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/",
    "not said",
)
_DIV2K = Terms(
    "DIV2K (ETH Zürich), collected from the internet",
    "for academic research only; the copyright stays with those who own the images",
    "https://data.vision.ee.ethz.ch/cvl/DIV2K/",
    "not said; each owner, image by image",
)
TERMS = {
    "set5": Terms("Bevilacqua et al., BMVC 2012", "none stated", "https://doi.org/10.5244/C.26.135", "not said"),
    "set14": Terms(
        "Zeyde et al., Curves and Surfaces 2010",
        "none stated",
        "https://doi.org/10.1007/978-3-642-27413-8_47",
        "not said",
    ),
    "bsd100": _BSDS,
    "bsd400": _BSDS,
    "kodak24": Terms(
        "Kodak Lossless True Color Image Suite",
        "released for use without restriction",
        "https://r0k.us/graphics/kodak/",
        "anyone",
    ),
    "div2k_train": _DIV2K,
    "div2k_valid": _DIV2K,
    "skimage": Terms(
        "scikit-image's package, which names the source of every picture",
        "public domain, CC0, or no known restriction",
        "https://scikit-image.org/docs/stable/api/skimage.data.html",
        "anyone",
    ),
}
"""On what terms each set is given."""

NAMES: tuple[str, ...] = tuple(TITLES)
"""The names that :func:`find` knows."""


@dataclass(frozen=True)
class PinnedFile:
    """A downloadable file, of which it is known what is in it.

    Attributes:
        path: Place below the data folder, with forward slashes.
        sha256: Hash of the content, 64 hexadecimal digits.
        bytes: Size of the content.
    """

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class RegisteredFile(PinnedFile):
    """A file of ``registry.csv``.

    Attributes:
        repository: Owner and name of the GitHub repository.
        commit: Commit of that repository.
        path_in_repository: Place of the file in that commit.
    """

    repository: str
    commit: str
    path_in_repository: str

    def url(self, base_url: str = BASE_URL) -> str:
        """Address of the file below ``base_url``."""
        return f"{base_url.rstrip('/')}/{quote(f'{self.repository}/{self.commit}/{self.path_in_repository}')}"


def title(name: str) -> str:
    """The name of a set as printed in tables.

    Raises:
        DatasetError: The name is unknown.
    """
    require_known(name)
    return TITLES[name]


def registered_files(name: str) -> tuple[RegisteredFile, ...]:
    """The downloadable files of a set, in the order of its images; none for sets that are not downloaded.

    Raises:
        DatasetError: The name is unknown.
    """
    require_known(name)
    registry = all_files()
    return tuple(
        file for folder in _FOLDERS.get(name, ()) for file in registry if file.path.rpartition("/")[0] == folder
    )


def require_known(name: str) -> None:
    """Refuse what is no name of a set.

    Raises:
        DatasetError: The name is unknown.
    """
    if name not in TITLES:
        raise DatasetError(f"there is no image set named {name!r}; the names are {', '.join(NAMES)}")


@cache
def all_files() -> tuple[RegisteredFile, ...]:
    """Every file of the registry.

    Raises:
        DatasetError: It cannot be read, or lists what is no file below a folder.
    """
    words = ("path", "sha256", "github_repository", "commit", "path_in_repository")
    try:
        rows = parse_csv(read_text(REGISTRY), dict.fromkeys(words, str) | {"bytes": int})
    except (OSError, DocumentError) as error:
        raise DatasetError(f"the registry of images {REGISTRY} cannot be read: {error}") from None
    for row in rows:
        if not _is_below(row["path"]) or not _is_below(row["path_in_repository"]) or row["bytes"] < 1:
            raise DatasetError(f"the registry of images {REGISTRY} lists {row['path'][:80]!r}, which is no such file")
    return tuple(
        RegisteredFile(
            path=row["path"],
            sha256=row["sha256"],
            bytes=row["bytes"],
            repository=row["github_repository"],
            commit=row["commit"],
            path_in_repository=row["path_in_repository"],
        )
        for row in rows
    )


def _is_below(path: str) -> bool:
    """Whether a path stays in the folder that it is taken from, on every system."""
    pure = PureWindowsPath(path)
    return bool(pure.name) and not pure.anchor and ".." not in pure.parts and "\\" not in path


def expected_files(name: str) -> list[tuple[str, int | None, str | None]]:
    """Path below the data folder, size and SHA-256 (None where they are not registered) of each file of a set."""
    if name in DIV2K:
        return [(path, None, None) for path in DIV2K[name]]
    return [(file.path, file.bytes, file.sha256) for file in registered_files(name)]
