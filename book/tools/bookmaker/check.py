"""What can be wrong with a finished book although it was built without a warning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import yaml

from bookmaker.errors import BookError
from bookmaker.html import check_pages
from bookmaker.layout import Layout

FILE_NAME = re.compile(r"\S+\.(png|jpe?g|svg|gif|webp)")
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
NOT_LOADED = {"canonical", "next", "prev", "search", "index", "author", "license"}


def complaints(layout: Layout) -> list[str]:
    """One line for each missing page, missing item of the paper, load from the network, and undescribed picture."""
    try:
        check_pages(layout.html, layout.pages())
    except BookError as error:
        return [str(error)]
    lines = [line for page in layout.pages() for line in page_complaints(layout.html / f"{page}.html")]
    return [*missing_items(layout), *lines]


def missing_items(layout: Layout) -> Iterator[str]:
    """One line for each entry of ``book/items.yml`` that its page does not show."""
    path = layout.root / "book" / "items.yml"
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else ():
        page = layout.html / f"{entry['page']}.html"
        if not page.is_file() or entry["shows"] not in page.read_text(encoding="utf-8"):
            yield f"{page} does not show {entry['item']} ({entry['shows']!r} is not in it)"


def page_complaints(path: Path) -> Iterator[str]:
    """The lines for one page."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    for tag, address in reader.loaded:
        if address.startswith(("http:", "https:", "//")):
            yield f"{path}: <{tag}> loads {address} from the network"
    for source, alt in reader.pictures:
        if not alt.strip() or FILE_NAME.fullmatch(alt.strip()):
            yield f"{path}: the picture {source} has no alt text"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[tuple[str, str]] = []
        self.pictures: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what the tag loads."""
        values = {name: value or "" for name, value in attrs}
        if tag == "img":
            self.pictures.append((values.get("src", ""), values.get("alt", "")))
        if tag in LOADING and not NOT_LOADED & set(values.get("rel", "").split()):
            self.loaded.append((tag, values.get(LOADING[tag], "")))
