"""Writes what archives and catalogues read of the project, from CITATION.cff: ``nox -s metadata``."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from bookmaker.errors import BookError
from bookmaker.records import citation
from faiglib.errors import StoreError


def main() -> int:
    """Writes the files; the exit code is 1 where that is not possible."""
    root = Path(__file__).resolve().parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    try:
        for path in citation.write(root, project["requires-python"]):
            print(path)
    except (BookError, StoreError) as error:
        print(f"metadata: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
