"""A Sphinx extension: the first use of a glossary word on a page leads to the glossary, and a hover explains it."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

PAGE = "glossary"
#: Text inside of these stays as it is.
LEFT_ALONE = (
    nodes.reference,
    nodes.literal,
    nodes.title,
    nodes.math,
    nodes.raw,
    nodes.table,
    nodes.caption,
    nodes.term,
)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-resolved", _link_words)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def definitions(doctree: nodes.document) -> dict[str, tuple[str, str]]:
    """The words of a glossary page: {word: (anchor, explanation)}."""
    found = {}
    for item in doctree.findall(nodes.definition_list_item):
        explanation = " ".join(one.astext() for one in item.findall(nodes.definition))
        for term in item.findall(nodes.term):
            found[term.astext()] = (term["ids"][0], " ".join(explanation.split()))
    return found


def _link_words(app: Any, doctree: nodes.document, page: str) -> None:
    if page == PAGE or page.split("/")[0] == "api" or PAGE not in app.env.found_docs or app.builder.format != "html":
        return
    address = app.builder.get_relative_uri(page, PAGE)
    words = definitions(app.env.get_doctree(PAGE))
    for paragraph in list(doctree.findall(nodes.paragraph)):
        for text in list(paragraph.findall(nodes.Text)):
            if words and not _is_left_alone(text):
                text.parent.replace(text, _linked(text.astext(), words, address))


def _is_left_alone(text: nodes.Text) -> bool:
    parent = text.parent
    while parent is not None:
        if isinstance(parent, LEFT_ALONE) or "sd-card" in parent.get("classes", ()):
            return True
        parent = parent.parent
    return False


def _linked(text: str, words: dict[str, tuple[str, str]], address: str) -> list[nodes.Node]:
    """A text with links at the words that it has; words that were linked are taken out."""
    parts: list[nodes.Node] = []
    while words:
        pattern = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
        match = re.search(rf"\b({pattern})s?\b", text)
        if match is None:
            break
        anchor, explanation = words.pop(match.group(1))
        link = nodes.reference("", match.group(0), internal=True, refuri=f"{address}#{anchor}", reftitle=explanation)
        link["classes"].append("glossary-word")
        parts += [nodes.Text(text[: match.start()]), link]
        text = text[match.end() :]
    return [*parts, nodes.Text(text)]
