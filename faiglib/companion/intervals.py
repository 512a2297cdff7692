"""Intervals over images, by bootstrap, and over training runs, which are few, by Student's t."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

#: Runs that share nothing from which on an interval covers them: the draws of two are one or the other.
FEWEST_RUNS = 3


def resampled(generator: np.random.Generator, count: int, resamples: int) -> npt.NDArray[np.int64]:
    """How often each of ``count`` things is drawn when as many are drawn with replacement: (resamples, count)."""
    return generator.multinomial(count, np.full(count, 1 / count), size=resamples)


def interval(samples: Sequence[npt.NDArray[np.float64]], statistic: Callable[..., object]) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles, 2,000 resamples, seeded) of a statistic over images.

    Args:
        samples: one value per image and quantity; images are drawn together for all quantities.
        statistic: of the samples, with the keyword ``axis``.

    Returns:
        Lower and upper end; NaN for fewer than two images.
    """
    if len(samples[0]) < 2:
        return (math.nan, math.nan)
    found = stats.bootstrap(
        samples, statistic, paired=True, vectorized=True, n_resamples=2000, method="percentile", rng=0
    ).confidence_interval
    return (float(found.low), float(found.high))


def crossed_interval(
    samples: Sequence[npt.NDArray[np.float64]], statistic: Callable[..., object]
) -> tuple[float, float]:
    """95 % interval of a statistic over training runs and images that every run is measured on.

    That of :func:`students_interval`; with fewer than :data:`FEWEST_RUNS` runs that over images of the mean over runs,
    see :func:`interval`.

    Args:
        samples: one array (runs, images) a quantity; draws are the same for all quantities.
        statistic: of the samples, with the keyword ``axis``; of their means alone.
    """
    runs, images = samples[0].shape
    if runs < FEWEST_RUNS or images < 2:
        return interval([sample.mean(axis=0) for sample in samples], statistic)
    return students_interval(samples, statistic)


def students_interval(
    samples: Sequence[npt.NDArray[np.float64]], statistic: Callable[..., object], level: float = 0.95
) -> tuple[float, float]:
    """Interval of a statistic over runs and images, as wide as Student's t is for so few of either.

    The variance over runs and that over images, which all runs meet, are found by a jackknife each (Tukey 1958), and
    add up; the degrees of freedom are those of Welch and Satterthwaite. Where images do not matter, the interval of a
    mean is Student's over runs. (Percentiles of a bootstrap over three runs, meant to cover 95 %, cover 77 %.)

    Args:
        samples: one array (runs, images) a quantity, of both at least two; draws are the same for all quantities.
        statistic: of the samples, with the keyword ``axis``; of their means alone.
        level: of confidence.
    """
    variances, freedom = [], []
    for axis in (0, 1):
        free = samples[0].shape[axis] - 1
        each = [sample.mean(axis=1 - axis) for sample in samples]
        others = [(values.sum() - values) / free for values in each]
        found = np.asarray(statistic(*(means[:, None] for means in others), axis=-1))
        variances.append(float(found.var()) * free)
        freedom.append(free)
    whole = float(np.asarray(statistic(*(sample.ravel() for sample in samples), axis=-1)))
    total = sum(variances)
    if not total:
        return (whole, whole)
    degrees = total**2 / sum(one**2 / free for one, free in zip(variances, freedom, strict=True))
    half = float(stats.t.ppf((1 + level) / 2, degrees)) * math.sqrt(total)
    return (whole - half, whole + half)


def smallest_effect(runs: int, level: float = 0.95, power: float = 0.8) -> float:
    """Mean that so many independent runs would tell from 0, in standard deviations over runs; NaN for fewer than two.

    By Student's t: (t₁ + t₂) ÷ √n with the quantiles of the level, two-sided, and of the power.
    """
    if runs < 2:
        return math.nan
    ends = stats.t.ppf((1 + level) / 2, runs - 1) + stats.t.ppf(power, runs - 1)
    return float(ends / math.sqrt(runs))


def t_interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Interval of a mean by Student's t, over independent values such as training runs; NaN for fewer than two."""
    if len(values) < 2:
        return (math.nan, math.nan)
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return (float(values.mean() - half), float(values.mean() + half))
