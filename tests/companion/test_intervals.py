"""Intervals over training runs and images, against formulas, trials, and the noncentral t."""

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


@pytest.mark.parametrize("level", [0.90, 0.95])
@pytest.mark.parametrize(("runs", "images"), [(3, 40), (5, 7), (40, 60)])
def test_the_interval_of_a_mean_is_that_of_welch_and_satterthwaite(runs, images, level):
    values = grid(runs, images)
    parts = [values.mean(1).var(ddof=1) / runs, values.mean(0).var(ddof=1) / images]
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / (runs - 1) + parts[1] ** 2 / (images - 1))
    half = stats.t.ppf((1 + level) / 2, degrees) * math.sqrt(sum(parts))
    found = intervals.students_interval([values], np.mean, level)
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-9)
    if level == 0.95:
        assert intervals.crossed_interval([values], np.mean) == found


def test_quantities_are_drawn_together():
    """The ratio of what is always twice the other has no interval at all."""
    values = grid(5, 7)
    found = intervals.crossed_interval([2 * values, values], lambda one, two, axis: one.mean(axis) / two.mean(axis))
    assert found == pytest.approx((2.0, 2.0), abs=1e-12)


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
