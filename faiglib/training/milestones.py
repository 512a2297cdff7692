"""What training changes: a target's snapshots, each examined as a pair with the baseline it was trained from."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.attribution import faig, filter_change, intinf, path_profile, random_scores
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterSet
from faiglib.filters.substitution import substitute
from faiglib.images.degradations import FUNCTIONS
from faiglib.images.metrics import gradient_error, psnr
from faiglib.images.restoration import restore
from faiglib.networks import build, zoo
from faiglib.networks.weights import fit
from faiglib.system.tensors import State
from faiglib.training import rows, snapshots
from faiglib.training.recipe import Recipe
from faiglib.training.validation import validation_crops

#: Proportion of filters that are masked, in percent.
PERCENT = 1.0
#: Seed of the random filters.
SEED = 0


@dataclass(frozen=True)
class Milestone:
    """What a pair is after some steps of its target's training, for one function.

    Drops are those of the paper's masking tables (gray), after :data:`PERCENT` % of the filters were masked, as shares
    of the drop when all are. Means over :func:`faiglib.training.validation.validation_crops`.

    Attributes:
        step: iterations of the target.
        function: ``deblurring`` or ``denoising``.
        psnr: dB on the function's own input.
        psnr_clean: dB on clean input.
        distance: ‖θ − θ̄‖ ÷ ‖θ̄‖ over all parameters.
        barrier: dB, of the straight path on clean input, see :class:`faiglib.attribution.path_profile.PathProfile`.
        barrier_level: dB, with the means of the channels put right.
        own: drop on the function's own input when FAIG's filters are masked.
        other: the same on the other input.
        intinf: drop on the own input when IG's filters are masked.
        filter_change: the same for |θ − θ̄|.
        random: the same for random filters.
        overlap: share of FAIG's filters that are among those of the finished target.
    """

    step: int
    function: str
    psnr: float
    psnr_clean: float
    distance: float
    barrier: float
    barrier_level: float
    own: float
    other: float
    intinf: float
    filter_change: float
    random: float
    overlap: float


def of_run(folder: Path, recipe: Recipe, result: State, baseline: State) -> list[Milestone]:
    """Examine the snapshots of a finished run, and its result.

    Args:
        folder: of the run.
        recipe: of the run, a target's.
        result: its weights.
        baseline: the weights it started from.

    Returns:
        Two rows for every snapshot, ascending, and for the result; for the result alone where the run kept none.

    Raises:
        TrainingError: a snapshot is missing or is of another run.
        WeightsError: the run's checkpoint cannot be read.
    """
    return examine(recipe, snapshots.of_run(folder, recipe.iterations) | {recipe.iterations: result}, baseline)


def examine(recipe: Recipe, states: Mapping[int, State], baseline: State) -> list[Milestone]:
    """Examine a target after some numbers of steps.

    Args:
        recipe: of its run.
        states: {step: weights}, ascending; the last is what overlaps are with.
        baseline: the weights it started from.
    """
    crops = validation_crops(recipe.scale)
    start = fit(build(recipe.network, scale=recipe.scale), baseline, "the baseline")
    targets = {
        step: fit(build(recipe.network, scale=recipe.scale), state, f"the weights of step {step}")
        for step, state in states.items()
    }
    with tqdm(targets.items(), "milestones", leave=False, unit="step") as bar:
        chosen = {step: _chosen(target, start, crops) for step, target in bar}
    last = chosen[max(chosen)]
    return [row for step, target in targets.items() for row in _rows(step, target, start, chosen[step], last, crops)]


def _rows(
    step: int,
    target: nn.Module,
    baseline: nn.Module,
    chosen: Mapping[str, Mapping[str, FilterSet]],
    last: Mapping[str, Mapping[str, FilterSet]],
    crops: Mapping[str, tuple[Tensor, Tensor]],
) -> Iterator[Milestone]:
    """The milestones of one step; ``last`` are the filters of the finished target, as ``chosen`` of this one."""
    profile = path_profile(target, baseline, zip(*(part.split(1) for part in crops["clean"]), strict=True))
    faigs = {own: chosen[function]["faig"] for function, (own, _) in FUNCTIONS.items()}
    lost = {
        own: drops(target, baseline, {**chosen[function], "spill": faigs[other]}, crops[own][0])
        for function, (own, other) in FUNCTIONS.items()
    }
    for function, (own, other) in FUNCTIONS.items():
        yield Milestone(
            step,
            function,
            psnr=_psnr(target, *crops[own]),
            psnr_clean=_psnr(target, *crops["clean"]),
            distance=_distance(target, baseline),
            barrier=profile.barrier,
            barrier_level=profile.barrier_level,
            own=lost[own]["faig"],
            other=lost[other]["spill"],
            intinf=lost[own]["intinf"],
            filter_change=lost[own]["filter_change"],
            random=lost[own]["random"],
            overlap=faigs[own].overlap(last[function]["faig"]),
        )


def _chosen(
    target: nn.Module, baseline: nn.Module, crops: Mapping[str, tuple[Tensor, Tensor]]
) -> dict[str, dict[str, FilterSet]]:
    """The filters that each method ranks highest, {function: {method: filters}}."""
    images = {kind: [part.split(1) for part in pair] for kind, pair in crops.items()}
    change = filter_change(target, baseline)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what no filter holds is the same at every step
        found = faig(target, baseline, {own: zip(*images[own], strict=True) for own, _ in FUNCTIONS.values()})
        scores = {
            function: {
                "faig": found[own],
                "intinf": intinf(target, zip(images["clean"][0], images[own][0], strict=True)),
                "filter_change": change,
                "random": random_scores(change.index, SEED + number),
            }
            for number, (function, (own, _)) in enumerate(FUNCTIONS.items())
        }
    return {
        function: {name: one.top(PERCENT) for name, one in by_method.items()} for function, by_method in scores.items()
    }


def drops(target: nn.Module, baseline: nn.Module, sets: Mapping[str, FilterSet], inputs: Tensor) -> dict[str, float]:
    """Mean drop when each of some sets is masked, as a share of the mean drop when all are; NaN where that is 0."""
    whole = restore(target, inputs)

    def drop(filters: FilterSet) -> float:
        return float(gradient_error(restore(substitute(target, baseline, filters), inputs), whole).mean())

    most = drop(FilterSet.every(FilterIndex.of(target)))
    return {name: drop(filters) / most if most > 0 else float("nan") for name, filters in sets.items()}


def _psnr(network: nn.Module, inputs: Tensor, truth: Tensor) -> float:
    return float(psnr(restore(network, inputs), truth).mean())


@torch.no_grad()
def _distance(target: nn.Module, baseline: nn.Module) -> float:
    first, second = (
        torch.cat([parameter.double().flatten() for parameter in network.parameters()])
        for network in (target, baseline)
    )
    return float((first - second).norm() / second.norm())


def path_of(models: Path, network: str, seed: int) -> Path:
    """Where the milestones of a published target are, in a folder of weights."""
    return models / "milestones" / f"{zoo.name_of(network, 'target', seed)}.csv"


def read(path: Path) -> list[Milestone]:
    """The rows of a file of milestones.

    Raises:
        WeightsError: it cannot be read.
    """
    return rows.read(path, Milestone)
