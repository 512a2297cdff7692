"""What stands at the end of every page: what made it, and how to make or change it oneself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bookmaker.errors import BookError
from bookmaker.layout import Layout
from faiglib.companion.page.boxes import box
from faiglib.companion.page.escaping import as_html

BINDER = "https://mybinder.org/v2/gh/{repository}/{commit}?urlpath=lab/tree/{path}"
GITHUB = re.compile(r"(?:https://|git@)github\.com[/:]([\w.-]+/[\w.-]+?)(?:\.git)?")


def made_with(device: str, images: Mapping[str, str], models: Path) -> dict[str, Any]:
    """What an execution is made with: machine, versions, commit, and digests of images and weights.

    Args:
        device: As given on the command line.
        images: Digest of every image set, by name.
        models: Folder of weights.

    Raises:
        BookError: If there is no such device.
        WeightsError: If the manifest of the weights cannot be read.
    """
    from faiglib.errors import FaiglibError
    from faiglib.networks import zoo
    from faiglib.system import provenance
    from faiglib.system.devices import choose_device

    try:
        chosen = choose_device(device)
    except FaiglibError as error:
        raise BookError(f"--device: {error}") from None
    listed = zoo.entries(models) if (models / zoo.MANIFEST).is_file() else []
    weights = {entry.file: entry.sha256 for entry in listed}
    return provenance.collect(chosen, images=dict(images), weights=weights)


def of_chapter(layout: Layout, name: str, parameters: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """The end of an executed chapter, as HTML.

    Args:
        layout: The project.
        name: Of the chapter.
        parameters: Of its execution.
        record: See :mod:`bookmaker.staleness`.
    """
    made: Mapping[str, Any] = record.get("made_with", {})
    number = name.split("_")[0]
    source = f"notebooks/{name}.py"
    rows = {
        "executed": f"{record['finished']}, took {record['seconds']} s" if "finished" in record else "",
        "parameters": ", ".join(
            f"{key} {parameters[key]}" for key in ("profile", "device", "seed") if key in parameters
        ),
        **_program(made),
        "weights (sha256)": _digests(made.get("weights", {})),
        "images (sha256)": _digests(made.get("images", {})),
        "made again by": f"nox -s reproduce -- --profile {parameters.get('profile', 'standard')} --only {number}",
        "changed in": f"{source}: nox -s lab opens JupyterLab, where a double click opens it as a notebook",
    }
    return _box(rows, _binder(layout.root, source, made.get("commit")))


def of_page(layout: Layout, name: str) -> str:
    """The end of a page written by hand, as HTML."""
    from faiglib.system import provenance

    made = provenance.collect()
    return _box({"built": made["time_utc"], **_program(made), "changed in": f"book/{name}.md, then nox -s book"}, "")


def _program(made: Mapping[str, Any]) -> dict[str, str]:
    from faiglib.system import provenance

    if not made:
        return {}
    cores = f", {made['cores']} cores" if made["device"] else ""
    versions = f"Python {made['python']}, NumPy {made['numpy']}"
    return {"made with": f"{provenance.in_words(made, digits=12)}{cores}, {versions}"}


def _digests(digests: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {digest[:8]}" for name, digest in digests.items())


def _box(rows: Mapping[str, str], more: str) -> str:
    return box("Provenance of this page", rows, "budget provenance", more=more)


def _binder(root: Path, path: str, commit: str | None) -> str:
    """A button that opens the notebook on mybinder.org, where the project's origin is on GitHub."""
    from faiglib.system import provenance

    match = GITHUB.fullmatch(provenance.git("remote", "get-url", "origin", folder=root) or "")
    if not match or not commit:
        return ""
    address = BINDER.format(repository=match.group(1), commit=commit, path=path)
    return f'<p><a href="{as_html(address)}">Open this chapter on mybinder.org</a></p>'
