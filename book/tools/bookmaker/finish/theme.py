"""Mends what Sphinx and its theme leave out for readers who listen, and numbers the chapters in the navigation."""

from __future__ import annotations

import re

from bs4 import BeautifulSoup, Tag

CHAPTER = re.compile(r"(?:^|/)(\d\d)_\w+\.html")


def mend(page: BeautifulSoup) -> None:
    """Mends a page, in place."""
    _name_controls(page)
    _name_regions(page)
    _mend_lists(page)
    _number_chapters(page)


def _name_controls(page: BeautifulSoup) -> None:
    """What is written on a control is part of its name, and no control is without one."""
    for button in page.select("button.search-button-field, details.hide > summary[aria-label]"):
        del button["aria-label"]
    for icon in page.select("button.theme-switch-button [title]"):  # would become text beside the button's name
        del icon["title"]
    for summary in page.select("nav li > details > summary"):
        link = summary.find_parent("li").find("a")  # type: ignore[union-attr]
        if not summary.get_text(strip=True) and link:
            summary["aria-label"] = f"Pages below {link.get_text(strip=True)}"


def _name_regions(page: BeautifulSoup) -> None:
    """Title and search are in a landmark as well as the table of contents below them."""
    for sidebar in page.select("div.bd-sidebar-primary"):
        sidebar["role"] = "complementary"
        sidebar["aria-label"] = "Book"


def _mend_lists(page: BeautifulSoup) -> None:
    """Lists hold items, and what is no list is not said to be one."""
    for inner in page.select("ul > ul"):  # in the list of modules
        before = inner.find_previous_sibling("li")
        if before:
            before.append(inner.extract())
    for entry in page.select(".citation-list, .citation-list [role]"):
        del entry["role"]
    for lines in page.find_all("dl"):  # of a long signature
        children = lines.find_all(["dt", "dd"], recursive=False)
        if children and not any(child.name == "dt" for child in children):
            lines.name, lines["class"] = "span", "signature-lines"
            for child in children:
                child.name = "span"


def _number_chapters(page: BeautifulSoup) -> None:
    """Chapters have the number of their file in the table of contents and in the links to the next and last page."""
    for link in page.select("nav.bd-links a.reference, .prev-next-area a"):
        number = CHAPTER.search(str(link.get("href", ""))) or _of_this_page(page, link)
        words = link.select_one(".prev-next-title") or link
        if number:
            text = page.new_tag("span", attrs={"class": "chapter-number"})
            text.string = str(int(number.group(1)))
            words.insert(0, text)
            text.insert_after(" ")


def _of_this_page(page: BeautifulSoup, link: Tag) -> re.Match[str] | None:
    """The page's own entry leads to ``#``; the button that downloads its source says which one it is."""
    source = page.select_one('a[href*="_sources/"]')
    if link.get("href") != "#" or source is None:
        return None
    return re.search(r"/(\d\d)_\w+\.ipynb", str(source["href"]))
