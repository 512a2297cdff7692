"""A Content-Security-Policy on every page: scripts of this book alone, so that nothing that data brings in can run.

Pages are read from a disk as well as from a server, so it stands in the page. Scripts come from files of the book; of
those inside a page the theme's run, by hash. What stands in an article is data of the chapters and runs never, but for
the one line that MyST-NB puts there.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag

IN_ARTICLES = frozenset({"kernelName = 'python3'"})
HANDLERS = ("window.print()",)  # of the theme's button
RULES = (
    "default-src 'none'; script-src 'self' file: 'unsafe-hashes' {scripts}; style-src 'self' file: 'unsafe-inline'; "
    "img-src 'self' file: data: blob:; font-src 'self' file: data:; connect-src 'self' file:; base-uri 'none'; "
    "form-action 'self' file:"
)


def add(page: BeautifulSoup) -> None:
    """Puts the policy into the head of a page, in place."""
    if page.head:
        policy = page.new_tag("meta", attrs={"http-equiv": "Content-Security-Policy", "content": rules(page)})
        page.head.insert(0, policy)


def rules(page: BeautifulSoup) -> str:
    """The policy of a page."""
    return RULES.format(
        scripts=" ".join(dict.fromkeys(f"'sha256-{_digest(text)}'" for text in (*own_scripts(page), *HANDLERS)))
    )


def own_scripts(page: BeautifulSoup) -> Iterator[str]:
    """The scripts inside a page that are the theme's."""
    for script in page.find_all("script"):
        text = script.get_text()
        expected = script.find_parent("article") is None or text.strip() in IN_ARTICLES
        if isinstance(script, Tag) and not script.get("src") and _runs(script) and expected:
            yield text


def _runs(script: Tag) -> bool:
    return script.get("type") in (None, "", "text/javascript", "module")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
