"""Controllable restoration (paper, section 4.5; supp. Figs. 10 and 11): the discovered filters as a knob.

θ_λ = (1 − λ) θ̄ + λ θ on the discovered filters, θ elsewhere: λ = 1 is the target, λ = 0 the masked target of the
chapter on masking, and λ > 1 goes on beyond the target in the direction of fine-tuning.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from faiglib.companion.interpolation.measure import EFFECTS
from faiglib.companion.masked import own_drops
from faiglib.companion.page.words import beside, typeset
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import TITLES

#: A knob counts as continuous when at least this share of its steps goes the right way, ...
MONOTONE = 0.9
#: ... and no step is steeper than this many times an even slope: half of the change within a tenth of λ would have 5.
STEEPEST = 5.0
#: dB of PSNR that a knob has to gain on its own input, from λ = 0 to 1, to be called a control at all: a smaller change
#: cannot be seen in a photograph, so there is nothing that one could turn up or down.
LEAST_GAIN = 0.1


def control(table: pd.DataFrame) -> pd.DataFrame:
    """How continuous a knob is, from λ = 0 to 1, on its own input. Effects are those of :data:`EFFECTS`.

    Args:
        table: from :func:`sweep`.

    Returns:
        One row per ``network`` and ``filters``: ``effect`` (name of the measure), ``at_0``, ``at_1``, ``at_end``
        (largest λ) and ``truth`` (its mean over images and seeds, 8-bit levels); ``steps`` counted (step × image ×
        seed) and ``monotone``, the share of them that goes the right way; ``nearer``, the share of the others that
        leads nearer to the ground truth all the same, NaN if there are none; ``curve_monotone``, whether the mean curve
        goes the right way at every step; of the mean curve, NaN where it ends on the wrong side: ``largest_step``, the
        largest change between neighbouring λ as a share of the whole, ``steepest``, the largest change per λ in
        relation to an even slope, and ``started``, ``halfway`` and ``finished``, the least λ at which 10, 50 and 90 %
        of the change are reached; ``gained`` (dB of PSNR from λ = 0 to 1); ``other_moved`` (dB, largest distance of the
        other input's mean PSNR from that at λ = 1, for λ from 0 to 1);
        ``continuous``, see :data:`MONOTONE` and :data:`STEEPEST`; ``approaches``, the share of steps that lead nearer
        to the target's output, and ``curve_approaches``, whether every step of its mean distance does.
    """
    rows = []
    for (network, function), cell in table.groupby(["network", "filters"], sort=False):
        effect, sign = EFFECTS[function]
        own_kind, other_kind = FUNCTIONS[function]
        own, other = cell[cell["input"] == own_kind], cell[cell["input"] == other_kind]
        wide = own.pivot_table(index="lambda", columns=["seed", "image"], values=effect)
        inner = wide.loc[:1.0]
        steps = sign * np.diff(inner.to_numpy(), axis=0)
        truth = own.groupby(["seed", "image"])[f"{effect}_truth"].first().reindex(inner.columns)
        nearer = np.diff((inner - truth).abs().to_numpy(), axis=0) < 0
        distance = own.pivot_table(index="lambda", columns=["seed", "image"], values="distance").loc[:1.0]
        mean = inner.mean(axis=1)
        quality, aside = (part[part["lambda"] <= 1].groupby("lambda")["psnr"].mean() for part in (own, other))
        rows.append(
            {
                "network": network,
                "filters": function,
                "effect": effect,
                "at_0": float(mean.loc[0.0]),
                "at_1": float(mean.loc[1.0]),
                "at_end": float(wide.iloc[-1].mean()),
                "truth": float(own[f"{effect}_truth"].mean()),
                "steps": steps.size,
                "monotone": float((steps > 0).mean()),
                "nearer": float(nearer[steps <= 0].mean()) if (steps <= 0).any() else math.nan,
                "curve_monotone": bool((sign * np.diff(mean) > 0).all()),
                **_shape(mean.index.to_numpy(), sign * mean.to_numpy()),
                "gained": float(quality.loc[1.0] - quality.loc[0.0]),
                "other_moved": float((aside - aside.loc[1.0]).abs().max()),
                "approaches": float((np.diff(distance.to_numpy(), axis=0) < 0).mean()),
                "curve_approaches": bool((np.diff(distance.mean(axis=1)) < 0).all()),
            }
        )
    result = pd.DataFrame(rows)
    result["continuous"] = (result["monotone"] >= MONOTONE) & (result["steepest"] <= STEEPEST)
    return result


def _shape(lambdas: np.ndarray, curve: np.ndarray) -> dict[str, float]:
    """How a rising curve rises: the columns ``largest_step`` to ``finished`` of :func:`control`."""
    names = ("largest_step", "steepest", "started", "halfway", "finished")
    whole = curve[-1] - curve[0]
    if whole <= 0:
        return dict.fromkeys(names, math.nan)
    progress = (curve - curve[0]) / whole
    moves = np.diff(progress)
    slopes = np.abs(moves) / np.diff(lambdas) * (lambdas[-1] - lambdas[0])
    reached = (_first_at(lambdas, progress, share) for share in (0.1, 0.5, 0.9))
    return dict(zip(names, (float(moves.max()), float(slopes.max()), *reached), strict=True))


def _first_at(lambdas: np.ndarray, progress: np.ndarray, share: float) -> float:
    """Least λ at which a curve from 0 to 1 reaches a share, between the points by straight lines."""
    after = int(np.argmax(progress >= share))
    return float(np.interp(share, progress[after - 1 : after + 1], lambdas[after - 1 : after + 1]))


def best(table: pd.DataFrame) -> pd.DataFrame:
    """λ with the highest PSNR for every image, on the knob's own input. It takes the ground truth to know it.

    Returns:
        One row per ``network``, ``seed``, ``filters`` and ``image``: ``lambda`` and ``gain`` (dB over λ = 1).
    """
    own = own_drops(table)
    keys = ["network", "seed", "filters", "image"]
    top = own.loc[own.groupby(keys, sort=False)["psnr"].idxmax()].set_index(keys)
    target = own[own["lambda"] == 1.0].set_index(keys)["psnr"]
    result = top[["lambda"]].assign(gain=top["psnr"] - target.reindex(top.index))
    return result.reset_index()


def best_summary(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`best` by network and knob.

    Returns:
        One row per ``network`` and ``filters``: ``images`` (over all seeds), ``median`` λ, ``below`` and ``above``, the
        shares of images with a λ below and above 1, ``mean_gain`` and ``largest_gain`` (dB over λ = 1).
    """
    grouped = table.groupby(["network", "filters"], sort=False)
    return grouped.agg(
        images=("lambda", "size"),
        median=("lambda", "median"),
        below=("lambda", lambda values: float((values < 1).mean())),
        above=("lambda", lambda values: float((values > 1).mean())),
        mean_gain=("gain", "mean"),
        largest_gain=("gain", "max"),
    ).reset_index()


def separation(table: pd.DataFrame) -> pd.DataFrame:
    """What each knob does alone and together with the other, on input that is blurry and noisy.

    Args:
        table: from :func:`grid`.

    Returns:
        One row per ``network``: mean PSNR in dB ``off`` (both λ 0), ``deblurring`` and ``denoising`` (that knob at 1,
        the other at 0), ``both`` (both at 1); ``sum_of_gains`` of the single knobs and ``joint_gain`` (dB over
        ``off``); ``best_deblurring``, ``best_denoising`` and ``best_psnr``, the best setting of the mean over images
        and seeds.
    """
    rows = []
    for network, cell in table.groupby("network", sort=False):
        mean = cell.groupby(["deblurring", "denoising"])["psnr"].mean()
        corners = {
            "off": (0.0, 0.0),
            "deblurring": (1.0, 0.0),
            "denoising": (0.0, 1.0),
            "both": (1.0, 1.0),
        }
        row = {name: float(mean.loc[place]) for name, place in corners.items()}
        first, second = mean.idxmax()
        rows.append(
            {
                "network": network,
                **row,
                "sum_of_gains": row["deblurring"] + row["denoising"] - 2 * row["off"],
                "joint_gain": row["both"] - row["off"],
                "best_deblurring": float(first),
                "best_denoising": float(second),
                "best_psnr": float(mean.max()),
            }
        )
    return pd.DataFrame(rows)


def _wrong_way(nearer: float) -> str:
    """What to say of wrong-way steps that lead nearer to the ground truth, if there are any."""
    return f" ({nearer:.0%} of the others lead nearer to the ground truth all the same)" if nearer > 0 else ""


def _judged(gained: float, continuous: bool) -> str:
    """Whether a knob is a control by the limits of this module, and a continuous one."""
    told = beside(gained, LEAST_GAIN)
    if gained < LEAST_GAIN:
        return (
            f"Turning it changes PSNR by {told} dB, less than the gain of {LEAST_GAIN:g} dB that one could see, so by "
            "the limits declared in the code it is no control, however even its steps."
        )
    return (
        f"It gains {told} dB. By the limits declared in the code ({MONOTONE:.0%}, {STEEPEST:g} and a gain of "
        f"{LEAST_GAIN:g} dB) this control is {'continuous' if continuous else 'not continuous'}."
    )


@typeset
def in_words(table: pd.DataFrame) -> str:
    """The rows of :func:`control` as a Markdown list, one item per network and knob."""
    items = []
    for row in table.to_dict("records"):
        measure = {"sharpness": "mean gradient", "noise": "residual noise"}[row["effect"]]
        monotone, steepest = beside(row["monotone"], MONOTONE, ".0%"), beside(row["steepest"], STEEPEST, ".1f")
        slope = (
            "the mean curve ends on the wrong side"
            if math.isnan(row["steepest"])
            else f"the steepest is {steepest} times an even slope; the change is between 10 and 90 % from "
            f"λ = {row['started']:.2f} to {row['finished']:.2f}"
        )
        items.append(
            f"- **{TITLES[row['network']]}, {row['filters']} filters**: from λ = 0 to 1 the {measure} goes from "
            f"{row['at_0']:.2f} to {row['at_1']:.2f} levels; {monotone} of {row['steps']} steps go the "
            f"right way{_wrong_way(row['nearer'])}, and {slope}. {_judged(row['gained'], row['continuous'])}"
        )
    return "\n".join(items)
