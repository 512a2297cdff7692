"""A Sphinx extension: pages are without Thebe, which Jupyter Book adds twice, with an error, and wants the network."""

from __future__ import annotations

from typing import Any


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", _without_thebe, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _without_thebe(_app: Any, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    context["script_files"] = [one for one in context["script_files"] if not _is_thebe(one)]


def _is_thebe(script: Any) -> bool:
    body = getattr(script, "attributes", {}).get("body", "")
    return "THEBE_JS_URL" in body or str(getattr(script, "filename", "")).endswith("sphinx-thebe.js")
