"""A number and its unit stay on one line, in prose as in what is computed."""

from __future__ import annotations

import re

from bs4 import BeautifulSoup, NavigableString

#: Where words are no prose.
LEFT_ALONE = {"code", "pre", "script", "style", "svg", "math", "textarea", "title"}
#: A space between a number, which may be in an element of its own, and its unit.
GAP = re.compile(r"(?:(?<=\d)|^) (?=(?:%|dB|GiB|MiB|GB|MB)(?!\w))")


def keep_units(page: BeautifulSoup) -> None:
    """Puts spaces that do not break between numbers and units of a page, in place."""
    for text in page.find_all(string=GAP):
        if type(text) is NavigableString and not any(above.name in LEFT_ALONE for above in text.parents):
            text.replace_with(NavigableString(GAP.sub("\N{NO-BREAK SPACE}", text)))
