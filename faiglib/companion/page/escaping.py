"""Words of others in a page: what they say is shown, never obeyed.

Machine names of a manifest, names of images, cells of a recorded table: whoever puts them into HTML or Markdown takes
them through here, or through a :class:`~pandas.io.formats.style.Styler` of
:func:`faiglib.companion.page.tables.styled`.
"""

from __future__ import annotations

import html
import json
import re

#: Punctuation that begins, ends or separates anything in Markdown, in MyST's extensions of it or in its tables.
_PUNCTUATION = re.compile(r"([!-+\-.:<=>@\[-`{-~])")


def as_html(value: object) -> str:
    """What ``value`` says, as text in HTML or in a quoted attribute."""
    return html.escape(str(value))


def as_markdown(value: object) -> str:
    """What ``value`` says, in one line of Markdown: CommonMark reads any punctuation behind a backslash as itself."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(str(value).split()))


def as_json(data: object) -> str:
    """JSON for a script element, which nothing in it can end or turn into a comment.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")
