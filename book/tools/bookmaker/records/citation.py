"""What archives and catalogues read of the project, from ``CITATION.cff``: ``codemeta.json``, ``.zenodo.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bookmaker.errors import BookError
from faiglib.system.files import write_text_atomic

SOURCE = "CITATION.cff"
CONTEXT = "https://w3id.org/codemeta/3.0"


def read(root: Path) -> dict[str, Any]:
    """The citation file of a project.

    Raises:
        BookError: It is missing, or is no YAML mapping.
    """
    path = root / SOURCE
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BookError(f"{path} cannot be read: {error.strerror or error}") from None
    except yaml.YAMLError as error:
        raise BookError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise BookError(f"{path} holds no citation")
    return found


def made_of(citation: Mapping[str, Any], requires_python: str) -> dict[str, dict[str, Any]]:
    """The files for archives and catalogues, by name.

    Args:
        citation: From :func:`read`.
        requires_python: The versions of Python that the package names.
    """
    return {"codemeta.json": codemeta(citation, requires_python), ".zenodo.json": zenodo(citation)}


def codemeta(citation: Mapping[str, Any], requires_python: str) -> dict[str, Any]:
    """The citation in the terms of CodeMeta 3.0 (https://codemeta.github.io/terms/)."""
    paper = citation["preferred-citation"]
    return {
        "@context": CONTEXT,
        "@type": "SoftwareSourceCode",
        "name": citation["title"],
        "description": citation["abstract"].strip(),
        "version": citation["version"],
        "license": f"https://spdx.org/licenses/{citation['license']}",
        "author": [{"@type": "Organization", "name": one["name"]} for one in citation["authors"]],
        "keywords": list(citation["keywords"]),
        "programmingLanguage": {"@type": "ComputerLanguage", "name": "Python"},
        "runtimePlatform": f"Python {requires_python}",
        "referencePublication": {
            "@type": "ScholarlyArticle",
            "name": paper["title"],
            "author": [
                {"@type": "Person", "givenName": one["given-names"], "familyName": one["family-names"]}
                for one in paper["authors"]
            ],
            "datePublished": str(paper["year"]),
            "url": paper["url"],
        },
    }


def zenodo(citation: Mapping[str, Any]) -> dict[str, Any]:
    """The citation in the terms of Zenodo's deposits."""
    paper = citation["preferred-citation"]
    return {
        "title": citation["title"],
        "description": citation["abstract"].strip(),
        "upload_type": "software",
        "version": citation["version"],
        "license": citation["license"],
        "creators": [{"name": one["name"]} for one in citation["authors"]],
        "keywords": list(citation["keywords"]),
        "related_identifiers": [
            {"identifier": one["value"], "relation": "isSupplementTo"} for one in paper["identifiers"]
        ],
        "references": [
            f"{', '.join(one['family-names'] for one in paper['authors'])} ({paper['year']}). {paper['title']}. "
            f"{paper['collection-title']} {paper['volume']}."
        ],
    }


def write(root: Path, requires_python: str) -> list[Path]:
    """Writes the files of :func:`made_of` into a project.

    Raises:
        BookError: There is no citation file.
        StoreError: One cannot be written.
    """
    paths = []
    for name, content in made_of(read(root), requires_python).items():
        write_text_atomic(root / name, as_text(content))
        paths.append(root / name)
    return paths


def as_text(content: Mapping[str, Any]) -> str:
    """A file's text."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
