"""Makes the page about a pair: ``python -m faiglib.companion.pair ARGUMENTS.json OUT``, see ``faiglib report --help``.

``OUT/report.ipynb`` is the executed notebook, ``OUT/html/index.html`` the page; what was computed lies in
``OUT/store``, so that an interrupted run goes on from there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faiglib import errors
from faiglib.companion import kernel
from faiglib.companion.page.plots import boxed
from faiglib.errors import FaiglibError
from faiglib.system.files import write_text_atomic

TEMPLATE = Path(__file__).with_name("page.md")
#: Of the book, which the page looks like: a checkout's, else the package's.
ASSETS = ("book.css", "interactive.js", "enlarge.js")

_CONFIG = """
project = "faiglib report"
extensions = ["myst_nb"]
nb_execution_mode = "off"
html_theme = "sphinx_book_theme"
html_title = "A pair of networks"
html_static_path = ["assets"]
html_css_files = ["book.css"]
html_js_files = ["interactive.js", "enlarge.js"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navbar_persistent": [], "use_download_button": False, "home_page_in_toc": False,
    "footer_content_items": ""}
"""


def make(arguments: Mapping[str, Any], out: Path) -> Path:
    """Execute the notebook and build the page.

    Args:
        arguments: parameters of the notebook.
        out: folder for everything.

    Returns:
        The page.

    Raises:
        FaiglibError: what the notebook was given cannot be used, or a tool failed.
    """
    given, executed = out / ".given.ipynb", out / "report.ipynb"
    write_text_atomic(given, notebook())
    try:
        with kernel.of_this_python(out / ".jupyter"):
            execute(given, executed, {**arguments, "out": str(out)})
    finally:
        given.unlink(missing_ok=True)
        shutil.rmtree(out / ".jupyter", ignore_errors=True)
    return build(executed, out)


def notebook() -> str:
    """The notebook of the page as JSON."""
    import jupytext

    return str(jupytext.writes(jupytext.reads(TEMPLATE.read_text(encoding="utf-8"), fmt="md:myst"), fmt="ipynb"))


def execute(given: Path, executed: Path, parameters: Mapping[str, Any]) -> None:
    """Execute the notebook, with a bar over its cells.

    Raises:
        FaiglibError: a cell failed because of what it was given.
    """
    import papermill

    try:
        papermill.execute_notebook(str(given), str(executed), parameters=dict(parameters), cwd=os.getcwd())
    except papermill.PapermillExecutionError as error:
        kind = getattr(errors, error.ename, None)
        if isinstance(kind, type) and issubclass(kind, FaiglibError):
            raise kind(error.evalue) from None
        raise FaiglibError(f"{executed} failed: {error.ename}: {error.evalue}; it shows how far it came") from None


def build(executed: Path, out: Path) -> Path:
    """Let Sphinx make the page of an executed notebook.

    Raises:
        FaiglibError: Sphinx failed.
    """
    import nbformat
    from bs4 import BeautifulSoup

    source, html = out / ".source", out / "html"
    shutil.rmtree(source, ignore_errors=True)
    (source / "assets").mkdir(parents=True)
    for name in ASSETS:
        shutil.copyfile(assets() / name, source / "assets" / name)
    write_text_atomic(source / "conf.py", _CONFIG)
    page = nbformat.read(executed, as_version=4)
    page.cells = [cell for cell in page.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    for cell in page.cells:
        if cell.cell_type == "code":
            hidden = "remove-cell" if "parameters" in cell.metadata.get("tags", []) else "remove-input"
            cell.metadata["tags"] = [hidden]
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(page, source / "index.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-d", str(out / ".doctrees"), str(source), str(html)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    shutil.rmtree(source, ignore_errors=True)
    for left in (out / ".doctrees", out / "jupyter_execute"):
        shutil.rmtree(left, ignore_errors=True)
    if done.returncode or not (html / "index.html").is_file():
        raise FaiglibError(f"the page cannot be made by Sphinx: {' '.join(done.stderr.split()[-60:])}")
    parsed = BeautifulSoup((html / "index.html").read_text(encoding="utf-8"), "html.parser")
    boxed(parsed, html)
    write_text_atomic(html / "index.html", str(parsed))
    return html / "index.html"


def assets() -> Path:
    """The folder of the book's style and scripts."""
    package = Path(errors.__file__).parent
    return next(place for place in (package.parent / "book" / "assets", package / "_assets") if place.is_dir())


def main() -> None:
    """Run the command line; an error is one sentence on standard error, and the status 1."""
    arguments, out = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        print(make(json.loads(arguments.read_text(encoding="utf-8")), out))
    except FaiglibError as error:
        sys.exit(f"faiglib: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
