"""The page on claims: for each one what the paper did, what this book did, the difference, and what came of it.

One template, filled from :mod:`faiglib.companion.setups`, the criteria, the profiles, the weights' manifest, and the
verdicts of this run and of the recorded one. The recorded tables are staged beside it, so that they can be had as CSV.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bookmaker.finish.sources import EXTRA
from bookmaker.layout import Layout
from bookmaker.pages import places
from bookmaker.pages.scorecard import RECORDED, as_html, chip, recorded, verdict
from faiglib.companion import record
from faiglib.companion.criteria import CLAIMS, GRADES, Claim, Part
from faiglib.companion.page.escaping import as_html as escaped
from faiglib.companion.page.words import listed, percent
from faiglib.companion.profiles import PROFILES
from faiglib.companion.setups import AMOUNTS, RUNS, SETUPS, Setup
from faiglib.companion.verdicts import Kept
from faiglib.images import registry
from faiglib.networks import TITLES

PAGE = "claims.md"
PLACE = "<!-- a box for each claim: book/tools/bookmaker/pages/opposite.py -->"
#: Where the files of the recorded run lie in the finished book.
RECORD = f"record/{RECORDED}"
SAME = "none"


@dataclass(frozen=True)
class Row:
    """One way in which setups can differ.

    Attributes:
        what: In words.
        paper: What the paper has.
        book: What this book has.
        difference: The two held against each other.
    """

    what: str
    paper: str
    book: str
    difference: str


def fill(layout: Layout) -> None:
    """Puts the boxes into the staged page, and the recorded run's files beside it, where the book has the page."""
    places.fill(layout, PAGE, PLACE, lambda: "\n".join(boxes(layout)))
    files = layout.root / "results" / RECORDED
    if (layout.source / PAGE).is_file() and files.is_dir():
        shutil.copytree(files, layout.source / EXTRA / RECORD, ignore=shutil.ignore_patterns(".*"))


def boxes(layout: Layout) -> Iterator[str]:
    """A section for every claim whose chapter the book has, in Markdown and HTML."""
    for letter, claim in CLAIMS.items():
        if claim.page in layout.pages():
            yield f"(what-{letter})="
            yield f"## ({letter}) {as_html(claim.short.removesuffix('.'))}"
            yield ""
            yield box(layout, letter, claim, SETUPS[letter])
            yield ""


def box(layout: Layout, letter: str, claim: Claim, setup: Setup) -> str:
    """The HTML of one claim."""
    run, known = verdict(layout, letter), recorded(layout, letter)
    told = known if (known and known.paper.grades) or not run else run
    parts = [
        ("they did", f"{as_html(setup.did)} <small>({as_html(setup.where)})</small>"),
        ("we did", as_html(setup.ours)),
        ("it would be false if", f"{as_html(setup.falsified)} <small>(in the paper’s own setup)</small>"),
        *((f"so, {name}", _verdicts(one)) for name, one in _runs(run, known)),
        ("see", "; ".join(_links(layout, letter, claim, setup))),
    ]
    terms = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in parts)
    return f'<div class="opposite"><dl>{terms}</dl>{_table(rows(layout, letter, setup, told))}</div>'


def _runs(run: Kept | None, known: Kept | None) -> Iterator[tuple[str, Kept]]:
    if run:
        yield f"in this run (profile {run.profile})", run
    if known:
        yield f"in the recorded run (profile {known.profile})", known


def _verdicts(found: Kept) -> str:
    return f"the paper’s own setup: {_chips(found.paper)}<br>beyond it: {_chips(found.beyond)}"


def _chips(part: Part) -> str:
    names = {grade: [name for name, one in part.grades.items() if one == grade] for grade in GRADES}
    chips = " ".join(chip(grade, ", ".join(of)) for grade, of in names.items() if of)
    return chips or f"{chip('not tested')}<small>{as_html(part.why)}</small>"


def _table(found: Sequence[Row]) -> str:
    cells = "".join(
        f'<tr><th scope="row">{as_html(row.what)}</th><td>{as_html(row.paper)}</td><td>{as_html(row.book)}</td>'
        f"<td>{as_html(row.difference)}</td></tr>"
        for row in found
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("", "the paper", "this book", "difference"))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table>" if cells else ""


def _links(layout: Layout, letter: str, claim: Claim, setup: Setup) -> Iterator[str]:
    module, _, name = setup.code.rpartition(".")
    yield f'<a href="{claim.page}.html">the chapter</a>'
    yield f'<a href="index.html#claim-{letter}">criteria and numbers</a>'
    yield f'code: <a href="_modules/{module.replace(".", "/")}.html#{name}"><code>{escaped(setup.code)}</code></a>'
    folder = layout.root / "results" / RECORDED
    tables = [f"{name}.csv" for name in setup.tables if (folder / f"{name}.csv").is_file()]
    if tables:
        links = ", ".join(f'<a href="{RECORD}/{file}" download>{file.removesuffix(".csv")}</a>' for file in tables)
        yield f"data (CSV): {links}"
    about = {f"verdict_{letter}.json": "verdict", "ro-crate-metadata.json": "what it ran on"}
    there = [f'<a href="{RECORD}/{file}">{words}</a>' for file, words in about.items() if (folder / file).is_file()]
    if there:
        yield f"the recorded run: {', '.join(there)}"


def rows(layout: Layout, letter: str, setup: Setup, kept: Kept | None) -> list[Row]:
    """How the setups of the paper and of a run of this book differ.

    Args:
        layout: The project.
        letter: Of the claim.
        setup: The paper's.
        kept: The verdict of the run; without it, nothing is known of this book's setup.
    """
    if kept is None:
        return []
    if letter == "a":
        from bookmaker.pages.raced import rows as raced

        return [Row(*one) for one in raced(layout.root / "results" / "race")]
    theirs, ours = [TITLES[name] for name in setup.networks], list(kept.paper.grades | kept.beyond.grades)
    found = [Row("networks", listed(theirs), listed(ours), _apart(theirs, ours))]
    found.append(_images(setup, kept))
    found.extend(_training(layout, setup, ours))
    few = {name: kept.pairs[name] for name in ours if name in kept.pairs}
    runs = ", ".join(f"{name} {count}" for name, count in few.items())
    fewer = listed(name for name, count in few.items() if count < RUNS)
    found.append(
        Row("training runs", f"{RUNS} of each", f"that share nothing: {runs}", f"fewer: {fewer}" if fewer else SAME)
    )
    for what in setup.amounts:
        paper, book = (AMOUNTS[what](PROFILES[name]) for name in ("paper", kept.profile))
        found.append(Row(what, paper, book, SAME if paper == book else "less"))
    return found


def _apart(theirs: Iterable[str], ours: Iterable[str]) -> str:
    """Names that one side has and the other has not."""
    theirs, ours = list(theirs), list(ours)
    without = listed(name for name in theirs if name not in ours)
    more = listed(name for name in ours if name not in theirs)
    return "; ".join(filter(None, [without and f"without {without}", more and f"{more} besides"])) or SAME


def _images(setup: Setup, kept: Kept) -> Row:
    """Which sets; a claim whose tables have no column for them was tested on the first."""
    theirs = [registry.title(name) for name in setup.image_sets]
    each = any("image_set" in record.TABLES[name].keys for name in setup.tables)
    ours = kept.image_sets if each else [next((one for one in kept.image_sets if one in theirs), kept.image_sets[0])]
    apart = _apart(theirs if each else [one for one in theirs if one in ours], ours)
    return Row("image sets", listed(theirs, "and" if each else "or"), listed(ours), apart)


def _training(layout: Layout, setup: Setup, titles: Sequence[str]) -> Iterator[Row]:
    """How long the networks were trained, by the manifest of the weights."""
    from faiglib.companion.weights.report import budgets
    from faiglib.networks import zoo
    from faiglib.training.recipe import paper_recipe

    models = layout.root / "models"
    if not (models / zoo.MANIFEST).is_file():
        return
    table = budgets(models)
    ours = table[(table["seed"] != "paper") & table["network"].map(TITLES).isin(titles)]
    for role in ("baseline", "target"):
        found = ours[ours["role"] == role]
        if len(found):
            low, high = found["iterations"].min(), found["iterations"].max()
            span = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            theirs = f"{paper_recipe(setup.networks[0], role).iterations:,} iterations"
            share = f"{percent(found['share'].min(), 1)} of the pixels, or more"
            yield Row(f"training of the {role}", theirs, f"{span} iterations", share)
