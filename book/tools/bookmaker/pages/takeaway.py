"""What a chapter's notebook begins with when a reader takes it away: a badge for Colab, and a cell that installs.

Both are in the ``.ipynb`` that the download button gives, and not on the page. They need an address to clone the
project from; a checkout whose origin has none gives notebooks without them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from faiglib.system import provenance

COLAB = "https://colab.research.google.com/"
ADDRESS = re.compile(r"https://[\w.-]+/[\w./~-]+|git@([\w.-]+):([\w./~-]+)")
FOLDER = "faiglib-project"
UNSEEN = "remove-cell"
BADGE = (
    "[![Open in Colab]({colab}assets/colab-badge.svg)]({colab}) There, *File*, *Upload notebook* takes this file. The "
    "next cell installs the project, at the commit that made this page, and the pinned versions of all packages, "
    "unless it is here already."
)
INSTALL = """\
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("faiglib") is None:
    for command in (
        ["git", "clone", "--quiet", "{address}", "{folder}"],
        ["git", "-C", "{folder}", "checkout", "--quiet", "{commit}"],
        [sys.executable, "-m", "pip", "install", "--quiet", "-c", "{folder}/constraints.txt", "-e", "{folder}[book]"],
    ):
        subprocess.run(command, check=True)
    print("Restart the session now (in Colab: Runtime, Restart session), and go on with the next cell.")"""


def add(page: Any, root: Path, commit: str | None) -> None:
    """Puts badge and cell at the beginning of a notebook, where the project can be cloned.

    Args:
        page: The notebook as it is shown; changed in place.
        root: Of the project.
        commit: That made the page.
    """
    import nbformat

    address = address_of(root)
    if not address or not commit:
        return
    install = INSTALL.format(address=address, folder=FOLDER, commit=commit)
    cells = [nbformat.v4.new_markdown_cell(BADGE.format(colab=COLAB)), nbformat.v4.new_code_cell(install)]
    for cell in cells:
        cell.metadata["tags"] = [UNSEEN]
    page.cells[:0] = cells


def address_of(root: Path) -> str | None:
    """Where anyone can clone the project from: its origin by HTTPS; None without one."""
    found = ADDRESS.fullmatch(provenance.git("remote", "get-url", "origin", folder=root) or "")
    if not found:
        return None
    host, path = found.groups()
    return f"https://{host}/{path}" if host else found.group()
