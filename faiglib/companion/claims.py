"""The claims of the paper as predicates over measured tables, each with a verdict in two setups.

What decides is declared in :mod:`faiglib.companion.criteria`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from faiglib.companion.baseline_ablation import report as baseline_report
from faiglib.companion.criteria import (
    AHEAD,
    CHANCE,
    FULL_SHARE,
    INVISIBLE,
    PARTS,
    PREDICTED,
    REMOVED,
    SELECTIVE,
    SPILLED,
    Grade,
    Part,
    Verdict,
)
from faiglib.companion.distribution import report as distribution_report
from faiglib.companion.interpolation.report import LEAST_GAIN, MONOTONE
from faiglib.companion.judging import at_least, at_most, by_network, theirs, with_words
from faiglib.companion.masking import report as masking_report
from faiglib.companion.one_versus_two import report as one_versus_two_report
from faiglib.companion.page.words import percent, printed
from faiglib.companion.prediction import report as prediction_report
from faiglib.companion.prediction import roles
from faiglib.companion.retraining import report as retraining_report
from faiglib.networks import TITLES

if TYPE_CHECKING:
    import pandas as pd

#: The network of supplementary Fig. 8, and the only one that the released program re-trains.
PLAIN = "srcnn_style"


def one_branch(result: one_versus_two_report.RaceVerdict) -> Verdict:
    """Claim (a) on the verdict of :mod:`faiglib.companion.one_versus_two.report`."""
    fit = result.complete and result.seeds > 1
    grades: dict[str, Grade] = {}
    others: dict[str, Grade] = {}
    for name, outcome in result.outcomes.items():
        grades[TITLES[name]] = _raced([outcome] if result.sensitive[name] else [], fit, result.share)
        others[TITLES[name]] = _raced(result.elsewhere[name], fit, result.share)
    leads = "; ".join(
        f"against {TITLES[name]} {result.leads[name]:+.2f} dB, {result.outcomes[name]}"
        + ("" if result.sensitive[name] else ", but half of the network is not told from the whole")
        for name in result.outcomes
    )
    counted = "; ".join(
        f"against {TITLES[name]} not inferior in {sum(map(_good, found))} of {len(found)} other tests"
        if found
        else f"against {TITLES[name]} half of the network is not told from the whole in any other test"
        for name, found in result.elsewhere.items()
    )
    share = f"{100 * result.share:.2g} % of the paper's iterations"
    return Verdict(
        "a", Part(grades, printed(f"{leads}; blur only; {share}")), Part(others, printed(f"{counted}; {share}"))
    )


def _good(outcome: str) -> bool:
    return outcome in ("equivalent", "better", "not inferior")


def _raced(outcomes: list[one_versus_two_report.Outcome], fit: bool, share: float) -> Grade:
    """The grade of some outcomes of sensitive contests in a race that is fit to judge and so long."""
    decided = [one for one in outcomes if one != "inconclusive"]
    if not decided or not fit:
        return "not tested"
    if all(map(_good, decided)) and len(decided) == len(outcomes):
        return "held" if share >= FULL_SHARE else "partly"
    return "partly" if any(map(_good, decided)) else "did not hold"


def masking(drops: pd.DataFrame) -> list[Verdict]:
    """Claims (b), (c) and (d) on the table of :func:`faiglib.companion.masking.measure.drops`."""
    shares = masking_report.removed_shares(drops)
    chance = masking_report.chance_shares(drops)
    leads = masking_report.leads(drops)
    by_drop = theirs(shares[shares["measure"] == "drop"])
    return [
        Verdict("b", by_network(by_drop, _selective), by_network(shares, _selective)),
        Verdict("c", by_network(theirs(chance), _by_share), by_network(chance, _by_psnr)),
        Verdict("d", by_network(theirs(leads[leads["percent"].isin((1, 5))]), _ahead), by_network(leads, _ahead)),
    ]


def _selective(shares: pd.DataFrame) -> tuple[Grade, str]:
    own, other = shares["own"], shares["other"].clip(lower=0)
    within = (own >= REMOVED) & (other <= SPILLED)
    partly = bool((own >= SELECTIVE * other).all())
    grade: Grade = "held" if within.all() else "partly" if partly else "did not hold"
    words = (
        f"own input loses {percent(own.min())} to {percent(own.max())}, the other at most {percent(other.max())}; "
        f"within both limits in {within.sum()} of {len(within)} cases"
    )
    return grade, words


def _by_share(chance: pd.DataFrame) -> tuple[Grade, str]:
    most = float(chance["share"].max())
    return at_most(most, CHANCE, 3 * CHANCE), f"at most {100 * most:.1f} % of FAIG's drop"


def _by_psnr(chance: pd.DataFrame) -> tuple[Grade, str]:
    worst = chance.loc[chance["change"].abs().idxmax()]
    low, high = (f"{value:+.3f}" for value in worst[["low", "high"]])
    change = f"{worst['change']:+.3f} dB"
    return at_most(abs(worst["change"]), INVISIBLE, 3 * INVISIBLE), f"{change} at most ({low} to {high})"


def _ahead(leads: pd.DataFrame) -> tuple[Grade, str]:
    counts = leads["outcome"].value_counts().reindex(["ahead", "tie", "behind"], fill_value=0)
    share = counts["ahead"] / len(leads)
    grade: Grade = "did not hold"
    if share >= AHEAD and not counts["behind"]:
        grade = "held"
    elif share >= 0.5:
        grade = "partly"
    return (
        grade,
        f"ahead in {counts['ahead']} of {len(leads)} cells, tied in {counts['tie']}, behind in {counts['behind']}",
    )


def retraining(runs: pd.DataFrame, share: float, image_set: str) -> Verdict:
    """Claim (e).

    Args:
        runs: from :func:`faiglib.companion.retraining.measure.retraining`.
        share: of a full re-training, see :func:`faiglib.companion.retraining.report.share_of_training`.
        image_set: that they were tested on.
    """
    leads = retraining_report.own_leads(retraining_report.final(runs))

    def judge(rows: pd.DataFrame) -> tuple[Grade, str]:
        won = (rows["over_methods"] > 0) & (rows["over_function"] > 0)
        grade = at_least(float(won.mean()), 1, 0.5)
        words = ", ".join(
            f"{row.task} {row.over_methods:+.3f} dB over other methods and {row.over_function:+.3f} dB over the other "
            "function's filters"
            for row in rows.itertuples()
        )
        return ("partly" if grade == "held" and share < FULL_SHARE else grade), words

    told = f"{100 * share:.2g} % of the training"
    main = by_network(theirs(leads, image_set, (PLAIN,)), judge)
    others = by_network(leads[leads["network"] != PLAIN], judge, "no other network")
    return Verdict("e", with_words(main, told), with_words(others, told))


def prediction(scores: pd.DataFrame, parts: roles.Roles) -> Verdict:
    """Claim (g) on :func:`faiglib.companion.prediction.measure.scores`."""
    plain = scores["predictor"] == "plain"

    def judge(rows: pd.DataFrame) -> tuple[Grade, str]:
        result = prediction_report.verdict(scores[plain | (scores["network"] == rows["network"].iloc[0])], parts)
        grade: Grade = "partly" if result.least_auc > 0.5 else "did not hold"
        if min(result.least.values()) >= PREDICTED:
            grade = "held"
        means = ", ".join(
            f"{name} {percent(result.mean[name])} (worst set {percent(result.least[name])})" for name in result.mean
        )
        return grade, means

    same = (parts.discovery, parts.thresholds, parts.tests) == ("set14", "bsd100", ("div2k_valid",))
    independent = parts.thresholds not in parts.tests
    whole = by_network(scores[~plain], judge) if independent else Part(why="one image set is no test")
    known = [f"{name} {percent(value)}" for name, value in prediction_report.verdict(scores, parts).plain.items()]
    whole = with_words(whole, f"a plain rule on pixels {', '.join(known)}")
    if same:
        return Verdict("g", whole, Part(why="no other test set"))
    missing = "DIV2K is not here" if "div2k_valid" not in parts.tests else "other sets were tested with it"
    return Verdict("g", Part(why=missing), whole)


def distribution(shares: pd.DataFrame, image_set: str) -> Verdict:
    """Claim (f).

    Args:
        shares: from :func:`faiglib.companion.distribution.measure.shares`.
        image_set: that the filters were discovered on.
    """
    table = distribution_report.verdict(shares)
    even = ("even", "denoising filters even")
    absolute = dict(even if part[0] == "evener" else part for part in PARTS.items())
    return Verdict("f", by_network(theirs(table, image_set), _parts(PARTS)), by_network(table, _parts(absolute)))


def _parts(words: Mapping[str, str]) -> Callable[[pd.DataFrame], tuple[Grade, str]]:
    """How many of the parts of claim (f) hold, and which do not."""

    def judge(rows: pd.DataFrame) -> tuple[Grade, str]:
        holds = rows.iloc[0][list(words)].astype(bool)
        failed = ", ".join(words[name] for name in words if not holds[name])
        told = f"{holds.sum()} of {len(holds)} parts hold" + (f", not: {failed}" if failed else "")
        return at_least(float(holds.mean()), 1, 0.5), told

    return judge


def baseline(cells: pd.DataFrame, image_set: str) -> Verdict:
    """Claim (h).

    Args:
        cells: from :func:`faiglib.companion.baseline_ablation.report.summary`.
        image_set: that they were measured on.
    """

    def judge(rows: pd.DataFrame) -> tuple[Grade, str]:
        result = baseline_report.baseline_verdict(rows)
        count = result.cells
        true = result.finding_won + result.replacing_won + result.broken["random"] + result.broken["zero"]
        words = (
            f"finds the best filters in {result.finding_won} of {count} cases ({result.finding_median:.1f}× the drop), "
            f"brightness shifts by {result.shifts['bilinear']:.1f} levels, with random weights "
            f"{result.shifts['random']:.1f}, with zero {result.shifts['zero']:.1f}"
        )
        return at_least(true / (4 * count), 1, 0.5), words

    others = by_network(cells[cells["network"] != PLAIN], judge, "no other network")
    return Verdict("h", by_network(theirs(cells, image_set, (PLAIN,)), judge), others)


def elimination(cells: pd.DataFrame, image_set: str) -> Verdict:
    """Claim (i).

    Args:
        cells: from :func:`faiglib.companion.baseline_ablation.report.elimination_summary`.
        image_set: that they were measured on.
    """

    def judge(rows: pd.DataFrame) -> tuple[Grade, str]:
        result = baseline_report.elimination_verdict(rows)
        words = f"more selective in {result.more_selective} of {result.cells} cases, {result.gain:.1f}× in the median"
        return at_least(result.more_selective / result.cells, 1, 0.5), words

    main = theirs(cells[cells["percent"] == 1], image_set)
    return Verdict("i", by_network(main, judge), by_network(cells, judge))


def interpolation(control: pd.DataFrame, image_set: str) -> Verdict:
    """Claim (j).

    Args:
        control: from :func:`faiglib.companion.interpolation.report.control`.
        image_set: that it was measured on.
    """

    def nearer(rows: pd.DataFrame) -> tuple[Grade, str]:
        good = rows["curve_approaches"] & (rows["approaches"] >= MONOTONE)
        words = f"at least {percent(rows['approaches'].min())} of the steps lead nearer to the target's output"
        return at_least(float(good.mean()), 1, 0.5), words

    def effective(rows: pd.DataFrame) -> tuple[Grade, str]:
        good = rows["continuous"] & (rows["gained"] >= LEAST_GAIN)
        words = (
            f"{good.sum()} of {len(good)} knobs; at least {percent(rows['monotone'].min())} of the steps go the right "
            f"way; gains from {rows['gained'].min():.2f} dB; the other input moves by up to "
            f"{rows['other_moved'].max():.2f} dB"
        )
        return at_least(float(good.mean()), 1, 0.5), words

    return Verdict("j", by_network(theirs(control, image_set), nearer), by_network(control, effective))
