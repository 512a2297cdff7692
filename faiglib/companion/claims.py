"""The claims of the paper as predicates over measured tables, each with a verdict.

Thresholds are declared here, with the reason for them. Those of (a) to (e) were set before any trained pair was looked
at, those of (f) to (j) with trial runs of the chapters known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faiglib.companion import discovery
from faiglib.companion.distribution import report as distribution_report
from faiglib.companion.masking import report as masking_report
from faiglib.companion.one_versus_two import report as one_versus_two_report
from faiglib.companion.prediction import report as prediction_report
from faiglib.companion.prediction import roles
from faiglib.companion.retraining import report as retraining_report
from faiglib.networks import TITLES

if TYPE_CHECKING:
    import pandas as pd

    from faiglib.companion.baseline_ablation.report import BaselineVerdict, EliminationVerdict
from faiglib.companion.criteria import FULL_SHARE, INVISIBLE, PARTS, PREDICTED, REMOVED, SPILLED, Grade, Verdict


def one_branch(result: one_versus_two_report.RaceVerdict) -> Verdict:
    """Claim (a) on the verdict of :mod:`faiglib.companion.one_versus_two.report`."""
    outcomes = list(result.outcomes.values())
    good = [one in ("equivalent", "better", "not inferior") for one in outcomes]
    undecided = all(one == "inconclusive" for one in outcomes)
    if not result.complete or result.seeds < 2 or undecided or not all(result.sensitive.values()):
        grade: Grade = "not tested"
    elif all(good) and result.share >= FULL_SHARE:
        grade = "held"
    else:
        grade = "partly" if any(good) else "did not hold"
    leads = "; ".join(
        f"against {TITLES[name]} {result.leads[name]:+.2f} dB, {result.outcomes[name]}" for name in result.outcomes
    )
    blind = [TITLES[name] for name, sensitive in result.sensitive.items() if not sensitive]
    control = f"; half a network does as well as the whole against {' and '.join(blind)}" if blind else ""
    return Verdict("a", grade, f"{leads}{control}; {100 * result.share:.2g} % of the paper's iterations")


def removed_shares(drops: pd.DataFrame, method: str = "faig", percent: float = 1) -> pd.DataFrame:
    """Share of the target's PSNR advantage over the baseline that masking removes, by input.

    Args:
        drops: from :func:`faiglib.companion.masking.measure.drops`.
        method: whose filters.
        percent: how many.

    Returns:
        One row per ``network``, ``image_set`` and ``filters`` (function): ``own`` (share on the input of that function)
        and ``other`` (on the other input), and ``own_level`` and ``other_level``, what they would be with the
        brightness put right (see :func:`faiglib.companion.masking.report.selectivity`).
    """
    table = masking_report.selectivity(drops, method)
    table = table[table["percent"] == percent]
    lost = -table[["psnr", "psnr_level"]].sub(table["psnr_target"], axis=0)
    shares = lost.div(table["psnr_target"] - table["psnr_baseline"], axis=0)
    side = (table["filters"] == table["input"].map(discovery.OWN_FUNCTION)).map({True: "own", False: "other"})
    table = table.assign(share=shares["psnr"], level=shares["psnr_level"], side=side)
    wide = table.pivot_table(
        index=["network", "image_set", "filters"], columns="side", values=["share", "level"], sort=False
    )
    wide.columns = [place if value == "share" else f"{place}_level" for value, place in wide.columns]
    return wide.reset_index()


def masking(drops: pd.DataFrame) -> list[Verdict]:
    """Claims (b), (c) and (d) on the table of :func:`faiglib.companion.masking.measure.drops`."""
    shares = removed_shares(drops)
    own, other = shares["own"], shares["other"].abs()
    if (own >= REMOVED).all() and (other <= SPILLED).all():
        selective: Grade = "held"
    else:
        selective = "partly" if (own >= 3 * other).all() else "did not hold"
    chance = masking_report.selectivity(drops, "random")
    chance = chance[chance["percent"] == 1]
    change = float((chance["psnr_target"] - chance["psnr"]).abs().max())
    ranking = masking_report.ranking_verdict(masking_report.summary(drops))
    return [
        Verdict("b", selective, _removed_in_words(shares)),
        Verdict("c", _at_most(change, INVISIBLE, 3 * INVISIBLE), f"PSNR changes by at most {change:.3f} dB"),
        Verdict(
            "d",
            _at_least(ranking.won / ranking.cells, 1, 0.75),
            f"largest drop in {ranking.won} of {ranking.cells} cells, {ranking.median_ratio:.1f}× the best other "
            f"method in the median",
        ),
    ]


def _removed_in_words(shares: pd.DataFrame) -> str:
    """The table of :func:`removed_shares` by network."""
    return "; ".join(
        f"{TITLES[str(network)]}: own input loses {rows['own'].min():.0%} to {rows['own'].max():.0%} of its advantage, "
        f"the other at most {rows['other'].max():.0%} ({rows['other_level'].max():.0%} with the brightness put right)"
        for network, rows in shares.groupby("network", sort=False)
    )


def retraining(runs: pd.DataFrame) -> Verdict:
    """Claim (e) on the table of :func:`faiglib.companion.retraining.measure.retraining`."""
    result = retraining_report.verdict(retraining_report.final(runs))
    return Verdict(
        "e",
        _at_least(result.won / result.cells, 1, 0.5),
        f"ahead in {result.won} of {result.cells} cases, least lead {result.least_lead:+.3f} dB; others fall below "
        f"chance in {result.below_random} of {result.comparisons} comparisons, by {result.deepest:.3f} dB at most",
    )


def prediction(scores: pd.DataFrame, parts: roles.Roles) -> Verdict:
    """Claim (g) on :func:`faiglib.companion.prediction.measure.scores`; it takes two image sets to test it."""
    result = prediction_report.verdict(scores, parts)
    if parts.thresholds in parts.tests:
        grade: Grade = "not tested"
    elif min(result.least.values()) >= PREDICTED:
        grade = "held"
    else:
        grade = "partly" if result.least_auc > 0.5 else "did not hold"
    means = ", ".join(f"{name} {result.mean[name]:.0%} (worst {result.least[name]:.0%})" for name in result.mean)
    rule = ", ".join(f"{name} {value:.0%}" for name, value in result.plain.items())
    return Verdict("g", grade, f"accuracy for {means}; a plain rule on pixels {rule}")


def distribution(shares: pd.DataFrame) -> Verdict:
    """Claim (f) on the table of :func:`faiglib.companion.distribution.measure.shares`."""
    parts = distribution_report.verdict(shares).set_index("network")[list(PARTS)].astype(bool)
    failed = [
        f"not for {TITLES[str(network)]}: {', '.join(PARTS[name] for name in PARTS if not row[name])}"
        for network, row in parts.iterrows()
        if not row.all()
    ]
    share = float(parts.to_numpy().mean())
    return Verdict(
        "f", _at_least(share, 1, 0.5), "; ".join([f"{parts.to_numpy().sum()} of {parts.size} parts hold", *failed])
    )


def baseline(result: BaselineVerdict) -> Verdict:
    """Claim (h) on the verdict of :mod:`faiglib.companion.baseline_ablation.report`."""
    broken = min(result.broken["random"], result.broken["zero"])
    if result.finding_won == result.replacing_won == result.cells and broken >= result.cells / 2:
        grade: Grade = "held"
    else:
        grade = "partly" if result.finding_won >= result.cells / 2 else "did not hold"
    return Verdict(
        "h",
        grade,
        f"finds the best filters in {result.finding_won} of {result.cells} cases, {result.finding_median:.1f}× the "
        f"drop; brightness shifts by {result.shifts['bilinear']:.1f} levels against {result.shifts['random']:.1f} "
        f"(random) and {result.shifts['zero']:.1f} (zero)",
    )


def elimination(result: EliminationVerdict) -> Verdict:
    """Claim (i) on the verdict of :mod:`faiglib.companion.baseline_ablation.report`."""
    return Verdict(
        "i",
        _at_least(result.more_selective / result.cells, 1, 0.5),
        f"more selective in {result.more_selective} of {result.cells} cases, {result.gain:.1f}× in the median",
    )


def interpolation(control: pd.DataFrame) -> Verdict:
    """Claim (j) on the table of :func:`faiglib.companion.interpolation.report.control`."""
    count = int(control["continuous"].sum())
    return Verdict(
        "j",
        _at_least(count / len(control), 1, 0.5),
        f"continuous for {count} of {len(control)} knobs; {control['monotone'].min():.0%} or more of the steps go the "
        f"right way; the other input moves by up to {control['other_moved'].max():.2f} dB",
    )


def _at_least(value: float, held: float, partly: float) -> Grade:
    return "held" if value >= held else "partly" if value >= partly else "did not hold"


def _at_most(value: float, held: float, partly: float) -> Grade:
    return "held" if value <= held else "partly" if value <= partly else "did not hold"
