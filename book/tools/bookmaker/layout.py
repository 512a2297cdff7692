"""Where everything of one project lies, and what its table of contents names."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bookmaker.errors import BookError


@dataclass(frozen=True)
class Layout:
    """The paths of a project.

    Attributes:
        root: The folder of ``_config.yml``, ``book/`` and ``notebooks/``.
    """

    root: Path

    @property
    def build(self) -> Path:
        """Everything generated."""
        return self.root / "build"

    @property
    def executed(self) -> Path:
        """The executed notebooks, ``NAME.ipynb``, each with a record ``NAME.json`` of what made it."""
        return self.build / "notebooks"

    def measured(self, profile: str) -> Path:
        """The tables that notebooks have measured with a profile."""
        from faiglib.companion.places import Places

        return Places.below(self.build).measured(profile)

    @property
    def lock(self) -> Path:
        """What a run holds; outside the build folder, which may be removed meanwhile."""
        name = hashlib.sha256(os.fsencode(self.root.resolve())).hexdigest()[:24]
        return Path(tempfile.gettempdir()) / f"faiglib-book-{name}.lock"

    @property
    def source(self) -> Path:
        """The staged source of the book: pages, assets and executed notebooks."""
        return self.build / "source"

    @property
    def html(self) -> Path:
        """The finished book."""
        return self.build / "html"

    @property
    def pdf(self) -> Path:
        """The finished book as one PDF."""
        return self.build / "book.pdf"

    def notebook(self, name: str) -> Path:
        """The text notebook of this name."""
        return self.root / "notebooks" / f"{name}.py"

    def pages(self) -> list[str]:
        """The pages that the table of contents names, in its order, front page first, without suffix.

        Raises:
            BookError: If ``book/_toc.yml`` is missing, is not a table of contents, or names a missing page.
        """
        path = self.root / "book" / "_toc.yml"
        try:
            toc = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BookError(f"{path} is missing: {self.root} is not the folder of this project") from None
        except yaml.YAMLError as error:
            raise BookError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(toc, dict) or "root" not in toc:
            raise BookError(f"{path} has no entry 'root': it is not a table of contents")
        pages = [toc["root"], *_files(toc)]
        for page in pages:
            if page.startswith("notebooks/"):
                there = self.notebook(page.removeprefix("notebooks/")).is_file()
            else:
                there = any((self.root / "book" / (page + suffix)).is_file() for suffix in (".md", ".rst"))
            if not there:
                raise BookError(f"{path} names the page '{page}', which does not exist")
        return pages

    def notebooks(self) -> list[str]:
        """The names of the notebooks in the table of contents, in its order."""
        return [page.removeprefix("notebooks/") for page in self.pages() if page.startswith("notebooks/")]


def _files(entry: Any) -> Iterator[str]:
    if isinstance(entry, dict):
        for key, value in entry.items():
            if key == "file":
                yield value
            else:
                yield from _files(value)
    elif isinstance(entry, list):
        for item in entry:
            yield from _files(item)
