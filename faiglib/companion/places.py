"""Where the book keeps what it makes: one object, handed in to whatever writes or reads there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faiglib.system import environment


def recorded_results() -> Path:
    """The folder of recorded runs in this checkout, a folder each."""
    return Path(__file__).resolve().parents[2] / "results"


@dataclass(frozen=True)
class Places:
    """Folders of generated things.

    Attributes:
        build: everything generated.
        store: stored results.
    """

    build: Path
    store: Path

    @classmethod
    def below(cls, build: Path) -> Places:
        """The places of a folder of everything generated: results in FAIGLIB_STORE, else in ``store`` there.

        Raises:
            StoreError: the variable begins with a home folder that is not known.
        """
        return cls(build, environment.folder("FAIGLIB_STORE") or build / "store")

    @classmethod
    def of_environment(cls) -> Places:
        """The places below FAIGLIB_BUILD, else ``build`` of the checkout, else the cache folder.

        Raises:
            PlaceError: there is no home folder for the cache.
            StoreError: a variable begins with a home folder that is not known.
        """
        checkout = Path(__file__).resolve().parents[2]
        here = checkout / "build" if (checkout / "noxfile.py").is_file() else environment.cache_folder()
        return cls.below(environment.folder("FAIGLIB_BUILD") or here)

    @property
    def spent(self) -> Path:
        """Where a notebook notes what it has spent on attribution."""
        return self.build / "spent.json"

    def measured(self, profile: str) -> Path:
        """Where a run of the notebooks with a profile writes its tables."""
        return self.build / "results" / profile
