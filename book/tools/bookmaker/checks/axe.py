"""What axe-core finds on the pages: faults that keep readers out who listen, use keys, or see little contrast.

It is https://github.com/dequelabs/axe-core, under MPL-2.0, and not part of this project: ``nox -s axe`` installs the
version of ``book/tools/axe/package-lock.json`` into the build folder, and the check uses it where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bookmaker.checks.browser import Tab
from bookmaker.layout import Layout

#: Where ``nox -s axe`` puts it, below the build folder.
PLACE = Path("axe/node_modules/axe-core/axe.min.js")
#: Colours are all that differs in the dark.
DARK_RULES = ("color-contrast",)
RUN = """axe.run(document, {options}).then(found => found.violations.flatMap(fault => fault.nodes.map(node =>
  [fault.id, node.target.join(" "), (node.failureSummary || fault.help).split("\\n").slice(1).join("; ").trim()])))"""


def find(layout: Layout) -> str | None:
    """The script, where it has been installed."""
    path = layout.build / PLACE
    return path.read_text(encoding="utf-8") if path.is_file() else None


def complaints(tab: Tab, script: str) -> Iterator[str]:
    """One line for every fault of a loaded page, in light and in dark."""
    tab.evaluate(f"{script};0")
    for theme in ("light", "dark"):
        tab.evaluate(f"document.documentElement.dataset.theme = {theme!r}")
        tab.evaluate("new Promise(done => setTimeout(done, 400))")  # colours that change slowly
        for rule, place, words in tab.evaluate(RUN.replace("{options}", _options(theme))):
            yield f"{rule} ({theme}) at {place}: {words}"


def _options(theme: str) -> str:
    only: dict[str, Any] = {"resultTypes": ["violations"]}
    if theme == "dark":
        only["runOnly"] = {"type": "rule", "values": list(DARK_RULES)}
    return str(only)
