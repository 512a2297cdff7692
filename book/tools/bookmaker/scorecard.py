"""Fills the tables of the front page: a row for each claim of the paper, and one for each of its figures and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from bookmaker import places
from bookmaker.layout import Layout

PAGE = "index.md"
CLAIMS = "<!-- a row for each claim: book/tools/bookmaker/scorecard.py -->"
ITEMS = "<!-- a row for each item of the paper: book/tools/bookmaker/scorecard.py -->"
ANCHOR = re.compile(r'id="(fig-[\w-]+)"')


def fill(layout: Layout) -> None:
    """Replaces the marked places in the staged front page, where it has them."""
    places.fill(layout, PAGE, CLAIMS, lambda: "\n".join(claims(layout)))
    places.fill(layout, PAGE, ITEMS, lambda: "\n".join(items(layout)))


def claims(layout: Layout) -> Iterator[str]:
    """The scorecard: letter, claim, verdict and numbers, the last two glued from the chapter that found them."""
    from faiglib.companion.criteria import CLAIMS

    yield "| claim | | here | measured |"
    yield "| --- | --- | --- | --- |"
    for letter, claim in CLAIMS.items():
        if claim.page in layout.pages():
            page, statement = f"{claim.page}.ipynb", claim.statement.replace("|", r"\|")
            verdict, measured = (f"{{glue:text}}`{page}::{name}_{letter}:s`" for name in ("grade", "measured"))
            yield f"| [{letter}]({page}) | {statement} | **{verdict}** | {measured} |"


def items(layout: Layout) -> Iterator[str]:
    """Where the book has each figure and table of the paper, and what became of the claims it speaks to."""
    from faiglib.companion.criteria import CLAIMS

    yield "| in the paper | in this book | claims and what became of them here |"
    yield "| --- | --- | --- |"
    for entry in yaml.safe_load((layout.root / "book" / "items.yml").read_text(encoding="utf-8")):
        page = entry["page"]
        suffix = "ipynb" if page.startswith("notebooks/") else "md"
        anchor = ANCHOR.search(entry["shows"])
        figure = f"{{numref}}`{anchor.group(1)}` in " if anchor else ""
        found = [
            f"{letter}: {{glue:text}}`{CLAIMS[letter].page}.ipynb::grade_{letter}:s`"
            for letter in entry.get("claims", [])
        ]
        if "measured" in entry:
            found.append(f"{{glue:text}}`{page}.{suffix}::{entry['measured']}:s`")
        yield f"| {entry['item']} | {figure}[]({page}.{suffix}) | {', '.join(found)} |"
