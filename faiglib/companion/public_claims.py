"""Claims of the paper, and a question of this book, on the pairs of the chapter on networks we did not train.

The limits are those of :mod:`faiglib.companion.criteria`, which were set for the networks trained here. What is done
with them was written down before anything of this chapter was computed, though with trials known in which the strongest
pair's path was broken, and masking cost it most of its brightness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from faiglib.attribution.path_profile import SOUND
from faiglib.companion.criteria import (
    AHEAD,
    CHANCE,
    CLAIMS,
    GRADES,
    INVISIBLE,
    PREDICTED,
    QUESTIONS,
    RELATED,
    REMOVED,
    SELECTIVE,
    SORTED,
    SPILLED,
    Grade,
    Part,
    Verdict,
)
from faiglib.companion.distribution.report import CLUSTER, EVEN
from faiglib.companion.interpolation.report import LEAST_GAIN, MONOTONE
from faiglib.companion.judging import against_controls, at_least, at_most
from faiglib.companion.page.words import DASH, counted, listed, number, percent, printed
from faiglib.companion.public_pairs import report
from faiglib.companion.public_pairs.pairs import CONTROL, MAIN
from faiglib.companion.questions import NOT_ASKED

if TYPE_CHECKING:
    import pandas as pd

#: Measures that are others than on the pairs trained here, whose grades do not belong beside them.
OTHERS = {("f", "paper"), ("f", "beyond"), ("g", "beyond"), ("j", "beyond")}

#: What decides in words, by letter: as the paper measures, and as this book does besides.
CRITERIA: Mapping[str, tuple[str, str]] = {
    "b": ("drop on the own and on the other input", "the same for PSNR, and PSNR with the means put right"),
    "c": ("drop of random filters against FAIG’s", "change of PSNR by random filters"),
    "d": ("drop on the own input against each other method, 1 and 5 %", "the same, and FAIG loses more PSNR as well"),
    "f": ("a cluster of denoising filters in the last two convolutions", "denoising filters even before these"),
    "g": ("overlap of filters, each image judged by the others’ threshold", "interval of the AUC"),
    "i": ("drop on own over other input, 1 %", "the same at 1 and 5 %"),
    "j": ("distance from the target’s output falls with λ", "PSNR rises with λ, by at least a tenth of a dB"),
    "k": ("", "depth of the straight path on clean input"),
    "l": ("", "matched controls that reach FAIG’s drop"),
}


def verdicts(tables: Mapping[str, pd.DataFrame]) -> list[Verdict]:
    """Verdicts on the main public pair, in the order of :data:`CRITERIA`.

    Args:
        tables: of the chapter by name, see :func:`faiglib.companion.public_pairs.kept.measured`.
    """
    drops, sweep = tables["drops"], tables["sweep"]
    lead = report.leads(drops)
    return [
        Verdict("b", _part(_selective(drops, ("drop",))), _part(_selective(drops, ("psnr", "level")))),
        _random(report.chance(drops)),
        Verdict("d", _part(_ahead(lead)), _part(_ahead(lead, _more_lost(drops)))),
        _placed(report.spread(tables["layers"])),
        _predicted(report.predicted(tables["overlaps"])),
        _eliminated(report.elimination(drops)),
        _turned(report.knobs(sweep)),
        Verdict("k", NOT_ASKED, _part(_sound(tables["profiles"]))),
        Verdict("l", NOT_ASKED, _part(_controlled(report.against(tables["controls"])))),
    ]


def _part(judged: tuple[Grade, str]) -> Part:
    return Part({MAIN.title: judged[0]}, printed(judged[1]))


def _selective(drops: pd.DataFrame, measures: tuple[str, ...]) -> tuple[Grade, str]:
    table = report.shares(drops)
    table = table[table["measure"].isin(measures) & (table["filters"] != CONTROL) & (table["side"] != "third")]
    wide = table.pivot(index=["filters", "measure"], columns="side", values="share")
    own, other = wide["own"], wide["other"].clip(lower=0)
    within = (own >= REMOVED) & (other <= SPILLED)
    partly = bool((own >= SELECTIVE * other).all())
    words = (
        f"own input loses {percent(own.min())} to {percent(own.max())}, the other {percent(other.min())} to "
        f"{percent(other.max())}; within both limits in {within.sum()} of {counted(len(within), 'case')}"
    )
    return "held" if within.all() else "partly" if partly else "did not hold", words


def _random(table: pd.DataFrame) -> Verdict:
    most, change = float(table["share"].max()), float(table["change"].abs().max())
    by_drop = at_most(most, CHANCE, 3 * CHANCE), f"at most {100 * most:.1f} % of FAIG's drop"
    by_psnr = at_most(change, INVISIBLE, 3 * INVISIBLE), f"{change:.3f} dB at most"
    return Verdict("c", _part(by_drop), _part(by_psnr))


def _ahead(leads: pd.DataFrame, agreed: pd.Series | None = None) -> tuple[Grade, str]:
    ahead = leads["outcome"] == "ahead"
    if agreed is not None:
        ahead &= agreed.loc[list(zip(leads["filters"], leads["percent"], strict=True))].to_numpy()
    behind = int((leads["outcome"] == "behind").sum())
    share = float(ahead.mean())
    grade: Grade = "held" if share >= AHEAD and not behind else "partly" if share >= 0.5 else "did not hold"
    words = f"ahead in {ahead.sum()} of {counted(len(leads), 'cell')}, behind in {behind}"
    return grade, f"{words}, {number(leads['ratio'].min(), '.1f')} to {number(leads['ratio'].max(), '.1f')} times"


def _more_lost(drops: pd.DataFrame) -> pd.Series:
    """Whether FAIG's filters lose more PSNR on the own input than every other method's, by filters and percent."""
    own = drops[(report.side(drops) == "own") & (drops["method"] != "raw") & (drops["filters"] != CONTROL)]
    lost = (own["psnr_target"] - own["psnr"]).groupby([own["filters"], own["percent"], own["method"]]).mean()
    wide = lost.unstack("method")
    return wide["faig"] > wide.drop(columns="faig").max(axis=1)


def _placed(table: pd.DataFrame) -> Verdict:
    row = table[table["filters"] == "denoising"].iloc[0]
    words = f"the last layers hold {percent(row['last'])}, an even spread {percent(row['last_even'])}"
    if CLUSTER * row["last_even"] > 1:
        clustered = Part(why=printed(f"{words}; {CLUSTER:g} times that is more than all"))
    else:
        clustered = _part(("held" if row["last"] >= CLUSTER * row["last_even"] else "did not hold", words))
    even = f"{percent(row['uneven'])} would have to move to lie evenly"
    return Verdict("f", clustered, _part(("held" if row["uneven"] <= EVEN else "did not hold", even)))


def _predicted(table: pd.DataFrame) -> Verdict:
    right = ", ".join(f"{row['filters']} {percent(row['accuracy'])}" for row in table.to_dict("records"))
    areas = ", ".join(
        f"{row['filters']} {row['auc']:.2f} ({row['low']:.2f} to {row['high']:.2f})" for row in table.to_dict("records")
    )
    above = bool((table["low"] > 0.5).all())
    grade: Grade = "held" if (table["accuracy"] >= PREDICTED).all() else "partly" if above else "did not hold"
    by_area: Grade = "held" if above else "partly" if (table["low"] > 0.5).any() else "did not hold"
    return Verdict("g", _part((grade, f"right for {right}")), _part((by_area, f"AUC {areas}")))


def _eliminated(table: pd.DataFrame) -> Verdict:
    def judged(rows: pd.DataFrame) -> tuple[Grade, str]:
        better = rows["with"] > rows["without"]
        gain = float((rows["with"] / rows["without"]).median())
        words = f"more selective in {better.sum()} of {counted(len(rows), 'case')}, {gain:.2f} times in the median"
        return at_least(float(better.mean()), 1, 0.5), words

    return Verdict("i", _part(judged(table[table["percent"] == report.PERCENT])), _part(judged(table)))


def _turned(table: pd.DataFrame) -> Verdict:
    nearer = table["curve_approaches"] & (table["approaches"] >= MONOTONE)
    better = (table["rises"] >= MONOTONE) & (table["gained"] >= LEAST_GAIN)
    by_distance = f"at least {percent(table['approaches'].min())} of the steps lead nearer to the target's output"
    by_psnr = (
        f"PSNR rises in at least {percent(table['rises'].min())} of the steps, by {number(table['gained'].min())} dB "
        f"or more; the other input moves by up to {number(table['other_moved'].max())} dB"
    )
    return Verdict(
        "j",
        _part((at_least(float(nearer.mean()), 1, 0.5), by_distance)),
        _part((at_least(float(better.mean()), 1, 0.5), by_psnr)),
    )


def _sound(profiles: pd.DataFrame) -> tuple[Grade, str]:
    row = profiles[(profiles["pair"] == MAIN.title) & (profiles["way"] == "straight")].iloc[0]
    words = f"{number(row['barrier'])} dB deep, {number(row['barrier_level'])} dB with the means put right"
    return ("held" if row["barrier"] <= SOUND else "did not hold"), f"{words}: {row['verdict']}"


def _controlled(table: pd.DataFrame) -> tuple[Grade, str]:
    words = f"reached by {percent(table['reached'].max())} of {counted(int(table['draws'].max()), 'control')} at most"
    times = f"{number(table['effect'].min(), '.1f')} to {number(table['effect'].max(), '.1f')} times their drop"
    return against_controls(table, f"{words}, {times}")


def tabulated(found: Sequence[Verdict], trained_here: Mapping[str, Verdict | None]) -> pd.DataFrame:
    """Verdicts for a table, a row per claim and measure.

    Args:
        found: from :func:`verdicts`.
        trained_here: the verdicts on the pairs of this book, by letter; None where there is none.

    Returns:
        Columns ``claim``, ``measured by``, ``public pair``, ``what decides`` and ``trained here``, a dash where these
        are judged by another measure (:data:`OTHERS`).
    """
    import pandas as pd

    rows = []
    for one in found:
        own = trained_here.get(one.claim)
        for words, place in zip(CRITERIA[one.claim], ("paper", "beyond"), strict=True):
            if words:
                claim = {**CLAIMS, **QUESTIONS}[one.claim].short.rstrip(".")
                public: Part = getattr(one, place)
                ours = getattr(own, place).grade if own and (one.claim, place) not in OTHERS else DASH
                rows.append((f"({one.claim}) {claim}", words, public.grade, public.measured or public.why, ours))
    return pd.DataFrame(rows, columns=["claim", "measured by", "public pair", "what decides", "trained here"])


def in_short(found: Sequence[Verdict]) -> str:
    """Which claims got which grade, by the paper's measure and by this book's, a line each.

    Args:
        found: from :func:`verdicts`.
    """
    lines = []
    for title, place in (("As the paper measures", "paper"), ("As this book does besides", "beyond")):
        grades = {one.claim: getattr(one, place).grade for one in found if CRITERIA[one.claim][place == "beyond"]}
        told = [
            f"{grade}: {listed(f'({letter})' for letter, one in grades.items() if one == grade)}"
            for grade in GRADES
            if grade in grades.values()
        ]
        lines.append(f"- {title}, {'; '.join(told)}.")
    return "\n".join(lines)


def foretold(everywhere: pd.DataFrame, recorded: str = "") -> Verdict:
    """Question (n): whether the path tells beforehand where FAIG is selective.

    Args:
        everywhere: from :func:`faiglib.companion.public_pairs.paths.everywhere`.
        recorded: what to say where it is a recorded table.
    """
    table = report.by_pair(everywhere)
    rho, p, count = report.relation(table)
    straight = report.counted(table)
    sound, selective = straight["barrier"] <= SOUND, straight["selectivity"] >= SELECTIVE
    right = float((sound == selective).mean())
    related = rho <= RELATED and p < 0.05
    mixed = 0 < int(sound.sum()) < count
    holds = int(related) + int(right >= SORTED)
    grade: Grade = ("held", "partly", "did not hold")[2 - holds] if mixed and np.isfinite(rho) else "not tested"
    words = (
        f"ρ = {number(rho)} (p = {number(p, '.2g')}) over {counted(count, 'pair')}; the limit sorts {percent(right)} "
        f"of them rightly: {int((sound & selective).sum())} of {counted(int(sound.sum()), 'sound path')} "
        f"and {int((~sound & selective).sum())} of {count - int(sound.sum())} others have selective filters; within "
        f"networks alone p = {number(report.within_networks(table), '.2g')}"
    )
    why = "; ".join(filter(None, (recorded, "" if mixed else "all paths are alike")))
    part = Part({"all pairs": grade}, printed(words), why)
    return Verdict("n", NOT_ASKED, part)
