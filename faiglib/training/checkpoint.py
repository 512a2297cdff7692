"""A training run's files: the checkpoint it goes on from, its log and its sessions."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from faiglib.errors import TrainingError, WeightsError
from faiglib.system.documents import DocumentError, Flat, parse_csv, read_json, read_text
from faiglib.system.files import write_text_atomic
from faiglib.system.tensors import State, read_tensors, save_weights
from faiglib.training.patches import PatchSource
from faiglib.training.recipe import RecipeBase

if TYPE_CHECKING:
    from lightning_fabric import Fabric


#: What Adam keeps of a parameter besides its number of steps, each of the parameter's shape.
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class Progress:
    """The part of a run that a checkpoint holds besides tensors."""

    step: int = 0
    seconds: float = 0.0


def with_average(
    tensors: Mapping[str, Tensor], parameters: Sequence[Tensor], average: Sequence[Tensor]
) -> dict[str, Tensor]:
    """The tensors, the average of a trained parameter in its place."""
    means = {id(parameter): mean for parameter, mean in zip(parameters, average, strict=True)}
    return {name: means.get(id(tensor), tensor) for name, tensor in tensors.items()}


def run_digest(
    recipe: RecipeBase,
    precision: str,
    source: PatchSource,
    initial: Mapping[str, Tensor] | None,
    trainable: Mapping[str, Tensor] | None,
) -> str:
    """Digest of all that determines the run, so that a checkpoint of another one is never continued."""
    digest = hashlib.sha256(json.dumps(asdict(recipe) | {"precision": precision}, sort_keys=True).encode())
    digest.update(_buffer(source.pixels))
    for tensors in (initial, trainable):
        for name, tensor in sorted((tensors or {}).items()):
            digest.update(name.encode())
            digest.update(_buffer(tensor))
    return digest.hexdigest()


def _buffer(tensor: Tensor) -> Any:
    """The bytes of a tensor for a digest; of one on the CPU that is contiguous they are not copied."""
    return tensor.detach().cpu().contiguous().view(-1).numpy()


def require_same_step(fabric: Fabric, step: int) -> None:
    """Refuse processes that would go on from different steps, each in its own copy of the run's folder."""
    differs = torch.tensor(float(step != fabric.broadcast(step)), device=fabric.device)
    if cast("Tensor", fabric.all_reduce(differs, reduce_op="sum")) > 0:
        raise TrainingError(
            f"the hosts found different checkpoints (this one step {step}); --out must be on a disk that they share"
        )


@dataclass(frozen=True)
class Session:
    """One stretch of a run: the step at its start, and the provenance of what ran."""

    step: Annotated[int, Field(ge=0)]
    made_on: Flat


def sessions(run_dir: Path) -> list[dict[str, Any]]:
    """The sessions, in order, whose steps are in the checkpoint of a run: ``step`` at their start, and ``made_on``.

    They are described (:func:`faiglib.system.provenance.collect`) before their first step, so by the code that runs.

    Raises:
        TrainingError: the file cannot be read.
    """
    path = run_dir / "sessions.json"
    if not path.exists():
        return []
    try:
        return [asdict(one) for one in read_json(path, list[Session])]
    except (OSError, DocumentError) as error:
        raise TrainingError(f"{path} cannot be read ({error}); delete it to go on without it") from None


def note_session(run_dir: Path, step: int, made_on: dict[str, Any]) -> None:
    """Add a session that starts at a step; of an earlier one that started there or later no step is left."""
    kept = [one for one in sessions(run_dir) if one["step"] < step]
    text = json.dumps([*kept, {"step": step, "made_on": made_on}], indent=1)
    write_text_atomic(run_dir / "sessions.json", text + "\n")


class RunState:
    """All tensors of a run, and their way to the checkpoint and back."""

    def __init__(
        self,
        identity: str,
        model: nn.Module,
        trained: Mapping[str, Tensor],
        average: Sequence[Tensor],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.identity, self.trained, self.average, self.optimizer = identity, trained, average, optimizer
        #: State of the model that is not trained: buffers, and parameters that want no gradient.
        self.kept = {name: value for name, value in model.state_dict(keep_vars=True).items() if name not in trained}

    def save(self, path: Path, done: Progress) -> None:
        """Write the checkpoint."""
        tensors: State = {f"kept/{name}": value for name, value in self.kept.items()}
        for (name, parameter), mean in zip(self.trained.items(), self.average, strict=True):
            tensors[f"parameter/{name}"] = parameter
            tensors[f"average/{name}"] = mean
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"adam/{name}/{key}"] = value
        metadata = {"identity": self.identity, "step": str(done.step), "seconds": repr(done.seconds)}
        save_weights(path, tensors, metadata)

    def resume(self, path: Path, iterations: int) -> Progress:
        """Take everything from a checkpoint, if there is one.

        Args:
            path: of the checkpoint.
            iterations: of the run, which none of its checkpoints is beyond.

        Raises:
            TrainingError: it cannot be read, belongs to another run, or lacks what one of this run holds.
        """
        if not path.exists():
            return Progress()
        try:
            tensors, metadata = read_tensors(path)
        except WeightsError as error:
            raise TrainingError(f"the checkpoint {path} cannot be read ({error}); delete it to start afresh") from None
        if metadata.get("identity") != self.identity:
            raise TrainingError(
                f"the checkpoint {path} belongs to a run with another recipe, other images, other initial "
                "weights or another arithmetic (precision); choose another folder, or delete it to start afresh"
            )
        try:
            done = Progress(int(metadata["step"]), float(metadata["seconds"]))
            if not (0 <= done.step <= iterations and 0 <= done.seconds < math.inf):
                raise ValueError(f"step {done.step} after {done.seconds} seconds")
            self._require(tensors, done.step)
        except (KeyError, ValueError):
            raise TrainingError(
                f"the checkpoint {path} does not hold what one of this run holds; delete it to start afresh"
            ) from None
        self._take(tensors)
        return done

    def _require(self, tensors: State, step: int) -> None:
        """Refuse tensors of other names or shapes before any is taken; what got no gradient yet has no moments.

        Raises:
            ValueError: one is missing or has another shape.
        """
        shapes = {f"kept/{name}": value.shape for name, value in self.kept.items()}
        moved = 0
        for name, parameter in self.trained.items():
            own = [f"parameter/{name}", f"average/{name}"]
            if any(key.startswith(f"adam/{name}/") for key in tensors):
                own += [f"adam/{name}/{moment}" for moment in MOMENTS]
                shapes[f"adam/{name}/step"] = torch.Size()
                moved += 1
            shapes |= dict.fromkeys(own, parameter.shape)
        wrong = [name for name, shape in shapes.items() if name not in tensors or tensors[name].shape != shape]
        if wrong or (step and not moved):
            raise ValueError(*wrong)

    def _take(self, tensors: State) -> None:
        moments: dict[int, dict[str, Tensor]] = {}
        with torch.no_grad():
            for name, value in self.kept.items():
                value.copy_(tensors[f"kept/{name}"])
            for number, ((name, parameter), mean) in enumerate(zip(self.trained.items(), self.average, strict=True)):
                parameter.copy_(tensors[f"parameter/{name}"])
                mean.copy_(tensors[f"average/{name}"])
                prefix = f"adam/{name}/"
                moments[number] = {
                    key.removeprefix(prefix): _laid_out_as(parameter, value)
                    for key, value in tensors.items()
                    if key.startswith(prefix)
                }
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """``value`` in the memory format of ``parameter``, which files do not keep and optimisers rely on."""
    return torch.empty_like(parameter, device="cpu").copy_(value) if value.shape == parameter.shape else value


def read_log(run_dir: Path | None, until: int) -> list[dict[str, float]]:
    """The rows of a run's log up to a step.

    Raises:
        TrainingError: the log cannot be read.
    """
    path = run_dir / "log.csv" if run_dir else None
    if path is None or not path.exists():
        return []
    try:
        rows = [
            {name: value for name, value in row.items() if not math.isnan(value)} for row in parse_csv(read_text(path))
        ]
        return [row | {"step": int(row["step"])} for row in rows if row["step"] <= until]
    except (OSError, DocumentError, KeyError) as error:
        raise TrainingError(f"the log {path} cannot be read ({error}); delete it to go on without it") from None
