"""One branch against two (supp. Tables 1 and 2): what the networks cost, and who wins the race of equal training.

The rules of the race were declared before any network was trained:

- A one-branch network is *not inferior* if the 95 % interval of its lead lies above -0.10 dB, *inferior* if it lies
  below, *better* if it lies above 0, *equivalent* if the 90 % interval lies within ±0.10 dB (two one-sided tests at
  5 %), and otherwise the race is *inconclusive*.
- What counts is each contest on the test of its own two-branch network, on RGB as in the paper; the rest is shown.
- The whole one-branch network has to come out *better* than half of it by the same rule, or the contest shows
  nothing. (Set later: at first an interval above 0 was enough, so that a control could be *equivalent* and pass.)

Intervals are over seeds and images, as wide as Student's t for so few. (Set later, too: percentiles of a bootstrap over
three seeds, which they were at first, cover 77 % where 95 % are asked for.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import pandas as pd

from faiglib.companion import paper
from faiglib.companion.intervals import students_interval
from faiglib.companion.one_versus_two.measure import PRIMARY, TESTS, RecordedRace
from faiglib.companion.page.words import typeset
from faiglib.networks import TITLES
from faiglib.race.presets import CONTESTS

Outcome = Literal["equivalent", "better", "not inferior", "inferior", "inconclusive"]

#: dB. The differences of the paper's Table 2 are half of it, and no eye sees it.
MARGIN = 0.10


# ---------------------------------------------------------------- what is compared


def leads(psnr: pd.DataFrame, first: str, second: str, test: str, channel: str) -> pd.DataFrame:
    """PSNR of one entrant minus another's in dB, mean over the widths of a test: a row a seed, a column an image."""
    chosen = psnr[psnr["width"].isin(TESTS[test])]
    wide = chosen.pivot_table(index=["seed", "image"], columns="entrant", values=channel)
    return (wide[first] - wide[second]).dropna().unstack("image")


def lead_interval(differences: np.ndarray, level: float) -> tuple[float, float]:
    """Interval of the mean of (seeds, images) differences, both of which are drawn; NaN for a single seed."""
    if len(differences) < 2:
        return (math.nan, math.nan)
    return students_interval([differences], np.mean, level)


def outcome(ninety: tuple[float, float], ninety_five: tuple[float, float], margin: float = MARGIN) -> Outcome:
    """What the intervals of a lead in dB say, by the rules of this module."""
    if -margin < ninety[0] and ninety[1] < margin:
        return "equivalent"
    if ninety_five[0] > 0:
        return "better"
    if ninety_five[0] > -margin:
        return "not inferior"
    return "inferior" if ninety_five[1] < -margin else "inconclusive"


def comparisons(record: RecordedRace) -> pd.DataFrame:
    """All contests and their controls on all tests.

    Returns:
        One row per ``contest``, ``compared`` (``one − two`` or ``whole − half``), ``test`` and ``channel``: PSNR of
        both (``first``, ``second``, dB), ``lead`` (dB), ``low`` and ``high`` (95 % interval), ``low90`` and
        ``high90``, ``least`` and ``most`` (of the seeds), ``seeds``, ``images``, ``outcome``, ``primary``.
    """
    rows = []
    for name, contest in CONTESTS.items():
        for compared, first, second in (
            ("one − two", contest.one, contest.two),
            ("whole − half", contest.one, contest.half),
        ):
            for test in TESTS:
                for channel in ("rgb", "y"):
                    table = leads(record.psnr, first, second, test, channel)
                    low90, high90 = lead_interval(table.to_numpy(), 0.90)
                    low, high = lead_interval(table.to_numpy(), 0.95)
                    rows.append(
                        {
                            "contest": name,
                            "compared": compared,
                            "test": test,
                            "channel": channel,
                            "first": level(record.psnr, first, test, channel),
                            "second": level(record.psnr, second, test, channel),
                            "lead": float(table.to_numpy().mean()),
                            "low": low,
                            "high": high,
                            "low90": low90,
                            "high90": high90,
                            "least": float(table.mean(axis=1).min()),
                            "most": float(table.mean(axis=1).max()),
                            "seeds": table.shape[0],
                            "images": table.shape[1],
                            "outcome": outcome((low90, high90), (low, high)),
                            "primary": test == PRIMARY[name] and channel == "rgb",
                        }
                    )
    return pd.DataFrame(rows)


def level(psnr: pd.DataFrame, entrant: str, test: str, channel: str) -> float:
    """Mean PSNR in dB of an entrant over the seeds, images and widths of a test."""
    chosen = psnr[(psnr["entrant"] == entrant) & psnr["width"].isin(TESTS[test])]
    return float(chosen[channel].mean())


@dataclass(frozen=True)
class RaceVerdict:
    """What the race says about the claim that one branch does what two do.

    Attributes:
        outcomes: by contest, on its primary test.
        leads: dB, one branch minus two, on the same.
        sensitive: by contest, whether the whole one-branch network came out better than half of it.
        share: of the paper's iterations, the smallest over the contests.
        complete: whether all runs of the race are in.
        seeds: how many.
        elsewhere: by contest, the outcomes on the other tests and channels on which the control came out.
    """

    outcomes: dict[str, Outcome]
    leads: dict[str, float]
    sensitive: dict[str, bool]
    share: float
    complete: bool
    seeds: int
    elsewhere: dict[str, list[Outcome]]


def verdict(record: RecordedRace, table: pd.DataFrame) -> RaceVerdict:
    """Judge claim (a) of the paper on the table of :func:`comparisons`."""
    primary = table[table["primary"]].set_index(["compared", "contest"])
    one = primary.loc["one − two"]
    half = primary.loc["whole − half"]
    return RaceVerdict(
        {name: cast("Outcome", one.loc[name, "outcome"]) for name in CONTESTS},
        {name: float(one.loc[name, "lead"]) for name in CONTESTS},
        {name: half.loc[name, "outcome"] == "better" for name in CONTESTS},
        min(record.preset.iterations / one.iterations for one in paper.RACE_TRAINING.values()),
        bool(record.description.complete),
        int(table["seeds"].min()),
        {name: _elsewhere(table[table["contest"] == name]) for name in CONTESTS},
    )


def _elsewhere(table: pd.DataFrame) -> list[Outcome]:
    """Outcomes of a contest on tests that are not its own, where half of the network came out worse."""
    others = table[~table["primary"]].pivot(index=["test", "channel"], columns="compared", values="outcome")
    return others.loc[others["whole − half"] == "better", "one − two"].tolist()


# ---------------------------------------------------------------- paper beside measured


def beside_the_paper(record: RecordedRace) -> pd.DataFrame:
    """Supp. Table 2, blur only, beside the race.

    Returns:
        One row per ``contest`` and ``branches`` (``two``, ``one``, ``half``): ``title``; PSNR in dB here on RGB and Y
        (``rgb``, ``y``: means over seeds, with ``rgb_std`` and ``y_std``), in the paper (``paper``, ``paper_std``).
    """
    printed = {one.contest: one for one in paper.RACE if one.degradation == "blur"}
    rows = []
    for name, contest in CONTESTS.items():
        for role, key in vars(contest).items():
            chosen = record.psnr[(record.psnr["entrant"] == key) & record.psnr["width"].isin(TESTS[PRIMARY[name]])]
            by_seed = chosen.groupby("seed")[["rgb", "y"]].mean()
            mean, std = getattr(printed[name], role, (float("nan"), float("nan")))
            rows.append(
                {
                    "contest": name,
                    "branches": role,
                    "title": record.preset.entrant(key).title,
                    "rgb": by_seed["rgb"].mean(),
                    "rgb_std": by_seed["rgb"].std(),
                    "y": by_seed["y"].mean(),
                    "y_std": by_seed["y"].std(),
                    "paper": mean,
                    "paper_std": std,
                }
            )
    return pd.DataFrame(rows)


@typeset
def head_start(beside: pd.DataFrame) -> str:
    """How far half of the one-branch network is from the two branches and from the whole, in words.

    Args:
        beside: from :func:`beside_the_paper`.
    """
    rgb = beside.set_index(["contest", "branches"])["rgb"]
    told = "; ".join(
        f"over {TITLES[name]} the half leads by {rgb[name, 'half'] - rgb[name, 'two']:+.2f} dB, the whole by "
        f"{rgb[name, 'one'] - rgb[name, 'two']:+.2f} dB"
        for name in CONTESTS
    )
    start = f"What half of the one-branch network does tells how to read the leads: {told}"
    if all(rgb[name, "half"] - rgb[name, "two"] > rgb[name, "one"] - rgb[name, "half"] for name in CONTESTS):
        return (
            f"{start}. Halving costs less than the half is ahead by, so the leads measure how soon a network starts to "
            "learn more than whether it has a second branch."
        )
    return f"{start}."


def anomalies() -> dict[str, float]:
    """Figures of supp. Table 2 that do not fit together, in dB.

    ``dasr_rgb`` and ``dasr_y`` (DASR's blur, as printed in the table and in the text), ``dan_noise_gain`` (how much
    better DAN does when noise is added), ``largest_gap`` (between one and two branches), ``largest_std``.
    """
    cell = {(one.contest, one.degradation): one for one in paper.RACE}
    return {
        "dasr_rgb": cell["dasr", "blur"].two[0],
        "dasr_y": paper.RACE_Y["dasr"],
        "dan_noise_gain": cell["dan", "blur and noise"].two[0] - cell["dan", "blur"].two[0],
        "largest_gap": max(abs(one.two[0] - one.one[0]) for one in paper.RACE),
        "largest_std": max(max(one.two[1], one.one[1]) for one in paper.RACE),
    }
