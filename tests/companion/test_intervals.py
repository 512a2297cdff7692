"""Intervals over training runs and images, against a loop, variances that are known, and the noncentral t."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from faiglib.companion import intervals
from faiglib.companion.masking import report
from tests.companion.test_chapters import drawn


def grid(runs: int, images: int, seed: int = 0) -> np.ndarray:
    """Values that differ from run to run by 1 and from image to image by 2, as standard deviations."""
    generator = np.random.default_rng(seed)
    return 5 + generator.standard_normal((runs, 1)) + 2 * generator.standard_normal(images)


def test_runs_and_images_are_drawn_each_by_themselves():
    values = grid(5, 7)
    generator = np.random.default_rng(0)
    runs, images = (intervals.resampled(generator, count, 2000) for count in values.shape)
    means = []
    for chosen_runs, chosen_images in zip(runs, images, strict=True):
        rows = np.repeat(np.arange(5), chosen_runs)
        columns = np.repeat(np.arange(7), chosen_images)
        means.append(values[np.ix_(rows, columns)].mean())
    found = intervals.crossed_interval([values], np.mean)
    half = 2.776 * math.sqrt(5 / 4) * np.std(means)  # Student's t of four degrees of freedom
    assert found == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-3)


def test_the_interval_has_the_width_of_both_variances():
    values = grid(40, 60, 1)
    low, high = intervals.crossed_interval([values], np.mean)
    spread = values.mean(1).var() / 40 + values.mean(0).var() / 60
    assert high - low == pytest.approx(2 * 2.023 * math.sqrt(40 / 39 * spread), rel=0.06)
    assert low < values.mean() < high


@pytest.mark.parametrize("runs", [3, 8])
def test_intervals_over_few_runs_cover_as_often_as_they_say(runs):
    generator = np.random.default_rng(7)
    trials = 400
    grids = generator.standard_normal((trials, runs, 1)) + 0.3 * generator.standard_normal((trials, runs, 30))
    ends = np.array([intervals.crossed_interval([one], np.mean) for one in grids])
    covered = ((ends[:, 0] < 0) & (ends[:, 1] > 0)).mean()
    assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / trials)), "percentiles alone: 0.77, 0.89"


@pytest.mark.parametrize("runs", [1, 2])
def test_few_runs_have_the_interval_over_images(runs):
    values = grid(runs, 30)
    assert intervals.crossed_interval([values], np.mean) == intervals.interval([values.mean(0)], np.mean)
    assert all(math.isnan(end) for end in intervals.crossed_interval([values[:, :1]], np.mean))


def test_pairs_that_share_nothing_widen_the_interval_of_a_lead():
    """FAIG is ahead in the mean, but in one pair of three it is far behind."""
    table = drawn()
    (alone,) = report.leads(table).to_dict("records")
    assert alone["outcome"] == "ahead"
    faig = table["method"] == "faig"
    several = [
        table.assign(baseline=number, seed=number, drop=table["drop"].where(~faig, factor * table["drop"]))
        for number, factor in enumerate((1.5, 1.4, 0.1))
    ]
    (row,) = report.leads(pd.concat(several)).to_dict("records")
    assert row["ratio"] == pytest.approx(2)
    assert row["outcome"] == "tie"
    shared = pd.concat(several).assign(baseline=0)
    assert report.leads(shared).to_dict("records")[0]["outcome"] == "ahead"


@pytest.mark.parametrize("runs", [3, 8, 20])
def test_the_smallest_effect_is_found_as_often_as_the_power_says(runs):
    effect = intervals.smallest_effect(runs)
    limit = stats.t.ppf(0.975, runs - 1)
    power = stats.nct.sf(limit, runs - 1, effect * math.sqrt(runs))
    assert power == pytest.approx(0.8, abs=0.05)


def test_one_run_shows_no_effect():
    assert math.isnan(intervals.smallest_effect(1))
    assert all(math.isnan(end) for end in intervals.t_interval(np.array([1.0])))
