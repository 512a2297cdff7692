"""What a network was on the way: the moving average of its weights at shares of a run's iterations."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

from faiglib.errors import TrainingError, WeightsError
from faiglib.system.tensors import State, read_metadata, read_tensors, save_weights
from faiglib.training.recipe import RecipeBase

#: Shares of the iterations after which a run keeps what it has; its end is its result.
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
FOLDER = "snapshots"


def steps(iterations: int) -> tuple[int, ...]:
    """Numbers of the steps after which a run of so many keeps a snapshot, ascending, each once."""
    return tuple(sorted({math.ceil(share * iterations) for share in SHARES} - {iterations}))


def save(run_dir: Path, recipe: RecipeBase, identity: str, step: int, state: State) -> None:
    """Write a snapshot into the folder of a run.

    Args:
        run_dir: the folder.
        recipe: of the run.
        identity: digest of all that determines the run.
        step: that it was taken after.
        state: averaged weights.
    """
    (run_dir / FOLDER).mkdir(exist_ok=True)
    made_by = {"recipe": json.dumps(asdict(recipe)), "identity": identity, "step": str(step)}
    save_weights(run_dir / FOLDER / f"{step}.safetensors", state, made_by)


def of_run(run_dir: Path, iterations: int) -> dict[int, State]:
    """The snapshots of a run, see :func:`load`; none where it kept none.

    Raises:
        WeightsError: the run's checkpoint cannot be read; and see :func:`load`.
    """
    if not (run_dir / FOLDER).is_dir():
        return {}
    return load(run_dir, read_metadata(run_dir / "state.safetensors").get("identity", ""), iterations)


def load(run_dir: Path, identity: str, iterations: int) -> dict[int, State]:
    """The snapshots of a run, {step: averaged weights}, ascending.

    Args:
        run_dir: folder of the run.
        identity: of the run, as its checkpoint has it.
        iterations: of the run.

    Raises:
        TrainingError: one is missing, or was taken of another run.
        WeightsError: one cannot be read.
    """
    found = {}
    for step in steps(iterations):
        path = run_dir / FOLDER / f"{step}.safetensors"
        try:
            state, made_by = read_tensors(path)
        except WeightsError as error:
            raise TrainingError(f"the run {run_dir} has no snapshot of step {step}: {error}") from None
        if (made_by.get("identity"), made_by.get("step")) != (identity, str(step)):
            raise TrainingError(f"the snapshot {path} is of another run, or of another step")
        found[step] = state
    return found
