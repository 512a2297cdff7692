"""Telling an image's degradation from its filters (paper, section 4.4): overlap scores, thresholds, accuracy, ROC.

filter^x of an image is the top 1 % of FAIG on that image alone, without elimination. Where it overlaps the filters
discovered for a degradation D, the image shows D: OS(x, D) = |filter^D ∩ filter^x| / |filter^x| exceeds T^D.

Scores are arrays of one number per image, higher where the degradation is likelier; ``present`` says of each image
whether it has the degradation. Nothing here asks where the scores come from, so a plain rule (:func:`noise_level`,
:func:`laplacian_energy`) is judged as the overlap score is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from torch import Tensor

from faiglib.companion.intervals import resampled
from faiglib.filters.scores import FilterScores

Floats = NDArray[np.float64]


def accuracy_curve(scores: ArrayLike, present: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Share of images that each threshold decides rightly (supp. Fig. 9); present is predicted where score > threshold.

    Args:
        scores: (n,).
        present: (n,) bool.
        thresholds: (t,).

    Returns:
        (t,) in [0, 1].

    Raises:
        ValueError: there are no images, the lengths differ, or a score is not finite.
    """
    values, truth = _checked(scores, present)
    predicted = values[None, :] > np.asarray(thresholds, dtype=np.float64)[:, None]
    return (predicted == truth).mean(axis=1)


@dataclass(frozen=True)
class Threshold:
    """A threshold and what it achieves on the images it was chosen on.

    Attributes:
        value: predict the degradation where the score exceeds this.
        accuracy: share of right decisions, the highest that a threshold can reach.
        low, high: every threshold with low ≤ T < high does as well; ``value`` is in the middle.
    """

    value: float
    accuracy: float
    low: float
    high: float


def choose_threshold(scores: ArrayLike, present: ArrayLike) -> Threshold:
    """The threshold with the highest accuracy, in the middle of the widest gap between scores that reaches it.

    Args:
        scores: (n,).
        present: (n,) bool, with both values.

    Raises:
        ValueError: see :func:`roc`.
    """
    values, truth = _checked(scores, present, both=True)
    steps = np.unique(values)
    accuracy = accuracy_curve(values, truth, steps)
    # The scores between which a threshold may lie: below the lowest, in each gap, at or above the highest.
    low = np.concatenate([np.nextafter(steps[:1], -np.inf), steps])
    high = np.concatenate([steps, np.nextafter(steps[-1:], np.inf)])
    reached = np.concatenate([[truth.mean()], accuracy])
    width = np.where(reached == reached.max(), high - low, -1.0)
    best = int(width.argmax())
    middle = (low[best] + high[best]) / 2
    value = middle if middle < high[best] else low[best]
    return Threshold(float(value), float(reached[best]), float(low[best]), float(high[best]))


@dataclass(frozen=True, eq=False)
class Roc:
    """A receiver operating characteristic.

    Attributes:
        false_positive_rate, true_positive_rate: (k,), ascending from 0 to 1.
        auc: area under the curve: the chance that an image with the degradation scores higher than one without.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    auc: float


def roc(scores: ArrayLike, present: ArrayLike) -> Roc:
    """Rates of false and true positives over all thresholds, by scikit-learn.

    Args:
        scores: (n,).
        present: (n,) bool, with both values.

    Raises:
        ValueError: there are no images, the lengths differ, a score is not finite, or a class is missing.
    """
    from sklearn.metrics import auc, roc_curve

    values, truth = _checked(scores, present, both=True)
    false_positive, true_positive, _ = roc_curve(truth, values)
    return Roc(false_positive, true_positive, float(auc(false_positive, true_positive)))


def auc_interval(
    scores: ArrayLike,
    present: ArrayLike,
    images: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the AUC over images.

    An image that occurs in several degradations is drawn with all of them, since they are not independent. Several
    networks may have scored the same images: their AUCs are averaged in every resample, so that the interval is that of
    the mean.

    Args:
        scores: (n,), or (networks, n).
        present: (n,) bool.
        images: (n,) name or number of the image behind each score.
        level: of confidence.
        resamples: of the bootstrap.
        seed: of the resampling.

    Returns:
        Lower and upper bound. Where the classes do not overlap, both are 1: the bootstrap cannot see how rare the
        exceptions are that it has no example of.

    Raises:
        ValueError: see :func:`roc`.
    """
    rows = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    for row in rows:
        _, truth = _checked(row, present, both=True)
    names, group = np.unique(np.asarray(images), return_inverse=True)
    drawn = resampled(np.random.default_rng(seed), len(names), resamples)
    positive, negative = drawn[:, group[truth]], drawn[:, group[~truth]]
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    complete = pairs > 0
    total = np.zeros(int(complete.sum()))
    for row in rows:
        difference = row[truth][:, None] - row[~truth][None, :]
        wins = (np.sign(difference) + 1) / 2
        total += ((positive[complete] @ wins) * negative[complete]).sum(axis=1) / pairs[complete]
    low, high = np.quantile(total / len(rows), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wilson_interval(right: float, decisions: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of Wilson (1927) for a share of right decisions; unlike a bootstrap's it has a width at 100 %.

    Args:
        right: number of right decisions.
        decisions: number of independent decisions, at least 1.
        level: of confidence.

    Returns:
        Lower and upper bound in [0, 1].
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = right / decisions
    scale = 1 + z**2 / decisions
    centre = (share + z**2 / (2 * decisions)) / scale
    reach = z / scale * math.sqrt(share * (1 - share) / decisions + z**2 / (4 * decisions**2))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def _checked(scores: ArrayLike, present: ArrayLike, both: bool = False) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores and classes as arrays of equal length.

    Raises:
        ValueError: they are not sound, or (with ``both``) a class is missing.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(present, dtype=bool)
    if values.ndim != 1 or values.shape != truth.shape or not len(values):
        raise ValueError(f"scores of shape {values.shape} and classes of shape {truth.shape} do not belong together")
    if not np.isfinite(values).all():
        raise ValueError("a score is NaN or infinite")
    if both and truth.all() == truth.any():
        raise ValueError(f"all {len(truth)} images are of one class; images with and without the degradation expected")
    return values, truth


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's rank correlation of two (n,) tensors; equal values share their mean rank."""
    ranks = [rankdata(values.numpy()) for values in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1])


def top_overlap(first: FilterScores, second: FilterScores, percent: float = 1) -> float:
    """Share of the top ``percent`` % that two rankings have in common."""
    return first.top(percent).overlap(second.top(percent))
