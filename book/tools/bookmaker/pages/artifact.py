"""What the checklist and the page on badges say that a run or the record decides: costs, and claims by verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bookmaker import crew
from bookmaker.layout import Layout
from bookmaker.pages import drift, limits, places
from bookmaker.pages.scorecard import RECORDED, recorded
from faiglib.companion.page.escaping import as_markdown
from faiglib.companion.page.words import DASH, counted, number, printed

CHECKLIST, BADGES = "checklist.md", "badges.md"
COST = "<!-- what the recorded run cost: book/tools/bookmaker/pages/artifact.py -->"
CLAIMS = "<!-- claims by their recorded verdict: book/tools/bookmaker/pages/artifact.py -->"


def fill(layout: Layout) -> None:
    """Puts costs and claims into the staged pages, where the book has them."""
    places.fill(
        layout, CHECKLIST, COST, lambda: "\n".join([cost(layout), "", *limits.table(layout), "", *by_chapter(layout)])
    )
    places.fill(layout, BADGES, CLAIMS, lambda: "\n".join(claims(layout)))


def cost(layout: Layout) -> str:
    """Time and memory of the notebooks of the recorded run, in a sentence."""
    known = drift.costs(layout, RECORDED)
    missing = [name for name in layout.notebooks() if name not in known]
    if not known:
        return f"The recorded run (profile {RECORDED}) does not say what it cost."
    memory = [cost["memory_gib"] for cost in known.values() if cost.get("memory_gib")]
    took = crew.duration(sum(cost["seconds"] for cost in known.values()))
    most = f", and at most {max(memory):.1f} GiB of memory at a time for one of them" if memory else ""
    left_out = f" It does not say so of {counted(len(missing), 'notebook')} of the book." if missing else ""
    notebooks = counted(len(known), "notebook")
    return printed(f"In the recorded run (profile {RECORDED}), {notebooks} took {took}, added up{most}.{left_out}")


def by_chapter(layout: Layout, profiles: tuple[str, ...] = ("quick", "standard")) -> Iterator[str]:
    """What every notebook of the recorded runs took, in Markdown; nothing where no record says so."""
    costs = {name: drift.costs(layout, name) for name in profiles}
    told = [name for name in profiles if costs[name]]
    if not told:
        return
    heads = (f"{name}: {what}" for name in told for what in ("minutes", "gradients", "megapixels"))
    yield f"| chapter | {' | '.join(heads)} |"
    yield f"| --- |{' ---: |' * 3 * len(told)}"
    for name in layout.notebooks():
        cells = (cell for profile in told for cell in _cells(costs[profile].get(name, {})))
        yield f"| [](notebooks/{name}.ipynb) | {' | '.join(cells)} |"


def _cells(cost: Mapping[str, Any]) -> tuple[str, str, str]:
    """Minutes, gradients of attribution and their pixels in millions; a dash for what is not recorded."""
    wanted = (("seconds", 60, ".1f"), ("gradients", 1, ",.0f"), ("pixels", 1e6, ".1f"))
    minutes, gradients, pixels = (
        number(cost[key] / unit, form) if isinstance(cost.get(key), int | float) else DASH for key, unit, form in wanted
    )
    return minutes, gradients, pixels


def claims(layout: Layout) -> Iterator[str]:
    """A Markdown table of the paper's claims with the recorded verdicts in the paper's own setup."""
    from faiglib.companion.criteria import CLAIMS as KNOWN

    yield "| claim | in the paper’s own setup, recorded run | so |"
    yield "| --- | --- | --- |"
    for letter, claim in KNOWN.items():
        found = recorded(layout, letter)
        grades = found.paper.grades if found else {}
        told = ", ".join(f"{grade}: {network}" for network, grade in grades.items()) or "not tested"
        so = _conclusion(list(grades.values()))
        yield f"| ({letter}) {as_markdown(printed(claim.short))} | {as_markdown(told)} | {so} |"


def _conclusion(grades: list[str]) -> str:
    if not grades or set(grades) == {"not tested"}:
        return "nothing can be said"
    if set(grades) == {"held"}:
        return "replicated"
    return "replicated in part" if {"held", "partly"} & set(grades) else "not replicated"
