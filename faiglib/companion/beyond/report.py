"""What the paper does not ask: has the integral converged, do the released variants matter, is the ranking stable?"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE
from faiglib.companion import paper
from faiglib.companion.beyond.agreement import StabilityVerdict
from faiglib.companion.beyond.integration import FINEST, NODES
from faiglib.companion.beyond.measure import DETAILS, VARIANTS
from faiglib.companion.discovery import DEFAULT, RELEASED, TOLERANCE
from faiglib.companion.masked import own_drops
from faiglib.companion.page.words import typeset
from faiglib.images.degradations import FUNCTIONS


def nodes_needed(table: pd.DataFrame) -> pd.DataFrame:
    """For each rule the fewest nodes that choose the top 1 % at least as faithfully as the released rule.

    Args:
        table: from :func:`convergence`.

    Returns:
        One row per rule: ``rule``, ``nodes`` (NaN where none of those tried does), ``overlap`` with the reference (mean
        over networks, seeds and functions), ``spearman``, ``error_percent``.
    """
    tried = table[~table["reference"]]
    means = tried.groupby(["rule", "nodes"], sort=False)[["overlap", "spearman", "error_percent"]].mean()
    least = means.loc[RELEASED, "overlap"] - TOLERANCE
    rows = []
    for rule in NODES:
        enough = means.loc[rule]
        enough = enough[enough["overlap"] >= least].sort_index()
        row = enough.iloc[0].to_dict() if len(enough) else {}
        rows.append({"rule": rule, "nodes": float(enough.index[0]) if len(enough) else float("nan"), **row})
    return pd.DataFrame(rows, columns=["rule", "nodes", "overlap", "spearman", "error_percent"])


@dataclass(frozen=True)
class DefaultVerdict:
    """The library's rule against the released one; a cell is one network, seed and function.

    Attributes:
        cells: how many.
        as_good: cells in which the default's overlap with the reference is at most :data:`TOLERANCE` smaller.
        overlap_default, overlap_released: mean overlaps of the top 1 % with the reference.
        spearman_default, spearman_released: mean rank correlations with the reference.
        error_default, error_released: mean completeness errors, percent of the change of the loss.
        error_reference: that of the reference.
        resolution: share of the top 1 % in which the reference and :data:`FINEST` differ. They are the best resolved
            and have few nodes in common, so that smaller differences say little.
    """

    cells: int
    as_good: int
    overlap_default: float
    overlap_released: float
    spearman_default: float
    spearman_released: float
    error_default: float
    error_released: float
    error_reference: float
    resolution: float

    @property
    def faithful(self) -> bool:
        """Whether the default chooses the top 1 % at least as faithfully as the released rule, in every cell."""
        return self.as_good == self.cells

    @property
    @typeset
    def sentence(self) -> str:
        """The verdict in words."""
        name = f"{DEFAULT_RULE} with {DEFAULT_NODES} nodes"
        if self.faithful:
            start = f"the default ({name}) **is at least as faithful** as the released rule (left, 100 nodes)"
            where = f"in all {self.cells} cells"
        elif self.overlap_default >= self.overlap_released - TOLERANCE:
            start = (
                f"the default ({name}) is, within {TOLERANCE:.1%} of the filters, as faithful as the released rule "
                "(left, 100 nodes) **on average**"
            )
            where = f"and in {self.as_good} of {self.cells} cells"
        else:
            start = f"the default ({name}) is **less faithful** than the released rule (left, 100 nodes)"
            where = f"and as good in {self.as_good} of {self.cells} cells only"
        correlation = "higher" if self.spearman_default >= self.spearman_released else "lower"
        error = "smaller" if self.error_default <= self.error_released else "larger"
        return (
            f"Judged by the choice of filters: {start} {where} (network × seed × function). Its top 1 % agree with the "
            f"reference's to {self.overlap_default:.2%}, the released rule's to {self.overlap_released:.2%}. Over all "
            f"filters its rank correlation is {correlation} ({self.spearman_default:.5f} against "
            f"{self.spearman_released:.5f}), and its completeness error is {error} ({self.error_default:.3f} % against "
            f"{self.error_released:.3f} %). It needs {DEFAULT_NODES} gradients instead of 100. Differences of up to "
            f"{TOLERANCE:.1%} of the set count as none; the two best resolved integrals of this page differ by "
            f"{self.resolution:.2%}."
        )


def default_verdict(table: pd.DataFrame) -> DefaultVerdict:
    """Compare the default with the released rule in :func:`convergence`."""

    def rows(configuration: tuple[str, int]) -> pd.DataFrame:
        rule, count = configuration
        chosen = table[(table["rule"] == rule) & (table["nodes"] == count) & ~table["reference"]]
        return chosen.set_index(["network", "seed", "filters"])

    default, released = rows(DEFAULT), rows(RELEASED)
    return DefaultVerdict(
        cells=len(default),
        as_good=int((default["overlap"] >= released["overlap"] - TOLERANCE).sum()),
        overlap_default=float(default["overlap"].mean()),
        overlap_released=float(released["overlap"].mean()),
        spearman_default=float(default["spearman"].mean()),
        spearman_released=float(released["spearman"].mean()),
        error_default=float(default["error_percent"].mean()),
        error_released=float(released["error_percent"].mean()),
        error_reference=float(table.loc[table["reference"], "error_percent"].mean()),
        resolution=1 - float(rows(FINEST)["overlap"].mean()),
    )


def variant_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Own-input drops of :func:`variants`, mean over images and seeds.

    Returns:
        One row per ``network``, ``filters`` and ``method``: ``drop`` (gray, as published), ``drop_blue`` (as released),
        ``blue_over_gray``, ``lost`` (dB of PSNR).
    """
    own = own_drops(table)
    own = own.assign(lost=own["psnr_target"] - own["psnr"])
    means = own.groupby(["network", "filters", "method"], sort=False)[["drop", "drop_blue", "lost"]].mean()
    means.insert(2, "blue_over_gray", means["drop_blue"] / means["drop"])
    places = [list(means.index.unique("network")), list(FUNCTIONS), list(VARIANTS)]
    return means.reindex(pd.MultiIndex.from_product(places, names=means.index.names)).dropna(how="all").reset_index()


@dataclass(frozen=True)
class MetricVerdict:
    """Gray against blue for the paper's four methods; a cell is one network and one function.

    Attributes:
        cells: how many.
        same_best: cells in which both metrics put the same method first.
        same_order: cells in which both put all four in the same order.
        faig_best_gray, faig_best_blue: cells in which FAIG comes first.
        least, median, largest: blue drop over gray drop of FAIG.
    """

    cells: int
    same_best: int
    same_order: int
    faig_best_gray: int
    faig_best_blue: int
    least: float
    median: float
    largest: float


def metric_verdict(summary: pd.DataFrame) -> MetricVerdict:
    """Compare the two metrics in :func:`variant_summary`."""
    orders = {
        column: [
            list(rows.set_index("method")[column].loc[list(paper.METHODS)].sort_values(ascending=False).index)
            for _, rows in summary.groupby(["network", "filters"], sort=False)
        ]
        for column in ("drop", "drop_blue")
    }
    both = list(zip(orders["drop"], orders["drop_blue"], strict=True))
    ratio = summary.loc[summary["method"] == "faig", "blue_over_gray"]
    return MetricVerdict(
        cells=len(both),
        same_best=sum(gray[0] == blue[0] for gray, blue in both),
        same_order=sum(gray == blue for gray, blue in both),
        faig_best_gray=sum(gray[0] == "faig" for gray, _ in both),
        faig_best_blue=sum(blue[0] == "faig" for _, blue in both),
        least=float(ratio.min()),
        median=float(ratio.median()),
        largest=float(ratio.max()),
    )


@typeset
def in_short(
    default: DefaultVerdict, metric: MetricVerdict, detail_table: pd.DataFrame, ranking: StabilityVerdict
) -> str:
    """The chapter's results as a list in Markdown, worded by the numbers."""
    overlaps = detail_table.groupby("detail", sort=False)["overlap"].mean()
    change, _, absolute = (float(overlaps[detail]) for *_, detail in DETAILS)
    within = [share for *_, share in ranking.within]
    order = (
        "never changes which method comes first"
        if metric.same_best == metric.cells
        else f"changes which method comes first in {metric.cells - metric.same_best} of {metric.cells} cells"
    )
    faithful = "as faithful as" if default.faithful else "not everywhere as faithful as"
    return "\n".join(
        (
            f"- In choosing the top 1 % the default rule ({DEFAULT_NODES} gradients) is {faithful} the released one "
            f"(100): {default.overlap_default:.2%} against {default.overlap_released:.2%} agree with the reference.",
            f"- Measuring on blue instead of gray multiplies FAIG's drop by {metric.median:.2f} in the median cell and "
            f"{order}.",
            f"- Relative instead of absolute change replaces {1 - change:.0%} of the top 1 % of |θ − θ̄|; the absolute "
            f"value before instead of after the integration replaces {1 - absolute:.0%} of FAIG's.",
            f"- Within one network, rankings that should agree share between {min(within):.0%} and {max(within):.0%} "
            "of their top 1 %, by network, function and what was varied.",
        )
    )
