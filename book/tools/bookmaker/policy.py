"""A Content-Security-Policy on every page: scripts of this book alone, so that nothing that data brings in can run.

Pages are read from a disk as well as from a server, so it stands in the page. Scripts come from files of the book; of
those inside a page the theme's run, by hash. What stands in an article is data of the chapters and runs never, but for
the one line that MyST-NB puts there.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from bookmaker.offline import pages
from faiglib.system.files import write_text_atomic

IN_ARTICLES = frozenset({"kernelName = 'python3'"})
HANDLERS = ("window.print()",)  # of the theme's button
RULES = (
    "default-src 'none'; script-src 'self' file: 'unsafe-hashes' {scripts}; style-src 'self' file: 'unsafe-inline'; "
    "img-src 'self' file: data: blob:; font-src 'self' file: data:; connect-src 'self' file:; base-uri 'none'; "
    "form-action 'self' file:"
)


def add(html: Path) -> None:
    """Puts the policy into every page of a folder."""
    for path in pages(html):
        page = path.read_text(encoding="utf-8")
        before, head, after = page.partition("<head>")
        if head:
            write_text_atomic(path, f"{before}{head}\n{meta(page)}{after}")


def meta(page: str) -> str:
    """The element for a page."""
    scripts = " ".join(dict.fromkeys(f"'sha256-{_digest(text)}'" for text in (*own_scripts(page), *HANDLERS)))
    return f'<meta http-equiv="Content-Security-Policy" content="{RULES.format(scripts=scripts)}">'


def own_scripts(page: str) -> Iterator[str]:
    """The scripts inside a page that are the theme's."""
    for script in BeautifulSoup(page, "html.parser").find_all("script"):
        text = script.get_text()
        expected = script.find_parent("article") is None or text.strip() in IN_ARTICLES
        if isinstance(script, Tag) and not script.get("src") and _runs(script) and expected:
            yield text


def _runs(script: Tag) -> bool:
    return script.get("type") in (None, "", "text/javascript", "module")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
