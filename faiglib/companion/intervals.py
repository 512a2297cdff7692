"""Intervals over images and training runs: bootstraps of both, and Student's t for runs, which are few."""

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
#: Draws of a bootstrap.
RESAMPLES = 2000


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
    """95 % bootstrap interval of a statistic over training runs and images that every run is measured on.

    Runs and images are drawn independently, with replacement (Owen 2007, the pigeonhole bootstrap), which gives the
    standard error for :func:`by_students_t`. With fewer than :data:`FEWEST_RUNS` runs, which cannot be drawn from, it
    is that over images of the mean over runs, see :func:`interval`.

    Args:
        samples: one array (runs, images) a quantity; draws are the same for all quantities.
        statistic: of the samples, with the keyword ``axis``; of their means alone.
    """
    runs, images = samples[0].shape
    if runs < FEWEST_RUNS or images < 2:
        return interval([sample.mean(axis=0) for sample in samples], statistic)
    drawn = crossed_draws(samples, RESAMPLES)
    found = np.asarray(statistic(*(means[:, None] for means in drawn), axis=-1))
    whole = float(np.asarray(statistic(*(sample.mean(keepdims=True).ravel() for sample in samples), axis=-1)))
    return by_students_t(found, whole, runs)


def crossed_draws(samples: Sequence[npt.NDArray[np.float64]], resamples: int) -> list[Floats]:
    """Means of (runs, images) arrays, of both of which as many are drawn with replacement: (resamples,) each, seeded.

    Every run meets the same images, therefore a draw takes one sample of images for all its runs; drawing them anew
    within every run would pretend that there were more images.
    """
    generator = np.random.default_rng(0)
    rows, columns = (resampled(generator, count, resamples) / count for count in samples[0].shape)
    return [np.einsum("ri,ij,rj->r", rows, sample, columns, optimize=True) for sample in samples]


def by_students_t(draws: Floats, whole: float, runs: int, level: float = 0.95) -> tuple[float, float]:
    """Interval by the standard error that a bootstrap over few runs finds: whole ± t · √(n ÷ (n − 1)) · deviation.

    The draws of n runs deviate √((n − 1) ÷ n) as much as their mean does, and their percentiles know nothing of how
    uncertain that is: over three runs, those of 95 % cover 77 %. Where images do not matter, the interval of a mean is
    that of Student's t over runs.

    Args:
        draws: of the statistic, (resamples,).
        whole: the statistic of all runs.
        runs: that were drawn from, at least two.
        level: of confidence.
    """
    half = stats.t.ppf((1 + level) / 2, runs - 1) * math.sqrt(runs / (runs - 1)) * draws.std()
    return (float(whole - half), float(whole + half))


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
