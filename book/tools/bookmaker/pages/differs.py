"""The page on why numbers differ, and the tolerances, both from the record of :mod:`bookmaker.records.rounding`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bookmaker.errors import BookError
from bookmaker.layout import Layout
from bookmaker.pages import places
from bookmaker.records.kernels import FOLDER, NUMBERS, PERCENTS, RANKINGS, RUN
from bookmaker.records.kernels import SETTINGS as KNOWN
from faiglib.companion import paper, record
from faiglib.companion.page.escaping import as_markdown
from faiglib.companion.page.words import counted, listed, number, percent, printed
from faiglib.companion.record import Quantity
from faiglib.filters.index import FilterIndex
from faiglib.images import registry
from faiglib.networks import TITLES, build
from faiglib.system import provenance
from faiglib.system.documents import DocumentError, read_json

if TYPE_CHECKING:
    import pandas as pd

PAGE = "why_numbers_differ.md"
SETTINGS = "<!-- tables with other kernels: book/tools/bookmaker/pages/differs.py -->"
ORDER = "<!-- rankings with other kernels: book/tools/bookmaker/pages/differs.py -->"
ALLOWED = "<!-- tolerances that follow: book/tools/bookmaker/pages/differs.py -->"
#: Times the largest change that was measured: there are more pairs, image sets and kernels than were measured.
MARGIN = 2
#: Two units of the last of the six digits that a record keeps.
KEPT = 2e-5
#: Quantities that move by whole filters.
COUNTED = ("share", "depth")


@dataclass(frozen=True)
class Recorded:
    """The record.

    Attributes:
        run: What made it, see :func:`bookmaker.records.rounding.make`.
        numbers: From :func:`bookmaker.records.rounding.numbers`.
        rankings: From :func:`bookmaker.records.rounding.rankings`.
    """

    run: dict[str, Any]
    numbers: pd.DataFrame
    rankings: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """Of the settings, what all others are held against first."""
        return [one["name"] for one in self.run["settings"]]

    def others(self, arithmetic: str) -> list[str]:
        """Names of the settings of an arithmetic but the first and its repetition."""
        return [one["name"] for one in self.run["settings"][2:] if one["arithmetic"] == arithmetic]

    def changes(self, name: str) -> pd.Series:
        """By how much each number differs from the first setting's; NaN where it was not measured."""
        return (self.numbers[name] - self.numbers[self.names[0]]).abs()

    @property
    def smallest_set(self) -> int:
        """How many filters 1 % of the smallest network are."""
        return min(FilterIndex.of(build(network)).total // 100 for network, _ in self.run["pairs"])

    def size(self, title: str) -> float:
        """The largest number of a quantity in the first setting, without its sign."""
        return float(self.numbers.loc[self.numbers["quantity"] == title, self.names[0]].abs().max())

    def largest(self, title: str, names: list[str]) -> float:
        """The largest change of a quantity in some settings; NaN where they have none of it."""
        chosen = self.numbers["quantity"] == title
        return max((self.changes(name)[chosen].max() for name in names), default=math.nan)


def read(layout: Layout) -> Recorded | None:
    """The record of a project, or None if it has none.

    Raises:
        BookError: It cannot be read.
    """
    import pandas as pd

    folder = layout.root / "results" / FOLDER
    if not (folder / RUN).is_file():
        return None
    try:
        run = read_json(folder / RUN, dict[str, Any])
        return Recorded(run, pd.read_csv(folder / NUMBERS), pd.read_csv(folder / RANKINGS))
    except (OSError, DocumentError, ValueError) as error:
        raise BookError(f"the record {folder} cannot be read: {error}") from None


def tolerances(layout: Layout) -> dict[str, Quantity]:
    """By how much numbers may differ from the recorded run's.

    Of what was measured with other kernels: :data:`MARGIN` times the largest change by kernels of the same arithmetic,
    and at least the smallest step that can be seen: two units of the last digit that a record keeps, or one filter of
    the smallest set. Of the rest what :data:`faiglib.companion.record.QUANTITIES` declares.
    """
    found = read(layout)
    if found is None:
        return dict(record.QUANTITIES)
    limits = {}
    for key, one in record.QUANTITIES.items():
        moved = found.largest(one.title, found.others("float32"))
        if math.isnan(moved):
            limits[key] = one
        else:
            step = 1 / found.smallest_set if key in COUNTED else KEPT * found.size(one.title)
            limits[key] = replace(one, absolute=_rounded_up(max(MARGIN * moved, step)), relative=KEPT)
    return limits


def _rounded_up(value: float) -> float:
    """A number with one digit that is not smaller."""
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(round(value / power, 6)) * power:.6g}")


def fill(layout: Layout) -> None:
    """Puts tables and sentences into the staged page, where the book has it."""
    found = read(layout)
    for place, make in ((SETTINGS, settings), (ORDER, order), (ALLOWED, allowed)):

        def text(make: Any = make) -> str:
            return "There is no record here." if found is None else "\n".join(make(layout, found))

        places.fill(layout, PAGE, place, text)


def settings(layout: Layout, found: Recorded) -> Iterator[str]:
    """What was measured, by which settings, and how many numbers moved how far."""
    names = listed(TITLES[network] for network, _ in found.run["pairs"])
    sets = listed(registry.title(name) for name in found.run["image_sets"])
    tables = listed(found.numbers["table"].unique())
    yield printed(
        f"Measured: the tables {tables} in the budget of the profile {found.run['profile']}, for the first pair of "
        f"{names} each, on {sets}; {counted(len(found.numbers), 'number')} in six digits, by "
        f"{as_markdown(provenance.in_words(found.run['made_on']))}."
    )
    yield ""
    yield "| setting | chosen by | numbers that changed | largest change, in tolerances |"
    yield "| --- | --- | --- | --- |"
    limits = {one.title: one for one in tolerances(layout).values()}
    for one in found.run["settings"][1:]:
        changes = found.changes(one["name"])
        cells = (as_markdown(one["name"]), _chosen_by(one), f"{int((changes > 0).sum())} of {changes.notna().sum()}")
        yield f"| {' | '.join(cells)} | {number(_in_tolerances(found, changes, limits), '.2g')} |"
    yield ""
    yield printed(_lacking(found))


def _chosen_by(setting: dict[str, Any]) -> str:
    parts = [f"`{name}={value}`" for name, value in setting["variables"].items()]
    parts += [counted(setting["threads"], "thread")] if setting["threads"] > 1 else []
    parts += [setting["arithmetic"]] if setting["arithmetic"] != "float32" else []
    return ", ".join(parts) or "nothing"


def _in_tolerances(found: Recorded, changes: pd.Series, limits: dict[str, Quantity]) -> float:
    usual = found.numbers[found.names[0]].abs()
    given = found.numbers["quantity"].map(limits)
    allowed = [max(one.absolute, one.relative * value) for one, value in zip(given, usual, strict=True)]
    return float((changes / allowed).max())


def _lacking(found: Recorded) -> str:
    """What was left out since the processor does not have it, and what is not in the record at all."""
    missing = [f"{name} ({listed(needed)})" for name, needed in found.run["lacking"].items()]
    known = {*found.names, *found.run["lacking"]}
    unmeasured = [one.name for one in KNOWN if one.name not in known]
    told = "The processor has all kernels that these settings name."
    if missing:
        told = f"Left out, since the processor lacks what they need: {as_markdown(listed(missing))}."
    return f"{told} Not in this record: {as_markdown(listed(unmeasured))}." if unmeasured else told


def order(_: Layout, found: Recorded) -> Iterator[str]:
    """How much of the rankings stays, by arithmetic, network and method."""
    heads = [f"best {share} % in common" for share in PERCENTS]
    yield f"| arithmetic | network | ranking | {' | '.join(heads)} | rank correlation |"
    yield f"| --- | --- | --- | {' | '.join('---' for _ in heads)} | --- |"
    for arithmetic in ("float32", "bfloat16"):
        rows = found.rankings[found.rankings["setting"].isin(found.others(arithmetic))]
        for (network, method), group in rows.groupby(["network", "method"], sort=False):
            least = [percent(group[f"common_{share}"].min(), 1) for share in PERCENTS]
            cells = [arithmetic, TITLES[str(network)], paper.METHODS[str(method)], *least]
            yield f"| {' | '.join(cells)} | {number(group['spearman'].min(), '.6f')} |"
    yield ""
    yield "Each number is the least of all settings of that arithmetic and of both functions."


def allowed(layout: Layout, found: Recorded) -> Iterator[str]:
    """The largest change of each quantity, and what is allowed."""
    yield "| quantity | other kernels, at most | bfloat16, at most | allowed in the comparison with the record |"
    yield "| --- | --- | --- | --- |"
    for one in tolerances(layout).values():
        moved = [number(found.largest(one.title, found.others(kind)), ".2g") for kind in ("float32", "bfloat16")]
        share = f" or {number(one.relative, '.2g')} of it" if one.relative else ""
        yield f"| {as_markdown(one.title)} | {moved[0]} | {moved[1]} | {number(one.absolute, '.2g')}{share} |"
