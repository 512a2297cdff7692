"""The questions of this book beyond the paper as predicates over measured tables; see :mod:`.criteria`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from faiglib.attribution.path_profile import SOUND
from faiglib.companion.criteria import FAR_FROM_BOUND, NEAR_BOUND, Grade, Part, Verdict
from faiglib.companion.judging import against_controls, at_least, beaten, by_network
from faiglib.companion.page.words import counted, number, percent

if TYPE_CHECKING:
    import pandas as pd

#: What stands in the place of a verdict in the paper's setup.
NOT_ASKED = Part(why="the paper does not ask")


def soundness(barriers: Mapping[tuple[str, int], float]) -> Verdict:
    """Question (k).

    Args:
        barriers: depth in dB of the straight path on clean input, by network and seed; NaN where it was not measured.
    """
    import pandas as pd

    table = pd.DataFrame(
        [(network, value) for (network, _), value in barriers.items() if not math.isnan(value)],
        columns=["network", "barrier"],
    )

    def judge(rows: pd.DataFrame) -> tuple[Grade, str]:
        sound = rows["barrier"] <= SOUND
        ends = [number(one) for one in (rows["barrier"].min(), rows["barrier"].max())]
        span = f"{' to '.join(dict.fromkeys(ends))} dB"
        return at_least(float(sound.mean()), 1, 0.5), f"{sound.sum()} of {counted(len(rows), 'pair')} sound ({span})"

    return Verdict("k", NOT_ASKED, by_network(table, judge, "no barrier is recorded"))


def controls(table: pd.DataFrame) -> Verdict:
    """Question (l) on :func:`faiglib.companion.faithfulness.report.against`."""

    def judge(rows: pd.DataFrame) -> tuple[Grade, str]:
        times = number(rows["effect"].median(), ".1f")
        words = (
            f"beaten in {beaten(rows).sum()} of {counted(len(rows), 'case')}, {times} times their drop in the median, "
            f"reached by {percent(rows['reached'].max())} of the controls at most"
        )
        return against_controls(rows, words)

    return Verdict("l", NOT_ASKED, by_network(table, judge))


def bound(table: pd.DataFrame) -> Verdict:
    """Question (m) on :func:`faiglib.companion.faithfulness.report.of_bound`."""

    def judge(rows: pd.DataFrame) -> tuple[Grade, str]:
        words = ", ".join(
            f"{row['filters']} {percent(row['share'])} ({number(row['faig'])} of {number(row['bound'])})"
            for row in rows.to_dict("records")
        )
        if rows["share"].isna().any():
            return "not tested", f"{words}: masks that bring nothing bound nothing"
        return at_least(float(rows["share"].min()), NEAR_BOUND, FAR_FROM_BOUND), words

    return Verdict("m", NOT_ASKED, by_network(table, judge))
