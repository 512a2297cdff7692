"""What is wrong with a page that was loaded in a browser without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bookmaker.checks.browser import Tab

PHONE = 390
LOCAL = {"data", "blob", "about"}
#: Formulas that were left as TeX: text outside of code, with TeX's brackets or environments in it.
UNRENDERED = r"""(() => {
  const found = [], skipped = "script, style, code, pre, textarea, mjx-container";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.data;
    if (/\\[(\[]|\\begin\{/.test(text) && !walker.currentNode.parentElement.closest(skipped))
      found.push(text.trim().slice(0, 60));
  }
  return found;
})()"""
MISSING_PICTURES = "[...document.images].filter(one => !one.naturalWidth).map(one => one.src.slice(0, 200))"
OVERHANG = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def complaints(tab: Tab, html: Path) -> Iterator[str]:
    """One line for each fault, at desktop and at phone width; nothing may come from outside of the folder ``html``."""
    for address in dict.fromkeys(tab.requests):
        if not _is_inside(address, html):
            yield f"asks for {address}, which is not in the book"
    for failure in dict.fromkeys(tab.failures):
        yield f"could not load {failure}"
    for error in dict.fromkeys(tab.errors):
        yield f"has an error in its scripts: {error}"
    for source in tab.evaluate(MISSING_PICTURES):
        yield f"shows no picture where {source} should be"
    for text in tab.evaluate(UNRENDERED):
        yield f"shows a formula as TeX: {text}"
    tab.resize(PHONE)
    overhang = tab.evaluate(OVERHANG)
    if overhang > 0:
        yield f"is {overhang} pixels wider than a phone of {PHONE}"


def _is_inside(address: str, html: Path) -> bool:
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).resolve().is_relative_to(html.resolve())
    return parts.scheme in LOCAL
