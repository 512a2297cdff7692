"""How much of the top 1 % two rankings have in common that should agree, in numbers and words."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from faiglib.companion.beyond.integration import PERCENT
from faiglib.companion.beyond.measure import BETWEEN_RUNS, COMPARISONS
from faiglib.companion.page.words import typeset
from faiglib.networks import TITLES


def stability_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, least and largest overlap of :func:`faiglib.companion.beyond.measure.stability`, and mean rank correlation.

    Returns:
        One row per ``network``, ``comparison`` and ``filters``, in the order of :data:`COMPARISONS`: ``overlap``,
        ``least``, ``largest`` (0 to 1), ``spearman``, ``comparisons`` (how many).
    """
    grouped = table.groupby(["network", "comparison", "filters"], sort=False)
    means = grouped["overlap"].agg(overlap="mean", least="min", largest="max", comparisons="size")
    means["spearman"] = grouped["spearman"].mean()
    order = list(COMPARISONS)
    return (
        means.reset_index()
        .sort_values("comparison", key=lambda names: names.map(order.index), kind="stable")
        .sort_values("network", kind="stable")
        .reset_index(drop=True)
    )


@dataclass(frozen=True)
class StabilityVerdict:
    """How much of the top 1 % survives a change that should not matter.

    Attributes:
        overlaps: {key of :data:`COMPARISONS`: share in common}, means over networks, runs and functions; those that
            could not be made are left out.
        within: (network, function, key of :data:`COMPARISONS`, share) of rankings of one network, means over its runs.
        least: share of the single comparison within a network that has least in common.
    """

    overlaps: dict[str, float]
    within: tuple[tuple[str, str, str, float], ...]
    least: float

    @property
    @typeset
    def sentence(self) -> str:
        """What came out, in words."""
        told = ", ".join(f"{share:.0%} ({COMPARISONS[name]})" for name, share in self.overlaps.items())
        network, function, weakest, share = min(self.within, key=lambda row: row[-1])
        parts = [
            f"On average two rankings share of their top 1 %: {told}.",
            f"Within one network the least agreement, as a mean over what was compared, is {share:.0%} "
            f"({TITLES[network]}, {function} filters: {COMPARISONS[weakest]}), {100 * share / PERCENT:.0f} times "
            "chance" + (f"; a single comparison comes down to {self.least:.0%}." if self.least < share else "."),
            *self._steadied(),
        ]
        if "fine_tunings" in self.overlaps:
            share = self.overlaps["fine_tunings"]
            parts.append(
                f"Between fine-tunings of one baseline it is {share:.0%}, {100 * share / PERCENT:.0f} times chance; "
                f"{1 - share:.0%} of a set depend on the run."
            )
        if "seeds" in self.overlaps:
            times = 100 * self.overlaps["seeds"] / PERCENT
            parts.append(
                f"Between training runs from the start it is {times:.1f} times chance"
                + (
                    ": filter numbers mean little across runs."
                    if times < 5
                    else ", although their filters are numbered independently."
                )
            )
        if not self.overlaps.keys() & set(BETWEEN_RUNS):
            parts.append("There is only one training run of a network here, so that none is compared with another.")
        return " ".join(parts)

    def _steadied(self) -> list[str]:
        """Whether whole image sets agree better than single images, where both were compared."""
        if not {"images", "image_sets"} <= self.overlaps.keys():
            return []
        if self.overlaps["image_sets"] > self.overlaps["images"]:
            return ["Averaging over images steadies the ranking: whole image sets agree better than single images."]
        return ["Averaging over images does not steady the ranking: image sets agree no better than single images."]


def stability_verdict(summary: pd.DataFrame) -> StabilityVerdict:
    """Mean overlaps by comparison of :func:`stability_summary`, and the least within one network."""
    means = summary.groupby("comparison", sort=False)["overlap"].mean()
    within = summary[~summary["comparison"].isin(BETWEEN_RUNS)]
    return StabilityVerdict(
        {name: float(means[name]) for name in COMPARISONS if name in means.index},
        tuple(within[["network", "filters", "comparison", "overlap"]].itertuples(index=False, name=None)),
        float(within["least"].min()),
    )
