"""Resamples of a growing sample: against plain sums, and against what other samples would have chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from faiglib.attribution.resamples import RESAMPLES, Resamples
from faiglib.errors import FilterError
from faiglib.filters.index import FilterIndex


def index_of(total: int) -> FilterIndex:
    return FilterIndex.of(nn.Conv2d(total // 10, 10, 3))


def best(values: np.ndarray, count: int) -> set[int]:
    return set(np.argsort(-values, kind="stable")[:count].tolist())


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("a", "b", "c")])
def test_agreement_is_that_of_sums_by_hand(names):
    index, generator = index_of(300), np.random.default_rng(0)
    images = [{name: generator.random(300) for name in names} for _ in range(6)]
    resamples = Resamples(names, index)
    for number, image in enumerate(images):
        resamples.add(number, {name: torch.from_numpy(one) for name, one in image.items()})
    times = [
        torch.poisson(torch.ones(RESAMPLES, dtype=torch.float64), torch.Generator().manual_seed(number)).numpy()
        for number in range(6)
    ]

    def chosen(weights):
        sums = {name: sum(w * image[name] for w, image in zip(weights, images, strict=True)) for name in names}
        others = {name: [sums[one] for one in names if one != name] for name in names}
        return {name: best(sums[name] - (np.mean(others[name], 0) if others[name] else 0), 3) for name in names}

    whole = chosen([1] * 6)
    shares = {
        name: np.mean([len(chosen([t[r] for t in times])[name] & whole[name]) / 3 for r in range(RESAMPLES)])
        for name in names
    }
    sums = {name: sum(torch.from_numpy(image[name]) for image in images) for name in names}
    assert resamples.agreement(sums, "mean") == pytest.approx(min(shares.values()), abs=1e-12)


def test_one_of_a_hundred_is_rounded_down_and_the_others_are_subtracted_as_asked():
    index, generator = index_of(190), np.random.default_rng(4)
    images = [{name: generator.random(190) for name in "abc"} for _ in range(4)]
    resamples = Resamples("abc", index)
    for number, image in enumerate(images):
        resamples.add(number, {name: torch.from_numpy(one) for name, one in image.items()})
    times = [
        torch.poisson(torch.ones(RESAMPLES, dtype=torch.float64), torch.Generator().manual_seed(number)).numpy()
        for number in range(4)
    ]

    def best_of(weights, name):
        sums = {one: sum(w * image[one] for w, image in zip(weights, images, strict=True)) for one in "abc"}
        return int(np.argmax(sums[name] - np.maximum(*(sums[one] for one in "abc" if one != name))))

    whole = {name: best_of([1] * 4, name) for name in "abc"}
    shares = {
        name: np.mean([best_of([t[r] for t in times], name) == whole[name] for r in range(RESAMPLES)]) for name in "abc"
    }
    sums = {name: sum(torch.from_numpy(image[name]) for image in images) for name in "abc"}
    assert resamples.agreement(sums, "largest") == pytest.approx(min(shares.values()), abs=1e-12)
    assert len({resamples.agreement(sums, "largest"), resamples.agreement(sums, "mean")}) == 2


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_it_estimates_how_much_of_the_choice_from_all_images_is_found(spread):
    """Scores of images lie about a mean that is known here; the sample's choice is held against that mean's."""
    total, index, generator = 20_000, index_of(20_000), np.random.default_rng(1)
    mean = generator.exponential(size=total)
    wanted, told, true = best(mean, total // 100), [], []
    for start in range(3):
        resamples, sample = Resamples(["x"], index), np.zeros(total)
        for number in range(30):
            one = mean + spread * generator.standard_normal(total)
            resamples.add(1000 * start + number, {"x": torch.from_numpy(one)})
            sample += one
        told.append(resamples.agreement({"x": torch.from_numpy(sample)}, "mean"))
        true.append(len(best(sample, total // 100) & wanted) / (total // 100))
    assert np.mean(told) == pytest.approx(np.mean(true), abs=0.06)
    assert 0.2 < np.mean(true) < 0.98


def test_of_few_units_the_best_one_is_chosen():
    resamples = Resamples(["x"], index_of(20))
    for number in range(20):
        resamples.add(number, {"x": torch.arange(20.0)})
    assert resamples.agreement({"x": torch.arange(20.0)}, "mean") == 1
    assert resamples.agreement({"x": -torch.arange(20.0)}, "mean") == 0


def test_equal_sums_rank_nothing():
    resamples = Resamples(["x"], index_of(20))
    with pytest.raises(FilterError, match="same score"):
        resamples.agreement({"x": torch.arange(20.0)}, "mean")
