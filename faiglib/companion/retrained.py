"""Re-training some filters of a baseline: what the chapters on it and on controls share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from faiglib.companion.masked import mean_psnr
from faiglib.companion.profiles import Profile
from faiglib.companion.workbench import Sample
from faiglib.filters.scores import FilterSet
from faiglib.images.degradations import FUNCTIONS
from faiglib.images.restoration import restore
from faiglib.networks.zoo import Pair
from faiglib.training.fabric import fabric_on
from faiglib.training.recipe import Recipe
from faiglib.training.trainer import train

PEAK_LR = 5e-4
#: Rows of the log, so that curves have points.
POINTS = 5


def recipe_of(profile: Profile, pair: Pair, task: str) -> Recipe:
    """The recipe of every re-training of a pair; seeds and therefore patches are the same whatever may move."""
    budget = (profile.retraining_iterations, profile.retraining_batch, profile.retraining_patch)
    return Recipe(pair.network, task, pair.seed, *budget, PEAK_LR)


def psnr_by_step(
    pair: Pair,
    filters: FilterSet,
    recipe: Recipe,
    samples: Sequence[Sample],
    images: Sequence[Tensor],
    points: int = POINTS,
) -> Iterator[dict[str, object]]:
    """Re-train some filters of the baseline: ``step`` and ``psnr`` of every logged step, the untouched baseline first.

    Args:
        pair: whose baseline is re-trained; it stays as it is.
        filters: that may move.
        recipe: from :func:`recipe_of`; its role says on which input.
        samples: to test on.
        images: to train on, ground truth.
        points: how many steps are logged; 1 is the last alone.
    """
    kind, _ = FUNCTIONS[recipe.role]
    tests = {sample.name: (sample.inputs[kind], sample.ground_truth) for sample in samples}
    result = train(
        recipe,
        list(images),
        initial=pair.baseline.state_dict(),
        trainable=filters.masks(),
        validation=tests,
        fabric=fabric_on(next(pair.baseline.parameters()).device),
        log_every=max(1, recipe.iterations // points),
        progress=False,
    )
    outputs = [restore(pair.baseline, low) for low, _ in tests.values()]
    yield {"step": 0, "psnr": mean_psnr(outputs, [truth for _, truth in tests.values()])}
    for row in result.log:
        values = [value for name, value in row.items() if name.startswith("psnr_")]
        yield {"step": int(row["step"]), "psnr": sum(values) / len(values)}
