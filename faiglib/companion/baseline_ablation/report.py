"""Which baseline, and why eliminate (supp. Fig. 8 and the ablation): two choices that FAIG rests on, taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from faiglib.companion.discovery import BASELINES
from faiglib.companion.masked import side
from faiglib.companion.page.words import listed, seeds_named, typeset
from faiglib.networks import TITLES

#: Mean shift of the gray level (8-bit levels) from which on the brightness counts as broken: one percent of the range,
#: about what an eye notices when two images alternate.
BROKEN_SHIFT = 2.55


def own_and_other(table: pd.DataFrame, cells: list[str]) -> pd.DataFrame:
    """What masking costs on the input that the filters are for and on the other one, mean over images and seeds.

    Args:
        table: from :func:`ablation` or :func:`elimination`.
        cells: columns that tell the rows of the result apart; ``filters`` must be one of them.

    Returns:
        One row per cell: ``drop_own``, ``drop_other`` (gradient-map MSE ×10³), ``lost_own``, ``lost_other`` (dB of
        PSNR against the target), ``shift_own``, ``shift_other`` (mean of the absolute brightness shift of an image,
        8-bit levels), ``signed_own`` (mean brightness shift), ``selectivity`` (``drop_own`` ÷ ``drop_other``).
    """
    values = table.assign(
        side=side(table),
        lost=table["psnr_target"] - table["psnr"],
        shift=table["luminance_shift"].abs(),
        signed=table["luminance_shift"],
    )
    names = ["drop", "lost", "shift", "signed"]
    means = values.groupby([*cells, "side"], sort=False)[names].mean().unstack("side")
    means.columns = [f"{name}_{place}" for name, place in means.columns]
    means["selectivity"] = means["drop_own"] / means["drop_other"]
    order = [f"{name}_{place}" for name in names for place in ("own", "other")]
    return means[[*order, "selectivity"]].drop(columns="signed_other").reset_index()


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """:func:`own_and_other` of :func:`ablation` by ``network``, ``filters``, ``found_with`` and ``replaced_by``."""
    return own_and_other(table, ["network", "filters", "found_with", "replaced_by"])


def elimination_summary(table: pd.DataFrame) -> pd.DataFrame:
    """:func:`own_and_other` of :func:`elimination` by ``network``, ``filters``, ``percent`` and ``method``."""
    return own_and_other(table, ["network", "filters", "percent", "method"])


@typeset
def gallery_caption(names: Sequence[str], kind: str, function: str) -> str:
    """What the pictures of supp. Fig. 8 show, for the pairs of some names, from top to bottom."""
    order = f"from top to bottom {listed(names)}" if len(names) > 1 else names[0]
    return (
        f"{kind.capitalize()} input, 1 % {function} filters masked (supp. Fig. 8, which shows an SRCNN-style network): "
        f"{order}. Left column: references. Brightness is the shift of the mean gray level against the target's "
        "output, in 8-bit levels. Photograph: scikit-image."
    )


@dataclass(frozen=True)
class Cost:
    """PSNR that masking costs, and what it was measured on.

    Attributes:
        place: of the book that shows it.
        lost: dB.
        found_on: images that the filters were found on, in words.
        measured_on: images that it was measured on, in words.
    """

    place: str
    lost: float
    found_on: str
    measured_on: str


@typeset
def reconciled(costs: Sequence[Cost], what: str, seeds: Sequence[int]) -> str:
    """Why one quantity has the values it has in different places of the book.

    Args:
        costs: the values; those that were made in the same way count as one.
        what: the quantity, as the beginning of a sentence.
        seeds: of the pairs, the same for all.
    """
    ways: dict[tuple[str, str], list[Cost]] = {}
    for cost in costs:
        ways.setdefault((cost.found_on, cost.measured_on), []).append(cost)
    pairs = f"the pair with {seeds_named(seeds)}" if len(seeds) == 1 else f"the pairs with {seeds_named(seeds)}"
    if len(ways) == 1:
        (found, measured), same = next(iter(ways.items()))
        return (
            f"{what} comes to {same[0].lost:.2f} dB, in {listed(one.place for one in same)} alike: filters found on "
            f"{found}, measured on {measured}, for {pairs}."
        )
    told = "; ".join(
        f"{same[0].lost:.2f} dB in {listed(one.place for one in same)} (filters found on {found}, measured on "
        f"{measured})"
        for (found, measured), same in ways.items()
    )
    return (
        f"{what} has {len(ways)} values in this book, because it depends on the images that the filters are found on "
        f"and on those that it is measured on: {told}. All are for {pairs}."
    )


@dataclass(frozen=True)
class BaselineVerdict:
    """Claim (h) in numbers; a cell is one network and one function.

    Attributes:
        cells: how many.
        finding_won: cells in which the filters found with θ̄_bilinear have the largest drop on their own input, all
            replaced by θ̄_bilinear.
        by_network: {network: (cells won, cells)} of ``finding_won``.
        finding_least, finding_median: that drop over the best of the other two baselines', by cell.
        replacing_won: cells in which replacing by θ̄_bilinear shifts the brightness least, all found with θ̄_bilinear.
        shifts: {replaced by: mean absolute brightness shift on the own input, 8-bit levels}.
        broken: {replaced by: cells in which the shift is at least :data:`BROKEN_SHIFT`}.
        lost_other: {replaced by: mean PSNR in dB lost on the input that should not suffer}.
    """

    cells: int
    finding_won: int
    by_network: dict[str, tuple[int, int]]
    finding_least: float
    finding_median: float
    replacing_won: int
    shifts: dict[str, float]
    broken: dict[str, int]
    lost_other: dict[str, float]

    @property
    @typeset
    def finding_sentence(self) -> str:
        """What came out about finding, in words."""
        if self.finding_won == self.cells:
            start = f"The trained baseline finds the filters that matter most in all {self.cells} cells"
        elif self.finding_won:
            start = (
                f"The trained baseline finds the filters that matter most in {self.finding_won} of {self.cells} cells"
            )
        else:
            start = f"The trained baseline finds the filters that matter most in none of the {self.cells} cells"
        told = ", ".join(f"{TITLES[name]} {won} of {cells}" for name, (won, cells) in self.by_network.items())
        return (
            f"{start} (network × function): {told}. The drop of its filters is {self.finding_median:.1f} times that of "
            f"the better of the other two in the median cell and {self.finding_least:.2g} times in the worst."
        )

    @property
    @typeset
    def replacing_sentence(self) -> str:
        """What came out about replacing, in words."""
        shifts = [f"{self.shifts[name]:.1f}" for name in BASELINES]
        bad = [name for name in ("random", "zero") if self.broken[name] == self.cells]
        some = [name for name in ("random", "zero") if 0 < self.broken[name] < self.cells]
        parts = [
            f"Replacements from the bilinear baseline shift the brightness by {shifts[0]} levels on average, "
            f"those from the random one by {shifts[1]}, from the zero one by {shifts[2]}; the bilinear one shifts it "
            f"least in {self.replacing_won} of {self.cells} cells."
        ]
        if bad:
            parts.append(f"Every cell is broken by {_names(bad)}.")
        if some:
            counted = " and ".join(f"{name}: {self.broken[name]} of {self.cells}" for name in some)
            parts.append(f"Some cells are broken ({counted}).")
        if not bad and not some:
            parts.append("In no cell does the random or the zero baseline break it.")
        if self.broken["bilinear"]:
            parts.append(f"The bilinear baseline itself breaks {self.broken['bilinear']} of {self.cells} cells.")
        lost = [f"{self.lost_other[name]:.2f}" for name in BASELINES]
        parts.append(
            f"The input that should not suffer loses {lost[0]}, {lost[1]} and {lost[2]} dB, in the same order."
        )
        parts.append(f"Broken means a mean shift of at least {BROKEN_SHIFT:g} levels, one percent of the range.")
        return " ".join(parts)


def _names(names: list[str]) -> str:
    return f"the {' and the '.join(names)} baseline"


def baseline_verdict(cells: pd.DataFrame) -> BaselineVerdict:
    """Compare the baselines in :func:`summary`."""

    def wide(fixed: str, varied: str, value: str) -> pd.DataFrame:
        rows = cells[cells[fixed] == "bilinear"]
        return rows.pivot_table(index=["network", "filters"], columns=varied, values=value, sort=False)

    found = wide("replaced_by", "found_with", "drop_own")
    ratio = found["bilinear"] / found.drop(columns="bilinear").max(axis=1)
    shift = wide("found_with", "replaced_by", "shift_own")
    lost = wide("found_with", "replaced_by", "lost_other")
    won = ratio >= 1
    return BaselineVerdict(
        cells=len(found),
        by_network={
            str(name): (int(cells.sum()), len(cells)) for name, cells in won.groupby(level="network", sort=False)
        },
        finding_won=int(won.sum()),
        finding_least=float(ratio.min()),
        finding_median=float(ratio.median()),
        replacing_won=int((shift["bilinear"] <= shift.drop(columns="bilinear").min(axis=1)).sum()),
        shifts={name: float(shift[name].mean()) for name in BASELINES},
        broken={name: int((shift[name] >= BROKEN_SHIFT).sum()) for name in BASELINES},
        lost_other={name: float(lost[name].mean()) for name in BASELINES},
    )


@dataclass(frozen=True)
class EliminationVerdict:
    """Claim (i) in numbers; a cell is one network, function and proportion.

    Attributes:
        cells: how many.
        more_selective: cells in which the own-input drop over the other-input drop is larger with elimination.
        gain: median over cells of that ratio with elimination over the ratio without.
        kept: median over cells of the own-input drop with elimination over the one without.
        selectivity_with, selectivity_without: medians over cells of own-input drop ÷ other-input drop.
        lost_other_with, lost_other_without: mean PSNR in dB lost on the other input.
    """

    cells: int
    more_selective: int
    gain: float
    kept: float
    selectivity_with: float
    selectivity_without: float
    lost_other_with: float
    lost_other_without: float

    @property
    @typeset
    def sentence(self) -> str:
        """What came out, in words."""
        price = (
            f"The drop on the own input is {self.kept:.2f} times what it is without elimination"
            if self.kept < 1
            else f"The drop on the own input does not suffer ({self.kept:.2f} times what it is without elimination)"
        )
        return (
            f"With elimination the filters are more selective in {self.more_selective} of {self.cells} cells "
            f"(network × function × proportion): the ratio of the two drops is {self.selectivity_with:.1f} instead of "
            f"{self.selectivity_without:.1f} in the median cell, and masking costs the other input "
            f"{self.lost_other_with:.2f} dB instead of {self.lost_other_without:.2f} dB on average. {price}, median "
            f"over cells."
        )


def elimination_verdict(cells: pd.DataFrame) -> EliminationVerdict:
    """Compare the two variants in :func:`elimination_summary`."""
    index = ["network", "filters", "percent"]
    values = ["selectivity", "drop_own", "lost_other"]
    wide = cells.pivot_table(index=index, columns="method", values=values, sort=False)
    gain = wide["selectivity", "with"] / wide["selectivity", "without"]
    return EliminationVerdict(
        cells=len(wide),
        more_selective=int((gain > 1).sum()),
        gain=float(gain.median()),
        kept=float((wide["drop_own", "with"] / wide["drop_own", "without"]).median()),
        selectivity_with=float(wide["selectivity", "with"].median()),
        selectivity_without=float(wide["selectivity", "without"].median()),
        lost_other_with=float(wide["lost_other", "with"].mean()),
        lost_other_without=float(wide["lost_other", "without"].mean()),
    )
