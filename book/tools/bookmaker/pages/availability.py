"""The page on data: every image set with its origin, terms, version and digest, and what the book does with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bookmaker.layout import Layout
from bookmaker.pages import places
from faiglib.companion.page.escaping import as_markdown
from faiglib.companion.prediction import roles
from faiglib.companion.profiles import PROFILES
from faiglib.companion.workbench import TRAINED_ON
from faiglib.images import bundles, origins, registry

PAGE = "data_availability.md"
PLACE = "<!-- image sets and their terms: book/tools/bookmaker/pages/availability.py -->"


def fill(layout: Layout) -> None:
    """Puts the sets into the staged page on data, where the book has one."""
    places.fill(layout, PAGE, PLACE, lambda: "\n".join(sections()))


def sections() -> Iterator[str]:
    """A section for every set, in Markdown."""
    for name in registry.NAMES:
        yield f"## {as_markdown(registry.title(name))}"
        yield ""
        yield "| | |"
        yield "| --- | --- |"
        for what, words in facts(name):
            yield f"| {what} | {words} |"
        yield ""


def facts(name: str) -> Iterator[tuple[str, str]]:
    """What there is to say of a set: (what, words in Markdown)."""
    terms = registry.TERMS[name]
    yield "origin", as_markdown(terms.origin)
    yield f"terms, as [its origin]({terms.page}) has them", as_markdown(terms.stated)
    yield "who may hand it on", as_markdown(terms.redistribute)
    files = registry.registered_files(name)
    if files:
        sources = sorted({(file.repository, file.commit) for file in files})
        repositories = (
            f"[{repository}](https://github.com/{repository}/tree/{commit}) at `{commit[:12]}`"
            for repository, commit in sources
        )
        yield "fetched from", ", ".join(repositories)
        first, *others = origins.REGISTERED
        if first.bundle and len(files) >= bundles.MANY * len(sources):
            where = ", ".join(f"<{address}>" for address in dict.fromkeys(map(first.bundle, files)))
            yield "in one archive, where many are missing", where
        yield "else from", f"{as_markdown(', '.join(one.title for one in others))}, file by file"
        size = sum(file.bytes for file in files) / 1e6
        yield "size", f"{len(files)} files, {size:.1f} MB"
        yield "sha256 of the list of all sha256", f"`{digest(name)}`"
    elif name == "skimage":
        yield "comes with", f"scikit-image, {len(registry.SKIMAGE)} photographs"
    else:
        yield "fetched from", "nowhere: it is used where a reader has it, in a folder named by `FAIGLIB_DATA`"
    yield "what the book does with it", as_markdown(use_of(name))


def digest(name: str) -> str:
    """The sha256 of the lines "sha256  path" of a set's files, as ``sha256sum`` prints them, sorted by path."""
    files = sorted(registry.registered_files(name), key=lambda file: file.path)
    text = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()


def use_of(name: str) -> str:
    """What pages show and measure of a set."""
    measured = [profile.name for profile in PROFILES.values() if name in profile.image_sets]
    told = [f"tables and curves in the profiles {', '.join(measured)}"] if measured else []
    if name == TRAINED_ON:
        told.append("training in chapters 1 and 4, and of the shipped weights")
    if name in roles.SETS:
        told.append("prediction in chapter 6")
    if name == "skimage":
        stand_in = "measured in the profile quick, and in the others where none of the paper's sets is there"
        return f"pictures and sliders of every page; {stand_in}"
    return f"{'; '.join(told) or '“faiglib train --data” takes it'}. No picture of it is shown"
