"""Fills the pages of the API: a section for every module of a room of faiglib, and a table of the rooms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from bookmaker.layout import Layout
from faiglib.system.files import write_text_atomic

PAGE = "api.md"
ROOMS = "<!-- rooms of faiglib: book/tools/bookmaker/pages/api.py -->"
PLACE = re.compile(r"<!-- modules of ([\w.]+): book/tools/bookmaker/pages/api\.py -->")
AUTOMODULE = """.. automodule:: {}
   :members:
   :ignore-module-all:"""
LEFT_OUT = ("faiglib.command.main", "faiglib.__main__")


def fill(layout: Layout) -> None:
    """Replaces the marked places in the staged pages of the API, as far as the book has them."""
    package = layout.root / "faiglib"
    names = list(modules(package))

    def sections(place: re.Match[str]) -> str:
        return "\n".join(section(name) for name in names if room_of(package, name) == place.group(1))

    for path in [layout.source / PAGE, *sorted((layout.source / "api").glob("*.md"))]:
        if path.is_file():
            text = path.read_text(encoding="utf-8").replace(ROOMS, "\n".join(rooms(package)))
            write_text_atomic(path, PLACE.sub(sections, text))


def rooms(package: Path) -> Iterator[str]:
    """A Markdown table of the packages in faiglib, with the first line of their docstrings."""
    yield "| room | |"
    yield "| --- | --- |"
    for path in sorted(package.glob("*/__init__.py")):
        name, doc = path.parent.name, ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        first = doc.split("\n\n")[0].replace("\n", " ").replace("``", "`")
        yield f"| [`{name}`](api/{name}.md) | {first} |"


def room_of(package: Path, module: str) -> str:
    """The room that a module is in, or faiglib itself where it is in none."""
    first = module.split(".")[1]
    return f"faiglib.{first}" if (package / first).is_dir() else "faiglib"


def modules(package: Path) -> Iterator[str]:
    """The names of the public modules of a package that hold anything, sorted."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        name = ".".join(parts)
        private = any(part.startswith("_") for part in parts)
        if not private and name not in LEFT_OUT and _holds_definitions(path):
            yield name


def _holds_definitions(path: Path) -> bool:
    kinds = (ast.FunctionDef, ast.ClassDef)
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(isinstance(node, kinds) and not node.name.startswith("_") for node in body)


def section(module: str) -> str:
    """The section of one module."""
    return f"## `{module}`\n\n```{{eval-rst}}\n{AUTOMODULE.format(module)}\n```\n"
