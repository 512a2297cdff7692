"""What changes with the length of training: milestones of all targets, and whether their last tenfold has a trend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from faiglib.companion.intervals import FEWEST_RUNS, smallest_effect, t_interval
from faiglib.companion.page.words import counted, listed, number, typeset
from faiglib.networks import TITLES, zoo
from faiglib.training import milestones
from faiglib.training.recipe import paper_recipe

#: Columns of :func:`rows` that the page follows, what they are, the format of a change, and the claim they speak to.
FOLLOWED: Mapping[str, tuple[str, str, str]] = {
    "psnr": ("PSNR on the own input (dB)", "+.2f", ""),
    "distance": ("distance ‖θ − θ̄‖ ÷ ‖θ̄‖", "+.2f", ""),
    "barrier": ("barrier of the straight path (dB)", "+.2f", ""),
    "own": ("share of the drop, own input", "+.0%", "b"),
    "other": ("share of the drop, other input", "+.0%", "b"),
    "chance": ("random filters’ drop ÷ FAIG’s", "+.1%", "c"),
    "lead": ("FAIG’s drop ÷ best rival’s", "+.2f", "d"),
    "overlap": ("filters shared with the result", "+.0%", ""),
}
#: Part of a run that is the last tenfold of its training.
TENTH = 0.1


def rows(folder: Path) -> pd.DataFrame:
    """The milestones of all targets of a folder of weights that have some.

    Returns:
        Columns of :class:`faiglib.training.milestones.Milestone` after ``network``, ``seed``, ``baseline`` (seed),
        ``done`` (share of the run's iterations) and ``share`` (pixels seen, of the paper's target); then ``chance``,
        random filters' drop over FAIG's, and ``lead``, FAIG's drop over that of the best of the other methods.

    Raises:
        WeightsError: a file of milestones cannot be read.
    """
    found = []
    for network, seed in zoo.pairs_available(folder):
        pair = zoo.pair_entries(folder, network, seed)
        path = milestones.path_of(folder, network, seed)
        if not path.is_file():
            continue
        recipe, full = pair["target"].recipe, paper_recipe(network, "target")
        whole = recipe["iterations"] * recipe["batch"] * recipe["patch"] ** 2
        share = whole / (full.iterations * full.batch * full.patch**2)
        for row in milestones.read(path):
            done = row.step / recipe["iterations"]
            named = {"network": network, "seed": seed, "baseline": pair["baseline"].seed}
            found.append({**named, "done": done, "share": share * done, **asdict(row)})
    table = pd.DataFrame(found)
    if table.empty:
        return table
    rivals = table[["intinf", "filter_change", "random"]].max(axis=1)
    return table.assign(chance=table["random"] / table["own"], lead=table["own"] / rivals)


def followed(table: pd.DataFrame) -> list[str]:
    """Networks of :func:`rows` that have targets with milestones on their way, not only at their end."""
    return [] if table.empty else list(table.loc[table["done"] < 1, "network"].unique())


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """The last milestone of every target, a row per pair.

    Returns:
        ``network``, ``seed``, ``distance``, ``barrier``, ``barrier_level``, and by function ``own`` and ``other``:
        ``deblurring_own``, and so on.
    """
    last = table[table["done"] == 1]
    keys = ["network", "seed"]
    wide = last.pivot(index=keys, columns="function", values=["own", "other"])
    wide.columns = [f"{function}_{name}" for name, function in wide.columns]
    common = last.groupby(keys, sort=False)[["distance", "barrier", "barrier_level"]].first()
    return common.join(wide).reset_index()


def trends(table: pd.DataFrame) -> pd.DataFrame:
    """How the followed quantities changed over the last tenfold of training, over pairs that share nothing.

    Returns:
        One row per ``network``, ``function`` and ``quantity``: ``before`` and ``after`` (means over pairs at a tenth
        and at the end of the run), ``change`` (mean of the differences), ``low`` and ``high`` (its 95 % interval,
        Student's t over pairs), ``smallest`` (change that so many pairs would tell from none with a power of 80 %),
        ``pairs``. Networks with fewer than :data:`faiglib.companion.intervals.FEWEST_RUNS` such pairs have none.
    """
    if table.empty:
        return pd.DataFrame()
    found = []
    for network, runs in table.groupby("network", sort=False):
        alone = runs.drop_duplicates("baseline")["seed"]
        runs = runs[runs["seed"].isin(alone)]
        for function, own in runs.groupby("function", sort=False):
            first = own[np.isclose(own["done"], TENTH, rtol=0.05)].set_index("seed")
            last = own[own["done"] == 1].set_index("seed").loc[first.index]
            if len(first) < FEWEST_RUNS:
                continue
            for name in FOLLOWED:
                change = last[name] - first[name]
                low, high = t_interval(change.to_numpy())
                smallest = smallest_effect(len(change)) * change.std()
                row = (network, function, name, first[name].mean(), last[name].mean(), change.mean(), low, high)
                found.append((*row, smallest, len(change)))
    columns = ["network", "function", "quantity", "before", "after", "change", "low", "high", "smallest", "pairs"]
    return pd.DataFrame(found, columns=columns)


def trend(low: float, high: float) -> str:
    """What the interval of a change says, in a word: ``rises``, ``falls`` or ``no trend``."""
    return "rises" if low > 0 else "falls" if high < 0 else "no trend"


@typeset
def expectation(changes: pd.DataFrame, claim: str) -> str:
    """What the last nine tenths of the trainings did to a claim.

    Args:
        changes: from :func:`trends`.
        claim: letter.

    Returns:
        A sentence; empty where nothing was followed.
    """
    if changes.empty:
        return ""
    told = []
    of_claim = changes[changes["quantity"].map(lambda name: FOLLOWED[name][2] == claim)]
    for row in of_claim.to_dict("records"):
        title, form, _ = FOLLOWED[row["quantity"]]
        word = trend(row["low"], row["high"])
        points = form.endswith("%")
        scale, form, unit = (100, f"{form[:-1]}f", " percentage points") if points else (1, form, "")
        low, high = (number(scale * row[name], form) for name in ("low", "high"))
        by = f"{word} by {number(scale * abs(row['change']), form[1:])}{unit} (95 % {low} to {high})"
        told.append(
            f"{title} for {row['function']} {by if word != 'no trend' else f'has no trend (95 % {low} to {high})'}"
        )
    (first, *_) = of_claim.to_dict("records")
    return (
        f"Claim ({claim}), {counted(first['pairs'], 'pair')} of {TITLES[first['network']]}, last tenfold of training: "
        f"{listed(told)}."
    )


#: Quantities that claims are about, for a sentence that stands alone.
IN_SHORT = {
    "own": "what FAIG’s filters take from their own input",
    "other": "what they take from the other one",
    "chance": "what random filters take in proportion to FAIG’s",
    "lead": "FAIG’s lead over the best rival",
}


def headline(changes: pd.DataFrame) -> str:
    """One sentence on what more training does, for the front page; empty where nothing was followed."""
    if changes.empty:
        return ""
    told = []
    for quantity, words in IN_SHORT.items():
        found: dict[str, list[str]] = {"rose": [], "fell": []}
        for row in changes[changes["quantity"] == quantity].to_dict("records"):
            way = {"rises": "rose", "falls": "fell"}.get(trend(row["low"], row["high"]))
            if way:
                found[way].append(f"for {row['function']}")
        ways = [f"{way} {listed(functions)}" for way, functions in found.items() if functions]
        if ways:
            told.append(f"{words} {' and '.join(ways)}")
    first = changes.iloc[0]
    return (
        f"From a tenth of a training to its end, over {counted(int(first['pairs']), 'pair')} of "
        f"{TITLES[first['network']]}: "
        f"{'; '.join(told) if told else 'nothing that the claims are about has a clear trend'}."
    )
