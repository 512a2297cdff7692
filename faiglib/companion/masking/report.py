"""Masking (paper, section 4.1; supp. Tables 3-6, main Figs. 3 and 4): what is lost with the discovered filters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from faiglib.companion import paper
from faiglib.companion.intervals import crossed_interval
from faiglib.companion.masked import own_drops, side
from faiglib.companion.page.words import typeset
from faiglib.images import registry
from faiglib.networks import TITLES

#: Number of the supplementary table of a network and image set.
TABLE_NUMBERS = {(cell.network, cell.image_set): cell.table for cell in paper.drops()}


def summary(table: pd.DataFrame, value: str = "drop") -> pd.DataFrame:
    """Mean over images per seed, then mean and standard deviation over seeds, of the paper's cells.

    Returns:
        One row per network, image set, input, percent and method: ``measured``, ``spread`` (over seeds; NaN for one
        seed), ``low`` and ``high`` (95 % interval of the mean, see
        :func:`faiglib.companion.intervals.crossed_interval`), ``seeds``, ``independent`` (those that share
        no baseline), ``images``, and the paper's ``paper`` and ``paper_std`` where it has that cell.
    """
    cells = ["network", "image_set", "input", "percent", "method"]
    own = own_drops(table)
    per_seed = own.groupby([*cells, "seed"], sort=False)[value].mean().reset_index()
    grouped = per_seed.groupby(cells, sort=False)[value]
    result = pd.DataFrame({"measured": grouped.mean(), "spread": grouped.std(), "seeds": grouped.size()})
    by_image = own.groupby([*cells, "baseline", "image"], sort=False)[value].mean().groupby(cells, sort=False)
    intervals = by_image.apply(lambda values: crossed_interval([by_run(values)], np.mean))
    result["low"], result["high"] = intervals.str[0], intervals.str[1]
    unlike = own.groupby(cells, sort=False)[["image", "baseline"]].nunique()
    result["images"], result["independent"] = unlike["image"], unlike["baseline"]
    published = pd.DataFrame([vars(cell) for cell in paper.drops()]).set_index(cells)
    result["paper"] = published["mean"].reindex(result.index)
    result["paper_std"] = published["std"].reindex(result.index)
    return result.reset_index()


def leads(table: pd.DataFrame, value: str = "drop") -> pd.DataFrame:
    """How far FAIG is ahead of the best other method in every cell of the paper's tables.

    Returns:
        One row per network, image set, input and percent: ``ratio`` of FAIG's mean to the largest of the other
        methods', with ``low`` and ``high`` (95 % interval over images and over pairs that share nothing, all
        methods on the same), and ``outcome``: ``ahead`` or ``behind`` where the interval lies on one side of 1, else
        ``tie``.
    """
    cells = ["network", "image_set", "input", "percent"]
    means = own_drops(table).groupby([*cells, "method", "baseline", "image"], sort=False)[value].mean()
    others = [method for method in table["method"].unique() if method != "faig"]

    def log_ratio(*samples: npt.NDArray[np.float64], axis: int = -1) -> npt.NDArray[np.float64]:
        first, *rest = (np.mean(sample, axis=axis) for sample in samples)
        return np.log(first / np.max(rest, axis=0))  # in which an interval is as wide downwards as upwards

    rows = []
    for keys, group in means.groupby(cells, sort=False):
        samples = [by_run(group.xs(method, level="method")) for method in ("faig", *others)]
        low, high = (math.exp(end) for end in crossed_interval(samples, log_ratio))
        outcome = "ahead" if low > 1 else "behind" if high < 1 else "tie"
        rows.append((*keys, math.exp(log_ratio(*(sample.ravel() for sample in samples))), low, high, outcome))
    return pd.DataFrame(rows, columns=[*cells, "ratio", "low", "high", "outcome"])


def by_run(values: pd.Series) -> npt.NDArray[np.float64]:
    """Values by ``baseline`` and ``image``, levels of the index, as (runs that share nothing, images)."""
    return values.unstack("image").to_numpy(dtype=np.float64)


def recorded_cells(recorded: pd.DataFrame) -> pd.DataFrame:
    """The cells of the recorded run that the paper has, too.

    Args:
        recorded: the table ``masking`` of :mod:`faiglib.companion.record`.

    Returns:
        One row per ``network``, ``image_set``, ``input`` and ``percent``: below each method ``recorded`` and
        ``paper``, mean drops ×10³.
    """
    cells = ["network", "image_set", "input", "percent", "method"]
    published = pd.DataFrame([vars(cell) for cell in paper.drops()])
    both = recorded.merge(published, on=cells).rename(columns={"measured": "recorded", "mean": "paper"})
    wide = both.pivot_table(index=cells[:-1], columns="method", values=["recorded", "paper"], sort=False)
    order = [(method, value) for method in paper.METHODS for value in ("recorded", "paper")]
    return wide.swaplevel(axis=1)[order].rename(columns=paper.METHODS, level=0).reset_index()


def removed_shares(table: pd.DataFrame, percent: float = 1) -> pd.DataFrame:
    """How much of the way from target to baseline masking FAIG's filters goes, on their own input and on the other.

    Args:
        table: from :func:`faiglib.companion.masking.measure.drops`.
        percent: of masked filters.

    Returns:
        One row per ``network``, ``image_set``, ``filters`` (function) and ``measure``: ``own`` and ``other``, shares.
        ``drop`` is a share of the drop when all filters are replaced; ``psnr``, ``psnr_level`` (see
        :func:`selectivity`) and ``ssim`` are shares of what the target is better than the baseline. Means over images
        and seeds; a negative share is a gain.
    """
    rows = selectivity(table)
    rows = rows[rows["percent"] == percent]
    lost = {"drop": rows["drop"] / rows["drop_all"]}
    for name, quality in {"psnr": "psnr", "psnr_level": "psnr", "ssim": "ssim"}.items():
        target = rows[f"{quality}_target"]
        lost[name] = (target - rows[name]) / (target - rows[f"{quality}_baseline"])
    keys = ["network", "image_set", "filters"]
    long = rows[keys].assign(side=side(rows), **lost).melt([*keys, "side"], var_name="measure", value_name="share")
    wide = long.pivot_table(index=[*keys, "measure"], columns="side", values="share", sort=False)
    return wide.rename_axis(columns=None).reset_index()


def chance_shares(table: pd.DataFrame, percent: float = 1) -> pd.DataFrame:
    """What masking as many random filters does in every cell of the paper's tables.

    Args:
        table: from :func:`faiglib.companion.masking.measure.drops`.
        percent: of masked filters.

    Returns:
        One row per ``network``, ``image_set`` and ``input``: ``share``, the mean drop over that of FAIG's filters;
        ``change``, the mean change of PSNR in dB, with ``low`` and ``high`` (95 % interval, as above).
    """
    own = own_drops(table)
    own = own[own["percent"] == percent].assign(change=own["psnr"] - own["psnr_target"])
    cells = ["network", "image_set", "input"]
    drop = own.groupby([*cells, "method"], sort=False)["drop"].mean().unstack("method")
    chance = own[own["method"] == "random"].groupby([*cells, "baseline", "image"], sort=False)["change"].mean()
    ends = chance.groupby(cells, sort=False).apply(lambda values: crossed_interval([by_run(values)], np.mean))
    result = pd.DataFrame({"share": drop["random"] / drop["faig"], "change": chance.groupby(cells, sort=False).mean()})
    result["low"], result["high"] = ends.str[0], ends.str[1]
    return result.reset_index()


def selectivity(table: pd.DataFrame, method: str = "faig") -> pd.DataFrame:
    """Drop and PSNR for all four combinations of input and masked filters, mean over images and seeds.

    A method is selective where masking hurts the input it should and leaves the other alone. The paper shows this as
    curves only.

    Returns:
        One row per ``network``, ``image_set``, ``percent``, ``input`` and ``filters`` (function masked): the means of
        ``drop``, ``drop_all``, ``psnr``, ``ssim`` (both also ``_target`` and ``_baseline``) and ``luminance_shift`` as
        of :func:`faiglib.companion.masked.measure`, and ``psnr_level``, the PSNR without the squared shift of the mean
        gray level against the target's output in its error: about what would be left if the brightness were put right.
    """
    chosen = table[table["method"] == method]
    error = 10 ** (-chosen["psnr"] / 10) - (chosen["luminance_shift"] / 255) ** 2
    chosen = chosen.assign(psnr_level=-10 * np.log10(error.clip(lower=1e-10)))
    cells = ["network", "image_set", "percent", "input", "filters"]
    ssim = ["ssim", "ssim_target", "ssim_baseline"]
    columns = ["drop", "drop_all", "psnr", "psnr_target", "psnr_baseline", *ssim, "luminance_shift", "psnr_level"]
    return chosen.groupby(cells, sort=False)[columns].mean().reset_index()


@typeset
def brightness_part(selectivity_table: pd.DataFrame, percent: float = 1) -> str:
    """Sentences on what masking costs the input that should not suffer, with and without the shift of brightness.

    Args:
        selectivity_table: from :func:`selectivity`.
        percent: of masked filters.
    """
    rows = selectivity_table[selectivity_table["percent"] == percent]
    rows = rows[side(rows) == "other"]
    lost = rows.assign(whole=rows["psnr_target"] - rows["psnr"], rest=rows["psnr_target"] - rows["psnr_level"])
    means = lost.groupby("network", sort=False)[["whole", "rest"]].mean()
    told = "; ".join(
        f"{TITLES[str(name)]} {row.whole:.2f} dB, {row.rest:.2f} dB of which remain when the brightness is put right"
        for name, row in means.iterrows()
    )
    return f"Masking {percent:g} % costs the other input, on average: {told}."


@dataclass(frozen=True)
class RankingVerdict:
    """In how many cells FAIG has the largest drop, and by how much.

    Attributes:
        cells: network × image set × input × proportion.
        won: cells in which no other method has a larger drop.
        least_ratio, median_ratio: FAIG's drop over the largest of the other methods'.
        random_share: median over cells of the random drop over FAIG's.
    """

    cells: int
    won: int
    least_ratio: float
    median_ratio: float
    random_share: float


def ranking_verdict(summary_table: pd.DataFrame) -> RankingVerdict:
    """Compare FAIG with the other methods in every cell of :func:`summary`."""
    wide = summary_table.pivot_table(
        index=["network", "image_set", "input", "percent"], columns="method", values="measured", sort=False
    )
    ratio = wide["faig"] / wide.drop(columns="faig").max(axis=1)
    share = wide["random"] / wide["faig"]
    return RankingVerdict(
        len(ratio), int((ratio >= 1).sum()), float(ratio.min()), float(ratio.median()), float(share.median())
    )


@typeset
def lost_cells(summary_table: pd.DataFrame) -> str:
    """A sentence on the cells in which another method has a larger drop, and those in which FAIG's drop falls.

    A drop measures distance from the target's output. Masking more filters can bring the output back towards it, for
    instance by taking away a side effect such as a shift of brightness or of contrast, so a curve need not rise.
    """
    index = ["network", "image_set", "input", "percent"]
    wide = summary_table.pivot_table(index=index, columns="method", values="measured", sort=False)
    lost = wide[wide["faig"] < wide.drop(columns="faig").max(axis=1)]
    falling = [
        name
        for name, drop in wide["faig"].groupby(level=[0, 1, 2], sort=False)
        if not drop.sort_index(level="percent").is_monotonic_increasing
    ]

    def places(names: Iterable[tuple]) -> str:
        return "; ".join(
            f"{TITLES[one[0]]}, {registry.title(one[1])}, {one[2]} input" + (f", {one[3]:g} %" if len(one) > 3 else "")
            for one in names
        )

    first = "No other method is ahead in any cell."
    if len(lost):
        first = f"Another method is ahead in: {places(lost.index)}."
    if not falling:
        return f"{first} The drop of FAIG's filters grows with their number everywhere."
    return (
        f"{first} The drop of FAIG's filters does not grow with their number everywhere; the exceptions: "
        f"{places(falling)}. The drop is a distance from the target's output, not a loss of quality, so masking more "
        "can bring the output nearer again. PSNR, in the table further down, shows what is lost."
    )


def channel_comparison(table: pd.DataFrame, percent: float = 1) -> pd.DataFrame:
    """The drop of FAIG's filters on gray outputs and on the blue channel, mean over images and seeds."""
    own = own_drops(table)
    own = own[(own["method"] == "faig") & (own["percent"] == percent)]
    means = own.groupby(["network", "image_set", "input"], sort=False)[["drop", "drop_blue"]].mean().reset_index()
    means["blue ÷ gray"] = means["drop_blue"] / means["drop"]
    return means.rename(columns={"drop": "gray (as published)", "drop_blue": "blue (as released)"})
