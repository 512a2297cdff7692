"""A Sphinx extension: bars in docstrings, as in |θ − θ̄|, are bars, and signatures have types without annotations."""

from __future__ import annotations

import re
from typing import Any

LITERAL = re.compile(r"(``.*?``)")
#: A type of the command's options, with what typer makes of it.
ANNOTATED = re.compile(r"~?[\w.]*Annotated\[(?P<type>[^<]*?), <typer\.models\.\w+ object at 0x[0-9a-f]+>\]")


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _process)
    app.connect("autodoc-process-signature", _without_annotations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def escape_bars(line: str) -> str:
    """The line with every bar outside of literals escaped; examples stay as they are."""
    if line.lstrip().startswith((">>>", "...")):
        return line
    parts = LITERAL.split(line)
    return "".join(part if LITERAL.fullmatch(part) else part.replace("|", r"\|") for part in parts)


def _process(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = map(escape_bars, lines)


def _without_annotations(
    _app: Any, _what: str, _name: str, _obj: Any, _options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    return signature and ANNOTATED.sub(r"\g<type>", signature), returned
