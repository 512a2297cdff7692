"""One trainer for everything, on Lightning Fabric (CPU, GPU, several processes).

A run is described by a recipe, which names what it is for (:mod:`faiglib.training.objectives`); with the images, the
initial weights and the arithmetic it determines every bit of the result on a given device and torch version. A run that
stops at any point goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from tqdm import tqdm

from faiglib.errors import TrainingError
from faiglib.system import provenance
from faiglib.system.files import write_rows_atomic
from faiglib.system.interruption import uninterrupted
from faiglib.system.tensors import State, save_weights
from faiglib.training import snapshots
from faiglib.training.checkpoint import (
    Progress,
    RunState,
    note_session,
    read_log,
    require_same_step,
    run_digest,
    with_average,
)
from faiglib.training.compiled import Compiled, should_compile
from faiglib.training.fabric import arithmetic, fabric_on
from faiglib.training.patches import PatchSource
from faiglib.training.preparation import masks_of, objective_of
from faiglib.training.recipe import RecipeBase, draw_seed, ema_decay, learning_rate
from faiglib.training.validation import validate

if TYPE_CHECKING:
    from lightning_fabric import Fabric

BETAS = (0.9, 0.99)
#: Name of the checkpoint in the folder of a run.
CHECKPOINT = "state.safetensors"


@dataclass(frozen=True)
class TrainingResult:
    """What a run made: state of the network with averaged weights, log (a mapping per row), seconds of all sessions."""

    state: State
    log: list[dict[str, float]]
    seconds: float


def train(
    recipe: RecipeBase,
    images: Iterable[Tensor],
    *,
    initial: Mapping[str, Tensor] | None = None,
    trainable: Mapping[str, Tensor] | None = None,
    run_dir: Path | None = None,
    validation: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    fabric: Fabric | None = None,
    checkpoint_seconds: float = 120.0,
    log_every: int = 200,
    kept_steps: Iterable[int] = (),
    progress: bool = True,
) -> TrainingResult:
    """Train a network by a recipe: its objective, Adam (0.9, 0.99), exponential moving average of the weights.

    Args:
        recipe: what to train.
        images: ground truth, each (1, 3, H, W) in [0, 1]; consumed one after the other.
        initial: state of the objective's model to start from; freshly drawn weights otherwise.
        trainable: boolean masks by parameter name, broadcastable to the parameter; everything else stays as
            it is. Without it all parameters are trained.
        run_dir: where the checkpoint ``state.safetensors``, ``log.csv``, ``sessions.json`` (:func:`sessions`), the
            snapshots and the result ``weights.safetensors`` go. A checkpoint of the same run is continued.
        validation: network input and ground truth, (N, 3, h, w) and (N, 3, H, W), by name; their PSNR is
            logged. It takes an objective whose result restores images.
        fabric: launched; decides device, precision and number of processes. CPU in float32 otherwise.
        checkpoint_seconds: time between checkpoints.
        log_every: steps between rows of the log.
        kept_steps: after which a snapshot is taken.
        progress: show a progress bar.

    Raises:
        TrainingError: the images or the processes do not fit, a mask names no parameter, the run directory holds
            another run, the hosts hold different checkpoints, or the loss is not finite.
    """
    run = Run(recipe, images, initial, trainable, run_dir, validation or {}, fabric, log_every, kept_steps)
    if run.finished():
        return run.result()
    run.begin()
    title = f"{recipe.network} {recipe.role} seed {recipe.seed}"
    hidden = not (progress and run.fabric.is_global_zero)
    bar = tqdm(total=recipe.iterations, initial=run.done.step, desc=title, unit="it", disable=hidden)
    try:
        while not run.finished():
            row = run.step()
            if row is not None:
                shown = {name: f"{value:.4g}" for name, value in row.items() if name.startswith(("loss", "psnr"))}
                bar.set_postfix(shown)
            bar.update()
            if run.seconds_unsaved > checkpoint_seconds and run.is_finite:
                run.save()
        run.save()
    except KeyboardInterrupt:
        if run.whole:
            run.save()
        raise
    finally:
        bar.close()
    return run.result()


class Run:
    """A training in progress: the arguments are those of :func:`train`.

    Attributes:
        done: how far it is.
        log: the rows so far.
        whole: whether model, moments, average and step number belong together, so that they may be saved.

    Raises:
        TrainingError: see :func:`train`.
    """

    def __init__(
        self,
        recipe: RecipeBase,
        images: Iterable[Tensor],
        initial: Mapping[str, Tensor] | None,
        trainable: Mapping[str, Tensor] | None,
        run_dir: Path | None,
        validation: Mapping[str, tuple[Tensor, Tensor]],
        fabric: Fabric | None,
        log_every: int,
        kept_steps: Iterable[int],
    ) -> None:
        self.recipe, self.validation, self.log_every = recipe, validation, log_every
        self.fabric = fabric = fabric or fabric_on(torch.device("cpu"))
        self.folder = run_dir if run_dir and fabric.is_global_zero else None  # where this process writes, if anywhere
        self.made_on = provenance.collect(fabric.device) if self.folder else {}
        self.objective = objective_of(recipe, fabric, initial)
        model = self.objective.model
        trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.masks = masks_of(trained, trainable)
        self.source = PatchSource.from_images(images, recipe.patch, fabric.device)
        self.parameters: list[Tensor] = list(trained.values())
        self.optimizer: Any = torch.optim.Adam(
            self.parameters, lr=recipe.peak_lr, betas=BETAS, fused=fabric.device.type == "cuda"
        )
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        identity = run_digest(recipe, arithmetic(fabric), self.source, initial, trainable)
        self.state = RunState(identity, model, trained, self.average, self.optimizer)
        self.done = self.state.resume(run_dir / CHECKPOINT, recipe.iterations) if run_dir else Progress()
        require_same_step(fabric, self.done.step)
        self.log = read_log(run_dir, self.done.step)
        self.kept_steps = frozenset(kept_steps)
        self.whole = True

    def begin(self) -> None:
        """Make everything ready for the next step."""
        if self.folder:
            note_session(self.folder, self.done.step, self.made_on)
        model = self.objective.model
        compiled = Compiled(model) if should_compile(self.fabric, self.state) else model
        self.module, self.optimizer = self.fabric.setup(compiled, self.optimizer)
        self.generator = torch.Generator(self.fabric.device)
        self.losses, self.since = torch.zeros((), device=self.fabric.device), 0  # of the steps since the last row
        self.started, self.saved = time.monotonic() - self.done.seconds, time.monotonic()
        self.stepping = time.perf_counter()  # start of those steps, put off by what is none

    def finished(self) -> bool:
        """Whether no step is left."""
        return self.done.step == self.recipe.iterations

    @property
    def is_finite(self) -> bool:
        """Whether no loss since the last row was infinite or NaN."""
        return bool(torch.isfinite(self.losses))

    @property
    def seconds_unsaved(self) -> float:
        """Time since the last checkpoint."""
        return time.monotonic() - self.saved

    def step(self) -> dict[str, float] | None:
        """One step of the optimiser, whole or not at all, and the row of the log where one is due.

        They belong together: a counted step never lacks its row.

        Raises:
            TrainingError: the loss is not finite.
        """
        recipe, objective = self.recipe, self.objective
        share = slice(self.fabric.global_rank, None, self.fabric.world_size)
        self.generator.manual_seed(draw_seed(recipe.seed, self.done.step))
        samples = tuple(_laid_out(one[share]) for one in objective.draw(self.source, recipe.batch, self.generator))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, self.done.step)
        with uninterrupted():
            self.whole = False  # from the forward pass on, which moves the statistics of batch normalisation
            outputs = self.module(samples[0])
            loss = objective.loss(outputs, samples)
            self.optimizer.zero_grad()
            self.fabric.backward(loss)
            for parameter, mask in zip(self.parameters, self.masks, strict=True):
                if mask is not None and parameter.grad is not None:
                    parameter.grad.mul_(mask)
            self.optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(self.average, self.parameters, 1 - ema_decay(recipe, self.done.step))
            objective.after_step(outputs)
            self.losses += loss.detach()
            self.since += 1
            self.done.step += 1
            self.whole = True
            if self.folder and self.done.step in self.kept_steps:
                snapshots.save(self.folder, recipe, self.state.identity, self.done.step, self.averaged())
            return self.row() if self.done.step % self.log_every == 0 or self.finished() else None

    def row(self) -> dict[str, float]:
        """A row on the steps since the last one, which is also written.

        Raises:
            TrainingError: their loss is not finite.
        """
        loss = float(cast("Tensor", self.fabric.all_reduce(self.losses / self.since, reduce_op="mean")))
        if not math.isfinite(loss):
            raise TrainingError(f"the loss became {loss} before step {self.done.step}; lower the learning rate")
        row = {
            "step": self.done.step,
            "seconds": round(time.monotonic() - self.started, 2),
            "learning_rate": learning_rate(self.recipe, self.done.step - 1),
            "loss": loss,
            "iterations_per_second": float(f"{self.since / (time.perf_counter() - self.stepping):.4g}"),
        }
        row |= validate(self.objective.network, self.parameters, self.average, self.validation)
        self.log.append(row)
        if self.folder:
            write_rows_atomic(self.folder / "log.csv", self.log)
        self.losses, self.since = torch.zeros_like(self.losses), 0
        self.stepping = time.perf_counter()
        return row

    def save(self) -> None:
        """Write a checkpoint, where there is a place for it."""
        before = time.perf_counter()
        self.done.seconds = time.monotonic() - self.started
        if self.folder:
            self.state.save(self.folder / CHECKPOINT, self.done)
        self.stepping += time.perf_counter() - before
        self.saved = time.monotonic()

    def averaged(self) -> State:
        """State of the network with averaged weights so far, on the CPU."""
        averaged = with_average(self.objective.network.state_dict(keep_vars=True), self.parameters, self.average)
        return {name: tensor.detach().cpu().contiguous() for name, tensor in averaged.items()}

    def result(self) -> TrainingResult:
        """What the run made, written if there is a place for it."""
        state = self.averaged()
        if self.folder:
            save_weights(self.folder / "weights.safetensors", state, {"recipe": json.dumps(asdict(self.recipe))})
        return TrainingResult(state, self.log, self.done.seconds)


def _laid_out(samples: Tensor) -> Tensor:
    """Images with the channels last, as the weights are; everything else as it is."""
    return samples.contiguous(memory_format=torch.channels_last) if samples.dim() == 4 else samples
