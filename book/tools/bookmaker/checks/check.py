"""What can be wrong with a finished book although it was built without a warning."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from bs4 import BeautifulSoup

from bookmaker.errors import BookError
from bookmaker.html import check_pages
from bookmaker.layout import Layout

FILE_NAME = re.compile(r"\S+\.(png|jpe?g|svg|gif|webp)")
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
TEXTS = {".html", ".js", ".json", ".csv", ".txt", ".md", ".ipynb", ".inv", ".svg"}
#: Of figures in their own pixels: 928 of a window are their most, in which the least label (12 pixels) has 9.
WIDEST = 1240
NOT_LOADED = {"canonical", "next", "prev", "search", "index", "author", "license"}
#: What no reader of a chapter should meet, whoever printed it.
MISPRINTS = {
    "a plural in brackets": re.compile(r"\w\(s\)"),
    "a zero with a sign": re.compile(r"(?<![\w)])[-\u2212]0(?:\.0+)?(?![\d.]*\d)"),
    "a hyphen for a minus": re.compile(r"(?<![\w)\]./\\-])-\.?\d"),
    "a percentage without its space": re.compile(r"\d%"),
    "a straight apostrophe": re.compile(r"\w'\w"),
}
#: What Python prints of an object that has no better description.
ADDRESS = re.compile(r"\S+ object at 0x[0-9a-f]+")
#: Where words are a machine's.
MACHINE = ["script", "style", "pre", "code", "svg"]


def complaints(layout: Layout) -> list[str]:
    """One line for each missing page, missing item of the paper, load from the network, and undescribed picture."""
    try:
        check_pages(layout.html, layout.pages())
    except BookError as error:
        return [str(error)]
    lines = [line for page in layout.pages() for line in page_complaints(layout.html / f"{page}.html")]
    return [*missing_items(layout), *lines, *traces(layout)]


def traces(layout: Layout) -> Iterator[str]:
    """One line for each file that names a folder of the machine that built the book, or the machine itself."""
    home, host = str(Path.home()), platform.node()
    names = [str(layout.root), *([f"{home}/"] if len(home) > 1 else []), *([host] if len(host) > 7 else [])]
    for path in sorted(layout.html.rglob("*")):
        if path.suffix in TEXTS and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            yield from (f"{path} names {name}, which is of this machine" for name in names if name in text)


def missing_items(layout: Layout) -> Iterator[str]:
    """One line for each entry of ``book/items.yml`` that its page does not show."""
    path = layout.root / "book" / "items.yml"
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else ():
        page = layout.html / f"{entry['page']}.html"
        if not page.is_file() or entry["shows"] not in page.read_text(encoding="utf-8"):
            yield f"{page} does not show {entry['item']} ({entry['shows']!r} is not in it)"


def page_complaints(path: Path) -> Iterator[str]:
    """The lines for one page."""
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    for tag in page.find_all(list(LOADING)):
        address = str(tag.get(LOADING[tag.name], ""))
        if address.startswith(("http:", "https:", "//")) and not NOT_LOADED & set(tag.get_attribute_list("rel")):
            yield f"{path}: <{tag.name}> loads {address} from the network"
    if not page.find("meta", attrs={"http-equiv": "Content-Security-Policy"}):
        yield f"{path}: no Content-Security-Policy"
    if path.parent.name == "notebooks":
        yield from (f"{path}: {line}" for line in misprints(page))
    for found in ADDRESS.findall(page.get_text()):
        yield f"{path}: {found!r} is an address in the memory of the machine that built the book"
    for box in page.select(".plot"):
        width = int(str(box["style"]).partition("--natural: ")[2].partition("px")[0])
        if width > WIDEST:
            yield f"{path}: a figure is {width} pixels wide, and its labels would shrink; {WIDEST} are the most"
    for picture in page.find_all("img"):
        alt = str(picture.get("alt", "")).strip()
        if not alt or FILE_NAME.fullmatch(alt):
            yield f"{path}: the picture {picture.get('src', '')} has no alt text"


def misprints(page: BeautifulSoup) -> Iterator[str]:
    """One line for each number or word of a page's text that is not printed in the form of the book."""
    article = page.find("article") or page
    texts = [
        str(text)
        for text in article.find_all(string=True)
        if not any(parent.name in MACHINE or "math" in parent.get_attribute_list("class") for parent in text.parents)
    ]
    for what, form in MISPRINTS.items():
        for text in texts:
            yield from (f"{what}: {text[max(0, one.start() - 30) : one.end() + 20]!r}" for one in form.finditer(text))
