"""Fills the API page with one section for every module that faiglib has."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from bookmaker import places
from bookmaker.layout import Layout

PAGE = "api.md"
PLACE = "<!-- one section per module: book/tools/bookmaker/api.py -->"
AUTOMODULE = """.. automodule:: {}
   :members:
   :ignore-module-all:"""
LEFT_OUT = ("faiglib.command.main", "faiglib.__main__")


def fill(layout: Layout) -> None:
    """Replaces the marked place in the staged API page, if the book has one, by the modules of faiglib."""
    places.fill(layout, PAGE, PLACE, lambda: "\n".join(map(section, modules(layout.root / "faiglib"))))


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
