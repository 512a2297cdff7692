"""What stands above and below the tables and figures of the chapter on masking, by what they have."""

from __future__ import annotations

import pandas as pd

from faiglib.companion.intervals import FEWEST_RUNS
from faiglib.companion.page.words import counted, listed, typeset
from faiglib.images import registry
from faiglib.networks import TITLES

#: Training runs of the paper's tables.
PAPER_RUNS = 3


def in_the_paper(summary_table: pd.DataFrame) -> bool:
    """Whether the paper has any of the cells of :func:`faiglib.companion.masking.report.summary`."""
    return bool(summary_table["paper"].notna().any())


@typeset
def drop_caption(cells: pd.DataFrame) -> str:
    """What stands above a table of drops: whose, and how it was made here and, if it has the cells, in the paper.

    Args:
        cells: of :func:`faiglib.companion.masking.report.summary`, one network and image set.
    """
    first = cells.iloc[0]
    made = f"{counted(first['images'], 'image')}, {counted(first['seeds'], 'training run')}"
    parts = [f"{TITLES[first['network']]}, {made}."]
    if in_the_paper(cells):
        parts = [
            f"{TITLES[first['network']]}, {made} here and {PAPER_RUNS} in the paper.",
            "Gray here; the released script compares blue channels.",
        ]
    ninety_five = f"95 % an interval over {_covered(cells)}."
    parts.append(f"± is over these runs, {ninety_five}" if first["seeds"] > 1 else ninety_five.replace("%", "% is"))
    parts.append("Of |θ − θ̄|, the paper names the absolute change, its released script divides it by |θ̄|.")
    return " ".join(parts)


def _covered(cells: pd.DataFrame) -> str:
    """What the intervals of a network are over, see :func:`faiglib.companion.intervals.crossed_interval`."""
    return "images" if cells.iloc[0]["independent"] < FEWEST_RUNS else "images and runs that share nothing"


@typeset
def bars_caption(summary_table: pd.DataFrame, image_set: str, percent: float) -> str:
    """What the bars of the drops show: with the paper's beside them only where it has some on that set.

    Args:
        summary_table: from :func:`faiglib.companion.masking.report.summary`.
        image_set: name of the set.
        percent: of masked filters.
    """
    cells = summary_table[(summary_table["image_set"] == image_set) & (summary_table["percent"] == percent)]
    start = f"Drop after masking {percent:g} % of the filters on {registry.title(image_set)}"
    over = dict.fromkeys(_covered(rows) for _, rows in cells.groupby("network", sort=False))
    here = f"gray outputs; thin lines: 95 % interval over {' or '.join(over)}"
    if not in_the_paper(cells):
        return f"{start} ({here}). The paper has no numbers for this set and these networks."
    without = [name for name, rows in cells.groupby("network", sort=False) if not in_the_paper(rows)]
    return (
        f"{start}, measured here (solid, left; {here}) and in the paper (hatched, right; ± over runs; its script "
        "measures the blue channel)."
        + (f" The paper has none for {listed(TITLES[str(name)] for name in without)}." if without else "")
    )


@typeset
def curves_caption(table: pd.DataFrame, where: str) -> str:
    """What the masking curves show.

    Args:
        table: from :func:`faiglib.companion.masking.measure.curves`.
        where: the images in words.
    """
    kinds = listed(str(kind) for kind in table["input"].unique())
    runs = "; shaded: range over training runs" if table["seed"].nunique() > 1 else ""
    return (
        f"Drop against the proportion of masked filters, for {kinds} input (main Fig. 3 and supp. Fig. 1), on "
        f"{where}{runs}. The horizontal axis is linear up to 1 % and logarithmic beyond."
    )
