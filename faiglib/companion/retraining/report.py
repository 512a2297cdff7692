"""Re-training (paper, section 4.2): how much of an ability comes back when only the discovered filters may learn."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from faiglib.companion import paper
from faiglib.companion.page.words import typeset
from faiglib.companion.profiles import PROFILES, Profile
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import TITLES


def share_of_training(profile: Profile) -> float:
    """Pixels that a re-training sees, as a share of those of the profile ``paper``."""
    seen, wanted = (
        one.retraining_iterations * one.retraining_batch * one.retraining_patch**2
        for one in (profile, PROFILES["paper"])
    )
    return seen / wanted


def own_leads(final_table: pd.DataFrame) -> pd.DataFrame:
    """How far FAIG's locations are ahead when they are re-trained for their own function, by network and function.

    Args:
        final_table: from :func:`final`.

    Returns:
        One row per ``network`` and ``task``: ``over_methods``, dB over the best of the other methods' locations for the
        same function, and ``over_function``, dB over FAIG's locations for the other function.
    """
    ends = final_table[final_table["method"] != "all"].set_index(["network", "task", "filters", "method"])["measured"]
    rows = []
    for (network, task), cell in ends.groupby(level=["network", "task"], sort=False):
        wide = cell.droplevel(["network", "task"]).unstack("method")
        own, other = wide.loc[task], wide.drop(index=task).iloc[0]
        lead = own["faig"] - own.drop("faig").max()
        rows.append((network, task, float(lead), float(own["faig"] - other["faig"])))
    return pd.DataFrame(rows, columns=["network", "task", "over_methods", "over_function"])


def final(table: pd.DataFrame) -> pd.DataFrame:
    """PSNR at the end of every re-training, mean and standard deviation over seeds, beside the paper's.

    Returns:
        One row per ``network``, ``task``, ``filters`` and ``method``: ``measured`` (dB), ``spread`` (over seeds; NaN
        for one), ``seeds``, ``gain`` (dB over the untouched baseline), ``recovered`` (share of the gain of
        re-training all filters, NaN where that gains nothing), ``paper`` and ``paper_std``.
    """
    cells = ["network", "task", "filters", "method"]
    last = table[table["step"] == table["step"].max()].set_index([*cells, "seed"])["psnr"]
    first = table[table["step"] == 0].set_index([*cells, "seed"])["psnr"]
    grouped = last.groupby(level=cells, sort=False)
    result = pd.DataFrame({"measured": grouped.mean(), "spread": grouped.std(), "seeds": grouped.size()})
    result["gain"] = (last - first).groupby(level=cells, sort=False).mean()
    bound = result["gain"].xs(("all", "all"), level=("filters", "method"))
    result = result.reset_index()
    wholes = [bound[network, task] for network, task in zip(result["network"], result["task"], strict=True)]
    result["recovered"] = result["gain"] / pd.Series(wholes).where(lambda gain: gain > 0)
    published = {(one.network, one.task, one.filters, one.method): one for one in paper.retraining()}
    found = [published.get(tuple(row)) for row in result[cells].itertuples(index=False)]
    result["paper"] = [one.mean if one else float("nan") for one in found]
    result["paper_std"] = [one.std if one else float("nan") for one in found]
    return result


@dataclass(frozen=True)
class RetrainingVerdict:
    """How FAIG's locations compare with the others when they are re-trained for their own function.

    Attributes:
        cells: network × function.
        won: cells in which FAIG ends above every other method.
        least_lead: smallest difference in dB to the best other method.
        below_random: cells, over both functions and tasks, in which IG or |θ − θ̄| ends below random locations.
        comparisons: cells that ``below_random`` counts in.
        deepest: how far they end below at most, in dB; 0 if none does.
    """

    cells: int
    won: int
    least_lead: float
    below_random: int
    comparisons: int
    deepest: float


def verdict(final_table: pd.DataFrame) -> RetrainingVerdict:
    """Judge claim (e) of the paper on the table of :func:`final`."""
    wide = final_table[final_table["method"] != "all"].pivot_table(
        index=["network", "task", "filters"], columns="method", values="measured", sort=False
    )
    own = wide[wide.index.get_level_values("task") == wide.index.get_level_values("filters")]
    lead = own["faig"] - own.drop(columns="faig").max(axis=1)
    gap = wide[["intinf", "filter_change"]].sub(wide["random"], axis=0).to_numpy()
    return RetrainingVerdict(
        len(own), int((lead > 0).sum()), float(lead.min()), int((gap < 0).sum()), gap.size, float(-min(gap.min(), 0))
    )


@typeset
def in_words(final_table: pd.DataFrame) -> str:
    """Who leads for its own function, and whether FAIG's own filters beat those of the other function, by network."""
    ends = final_table.set_index(["network", "task", "filters", "method"])["measured"].sort_index()
    items = []
    for network in final_table["network"].unique():
        parts = []
        for task in FUNCTIONS:
            own = ends[network, task, task]
            best = str(own.idxmax())
            led = f"FAIG's filters learn most ({own['faig']:.2f} dB)"
            if best != "faig":
                named = "random filters" if best == "random" else f"{paper.METHODS[best]}'s filters"
                led = f"{named} learn most ({own[best]:.2f} dB, FAIG's {own['faig']:.2f})"
            (other,) = (name for name in FUNCTIONS if name != task)
            crossed = ends[network, task, other, "faig"]
            order = "more" if own["faig"] > crossed else "no more"
            parts.append(
                f"for {task}, {led}; FAIG's own filters learn {order} than its {other} ones ({crossed:.2f} dB)"
            )
        items.append(f"- **{TITLES[network]}**: {'; '.join(parts)}.")
    return "\n".join(items)
