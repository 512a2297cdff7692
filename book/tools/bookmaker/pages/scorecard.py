"""Fills the front page: the picture that tells the story, the verdicts, and a row for each item of the paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import nbformat
import yaml

from bookmaker import staleness
from bookmaker.layout import Layout
from bookmaker.pages import places
from faiglib.companion.page.escaping import as_html as escaped
from faiglib.companion.page.words import printed

if TYPE_CHECKING:
    from faiglib.companion.criteria import Claim, Grade, Part
    from faiglib.companion.verdicts import Kept

PAGE = "index.md"
STORY = "<!-- the picture of chapter 3: book/tools/bookmaker/pages/scorecard.py -->"
CLAIMS = "<!-- a row for each claim: book/tools/bookmaker/pages/scorecard.py -->"
QUESTIONS = "<!-- a row for each question of this book: book/tools/bookmaker/pages/scorecard.py -->"
ITEMS = "<!-- a row for each item of the paper: book/tools/bookmaker/pages/scorecard.py -->"
ANCHOR = re.compile(r'id="(fig-[\w-]+)"')

#: A hyphen that ends no line.
NO_BREAK = "\u2011"
#: Profile whose record is shown where this run does not have the paper's images.
RECORDED = "standard"


def as_html(text: str) -> str:
    """Text in the form of the book's pages, as HTML."""
    return escaped(printed(text))


def fill(layout: Layout) -> None:
    """Replaces the marked places in the staged front page, where it has them."""
    places.fill(layout, PAGE, STORY, lambda: glued_html(layout, "03_masking", "story"))
    places.fill(layout, PAGE, CLAIMS, lambda: "".join(claims(layout)))
    places.fill(layout, PAGE, QUESTIONS, lambda: "".join(questions(layout)))
    places.fill(layout, PAGE, ITEMS, lambda: "\n".join(items(layout)))


def glued_html(layout: Layout, chapter: str, name: str) -> str:
    """HTML that an executed chapter has glued, or nothing if it has not been executed."""
    path = layout.executed / f"{chapter}.ipynb"
    if not path.is_file():
        return ""
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            if output.get("metadata", {}).get("scrapbook", {}).get("name") == name:
                return str(next(text for kind, text in output["data"].items() if kind.endswith("text/html")))
    return ""


def verdict(layout: Layout, letter: str) -> Kept | None:
    """The verdict of this run on a claim, or None if its chapter has not been executed."""
    from faiglib.companion.criteria import CLAIMS as KNOWN
    from faiglib.companion.criteria import QUESTIONS as ASKED
    from faiglib.companion.verdicts import read

    execution = staleness.read_execution(layout, {**KNOWN, **ASKED}[letter].page.removeprefix("notebooks/"))
    return read(layout.measured(execution["profile"]), letter) if execution else None


def recorded(layout: Layout, letter: str) -> Kept | None:
    """The verdict of the recorded run."""
    from faiglib.companion.verdicts import read

    return read(layout.root / "results" / RECORDED, letter)


def claims(layout: Layout) -> Iterator[str]:
    """The scorecard as HTML: a row for each claim, which folds out to its criteria and numbers."""
    from faiglib.companion.criteria import CLAIMS as KNOWN

    yield '<div class="scorecard"><div class="row head" aria-hidden="true"><span></span><span>claim</span>'
    yield "<span>the paper’s own setup</span><span>beyond it</span></div>"
    for letter, claim in KNOWN.items():
        if claim.page in layout.pages():
            yield _row(letter, claim, verdict(layout, letter), recorded(layout, letter))
    yield "</div>"


def questions(layout: Layout) -> Iterator[str]:
    """The questions that the paper does not ask, as rows like those of :func:`claims` with one verdict."""
    from faiglib.companion.criteria import QUESTIONS as ASKED

    yield '<div class="scorecard questions"><div class="row head" aria-hidden="true"><span></span><span>question</span>'
    yield "<span>verdict</span></div>"
    for letter, question in ASKED.items():
        if question.page in layout.pages():
            yield _row(letter, question, verdict(layout, letter), None)
    yield "</div>"


def _row(letter: str, claim: Claim, found: Kept | None, known: Kept | None) -> str:
    paper, beyond = (found.paper, found.beyond) if found else (None, None)
    record = known.paper if known and paper and not paper.grades else None
    chapter = claim.page.split("/")[-1].split("_")[0]
    more = _beside(letter) if claim.paper else ""
    return (
        f'<details class="claim" id="claim-{letter}"><summary class="row"><span class="letter">{letter}</span>'
        f"<span>{as_html(claim.short)}</span>"
        f"{_column('The paper’s own setup', _chips(paper, record)) if claim.paper else ''}"
        f"{_column('Beyond it' if claim.paper else 'Verdict', _chips(beyond))}</summary><dl>"
        f"<dt>in full</dt><dd>{as_html(claim.statement)}</dd>"
        f"{_term('the paper’s own setup', claim.paper, paper) if claim.paper else ''}"
        f"{_recorded(known) if known and record else ''}"
        f"{_term('beyond it' if claim.paper else 'what decides', claim.beyond, beyond)}"
        f"<dt>why these limits</dt><dd>{as_html(claim.reason)}</dd><dt>set</dt><dd>{as_html(claim.declared)}</dd>"
        f"{_pairs(found) if found else ''}</dl>"
        f'<p><a href="{claim.page}.html">Chapter {int(chapter)}</a>{more}</p></details>'
    )


def _beside(letter: str) -> str:
    """The link to the box of a claim, see :mod:`bookmaker.pages.opposite`."""
    return f'; <a href="claims.html#what-{letter}">what they did, what we did</a>'


def _column(title: str, chips: str) -> str:
    return f'<span><span class="visually-hidden">{title}: </span>{chips}</span>'


def chip(grade: Grade, of: str = "") -> str:
    """A verdict as a sign that is told by word, icon and outline, and what it is of."""
    names = f' <small class="of">{as_html(of).replace("-", NO_BREAK)}</small>' if of else ""
    return f'<span class="verdict {grade.replace(" ", "-")}">{grade}</span>{names}'


def _chips(part: Part | None, record: Part | None = None) -> str:
    """The verdicts of a setup, best first, each with the networks that it is of."""
    from faiglib.companion.criteria import GRADES

    if part is None:
        return '<small class="why">not executed here</small>'
    names = {grade: [name for name, one in part.grades.items() if one == grade] for grade in GRADES}
    chips = "".join(f"<span>{chip(grade, ', '.join(of))}</span>" for grade, of in names.items() if of)
    if chips:
        return chips
    if record and record.grades:
        return f'<small class="why">{as_html(part.why)}; recorded:</small>{_chips(record)}'
    return f'<span>{chip("not tested")} <small class="why">{as_html(part.why)}</small></span>'


def _term(title: str, criterion: str, part: Part | None) -> str:
    measured = f"<dd>{as_html(part.measured or part.why)}.</dd>" if part else ""
    return f"<dt>{title}</dt><dd>{as_html(criterion)}</dd>{measured}"


def _pairs(found: Kept) -> str:
    """How many pairs that share nothing are behind the verdicts, by network."""
    judged = [name for name in found.pairs if name in found.paper.grades | found.beyond.grades]
    told = ", ".join(f"{name} {found.pairs[name]}" for name in judged)
    return f"<dt>pairs that share nothing</dt><dd>{as_html(told)}</dd>" if told else ""


def _recorded(known: Kept) -> str:
    return (
        f"<dt>recorded, not run here (profile {as_html(known.profile)}, {as_html(', '.join(known.image_sets))})</dt>"
        f"<dd>{as_html(known.paper.measured or known.paper.why)}.</dd>"
    )


def items(layout: Layout) -> Iterator[str]:
    """Where the book has each figure and table of the paper, and what became of the claims it speaks to."""
    yield "| in the paper | in this book | claims, in the paper’s own setup and beyond it |"
    yield "| --- | --- | --- |"
    for entry in yaml.safe_load((layout.root / "book" / "items.yml").read_text(encoding="utf-8")):
        page = entry["page"]
        suffix = "ipynb" if page.startswith("notebooks/") else "md"
        anchor = ANCHOR.search(entry["shows"])
        figure = f"{{numref}}`{anchor.group(1)}` in " if anchor else ""
        found = [_both(letter, verdict(layout, letter)) for letter in entry.get("claims", [])]
        if "measured" in entry:
            found.append(f"{{glue:text}}`{page}.{suffix}::{entry['measured']}:s`")
        yield f"| {entry['item']} | {figure}[]({page}.{suffix}) | {', '.join(found)} |"


def _both(letter: str, found: Kept | None) -> str:
    return f"{letter}: {found.paper.grade}; {found.beyond.grade}" if found else f"{letter}: not executed here"
