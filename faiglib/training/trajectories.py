"""FAIG along the way that training took, beside FAIG along the straight line: which filters mask better?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from faiglib.attribution import contributions_along
from faiglib.attribution.elimination import eliminate
from faiglib.attribution.parameter_path import squared_error
from faiglib.filters.scores import FilterScores
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import build, zoo
from faiglib.networks.weights import fit
from faiglib.system.tensors import State
from faiglib.training import snapshots
from faiglib.training.milestones import PERCENT, drops
from faiglib.training.recipe import Recipe
from faiglib.training.validation import validation_crops

#: Gradients per image on the straight line, and on every piece of the trajectory.
NODES = {"straight": 16, "trajectory": 4}


@dataclass(frozen=True)
class Along:
    """The filters that are found along a path, for one function.

    Drops are measured as for :class:`faiglib.training.milestones.Milestone`.

    Attributes:
        function: ``deblurring`` or ``denoising``.
        path: ``straight``, or ``trajectory`` by way of the snapshots that the run kept.
        own: drop on the function's own input when the filters are masked, a share of the drop when all are.
        other: the same on the other input.
        shared: share of the filters that the straight line finds, too.
        missed: completeness error on the own input, (sum of all contributions − change of the loss) ÷ that change.
    """

    function: str
    path: str
    own: float
    other: float
    shared: float
    missed: float


def of_run(folder: Path, recipe: Recipe, result: State, baseline: State) -> list[Along]:
    """Compare both paths for a finished run; nothing where it kept no snapshots.

    Args:
        folder: of the run.
        recipe: of the run, a target's.
        result: its weights.
        baseline: the weights it started from.

    Raises:
        TrainingError: a snapshot is missing or is of another run.
        WeightsError: the run's checkpoint cannot be read.
    """
    kept = snapshots.of_run(folder, recipe.iterations)
    return compare(recipe, [result, *reversed(kept.values()), baseline]) if kept else []


def compare(recipe: Recipe, states: list[State]) -> list[Along]:
    """Compare the straight line between the first and the last state with the way by those between them.

    Args:
        recipe: of the target's run.
        states: target, snapshots from the last to the first, baseline.
    """
    crops = validation_crops(recipe.scale)
    networks = [fit(build(recipe.network, scale=recipe.scale), state, "a snapshot") for state in states]
    straight = _found([networks[0], networks[-1]], crops, NODES["straight"])
    bent = _found(networks, crops, NODES["trajectory"])
    return [
        *_rows("straight", networks, straight, straight, crops),
        *_rows("trajectory", networks, bent, straight, crops),
    ]


Found = dict[str, tuple[FilterScores, float]]
Crops = dict[str, tuple[Tensor, Tensor]]


def _found(waypoints: list[nn.Module], crops: Crops, nodes: int) -> Found:
    """Scores without elimination, and the sum of all contributions, by input."""
    found = {}
    for kind, _ in FUNCTIONS.values():
        images = zip(*(part.split(1) for part in crops[kind]), strict=True)
        scores, _, total = contributions_along(waypoints, images, nodes=nodes)
        found[kind] = (scores, total)
    return found


def _rows(path: str, networks: list[nn.Module], found: Found, straight: Found, crops: Crops) -> Iterator[Along]:
    chosen, reference = (
        {function: eliminate(one[own][0], one[other][0]).top(PERCENT) for function, (own, other) in FUNCTIONS.items()}
        for one in (found, straight)
    )
    lost = {own: drops(networks[0], networks[-1], chosen, crops[own][0]) for own, _ in FUNCTIONS.values()}
    for function, (own, other) in FUNCTIONS.items():
        low, truth = crops[own]
        first, last = (float(squared_error(network(low).detach(), truth)) for network in (networks[0], networks[-1]))
        change = (last - first) / len(low)
        yield Along(
            function,
            path,
            own=lost[own][function],
            other=lost[other][function],
            shared=chosen[function].overlap(reference[function]),
            missed=(found[own][1] - change) / change,
        )


def path_of(models: Path, network: str, seed: int) -> Path:
    """Where the comparison for a published target is, in a folder of weights."""
    return models / "trajectories" / f"{zoo.name_of(network, 'target', seed)}.csv"
