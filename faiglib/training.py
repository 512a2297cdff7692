"""One trainer for everything, on Lightning Fabric (CPU, GPU, several processes).

A run is described by a recipe, which names what it is for (:mod:`faiglib.objectives`); with the images, the initial
weights and the arithmetic it determines every bit of the result on a given device and torch version. A run that stops
at any point goes on from its last checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast, get_args

import torch
from pydantic import Field
from torch import Tensor, nn
from tqdm import tqdm

from faiglib import provenance
from faiglib.checkpoints import State, fit, read_tensors, save_weights
from faiglib.degradations import BLUR_SIGMA, NOISE_SIGMA, quantise
from faiglib.documents import DocumentError, Flat, parse_csv, read_json, read_text
from faiglib.errors import TrainingError, WeightsError
from faiglib.files import write_rows_atomic, write_text_atomic
from faiglib.interruption import uninterrupted
from faiglib.metrics import psnr
from faiglib.networks import build
from faiglib.objectives import Objective, Restoration
from faiglib.patches import PatchSource, TrainingDegradation

try:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
except ModuleNotFoundError:  # the same code ships inside the package "lightning"
    from lightning.fabric import Fabric  # type: ignore[no-redef]
    from lightning.fabric.plugins.environments import (  # type: ignore[no-redef]
        LightningEnvironment,
        TorchElasticEnvironment,
    )

Schedule = Literal["one-cycle", "two-cycles", "cosine-restarts"]

#: Probabilities of blur and of noise by role (paper, section 3, and the re-training experiment).
ROLES: dict[str, tuple[float, float]] = {
    "baseline": (0.0, 0.0),
    "target": (0.5, 0.5),
    "deblurring": (1.0, 0.0),
    "denoising": (0.0, 1.0),
}
FINAL_LR = 1e-7
BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class RecipeBase:
    """What determines every training run; subclasses add what it is for.

    Attributes:
        network: name in the registry.
        role: what is trained, one of :attr:`roles`.
        seed: of the initial weights (when there are none) and of every random draw.
        iterations: optimiser steps.
        batch: patches per step, over all processes together.
        patch: side of the ground-truth patch in pixels.
        peak_lr: highest learning rate of Adam.
        schedule: ``one-cycle`` (linear warm-up, cosine to the end), ``two-cycles`` (one over the first ``period``
            steps, another with half the peak over the rest, where there is one) or ``cosine-restarts`` (as released).
        period: length in steps of a cosine period, for ``cosine-restarts``, or of the first of ``two-cycles``.
        warmup: share of the steps of a cycle that warm up.
        ema: decay of the moving average of the weights, which is the result.
        scale: of the network.
    """

    network: str
    role: str
    seed: int = 0
    iterations: int = 1000
    batch: int = 16
    patch: int = 64
    peak_lr: float = 2e-4
    schedule: Schedule = "one-cycle"
    period: int = 250_000
    warmup: float = 0.05
    ema: float = 0.999
    scale: int = 2

    roles: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        """Refuse values that cannot be trained.

        Raises:
            TrainingError: a value is out of its range.
        """
        if self.role not in self.roles:
            raise TrainingError(f"unknown role {self.role!r}; known: {', '.join(self.roles)}")
        if self.schedule not in get_args(Schedule):
            raise TrainingError(f"unknown schedule {self.schedule!r}; known: {', '.join(get_args(Schedule))}")
        for name in ("iterations", "batch", "patch", "peak_lr", "period"):
            if not 0 < getattr(self, name) < math.inf:
                raise TrainingError(f"{name} must be positive, not {getattr(self, name)}")
        if self.patch % self.scale:
            raise TrainingError(f"the patch of {self.patch} pixels does not divide by the scale {self.scale}")

    def objective(self) -> Objective:
        """What the run trains for, with a freshly initialised network."""
        raise NotImplementedError


@dataclass(frozen=True)
class Recipe(RecipeBase):
    """Training of a baseline or target network, or a re-training; the role, a key of :data:`ROLES`, says on what.

    Attributes:
        blur_sigma: standard deviation of the blur in HR pixels.
        noise_sigma: standard deviation of the noise on the [0, 1] scale.
    """

    blur_sigma: float = BLUR_SIGMA
    noise_sigma: float = NOISE_SIGMA

    roles: ClassVar[tuple[str, ...]] = tuple(ROLES)

    @property
    def degradation(self) -> TrainingDegradation:
        """What is done to the patches."""
        blur, noise = ROLES[self.role]
        return TrainingDegradation(blur, noise, self.blur_sigma, self.noise_sigma, self.scale)

    def objective(self) -> Objective:
        """L1 under the degradation of the role."""
        return Restoration(build(self.network, seed=self.seed, scale=self.scale), self.degradation)


def paper_recipe(network: str, role: Literal["baseline", "target"], seed: int = 0) -> Recipe:
    """The paper's own budget (section 5 of the supplement, released options)."""
    recipe = Recipe(network, role, seed, 1_000_000, 16, 64, 2e-4, "cosine-restarts")
    return recipe if role == "baseline" else replace(recipe, iterations=100_000, peak_lr=5e-5)


def fabric_on(device: torch.device, processes: int = 1, precision: str | None = None, hosts: int = 1) -> Fabric:
    """A Fabric on a device, not yet launched.

    Args:
        device: its index, where it has one and is a GPU, chooses that GPU.
        processes: how many on each host; more than one on a CPU use gloo.
        precision: in Fabric's words; float32 without it.
        hosts: how many machines take part.
    """
    chosen = [device.index] if device.type != "cpu" and device.index is not None else processes
    # Where nobody asked for several hosts, what a scheduler (SLURM, LSF, MPI) has set is about something else.
    alone = hosts == 1 and (processes == 1 or not TorchElasticEnvironment.detect())
    environment = LightningEnvironment() if alone else None
    return Fabric(
        accelerator=device.type,
        devices=chosen,
        num_nodes=hosts,
        precision=precision,  # type: ignore[arg-type]
        plugins=environment,
    )


def arithmetic(fabric: Fabric) -> str:
    """Precision of a Fabric in its own words, such as ``32-true`` or ``bf16-mixed``."""
    return fabric.strategy.precision.precision


def learning_rate(recipe: RecipeBase, step: int) -> float:
    """Learning rate of step ``step`` (from 0)."""
    if recipe.schedule == "cosine-restarts":
        return _cosine((step % recipe.period) / recipe.period, recipe.peak_lr)
    if recipe.schedule == "two-cycles" and recipe.period < recipe.iterations:
        if step >= recipe.period:
            return _one_cycle(
                step - recipe.period, recipe.iterations - recipe.period, recipe.peak_lr / 2, recipe.warmup
            )
        return _one_cycle(step, recipe.period, recipe.peak_lr, recipe.warmup)
    return _one_cycle(step, recipe.iterations, recipe.peak_lr, recipe.warmup)


def _one_cycle(step: int, steps: int, peak: float, warmup: float) -> float:
    rising = max(1, round(warmup * steps))
    if step < rising:
        return peak * (step + 1) / rising
    return _cosine((step - rising) / max(1, steps - rising), peak)


def _cosine(progress: float, peak: float) -> float:
    return FINAL_LR + (peak - FINAL_LR) * 0.5 * (1 + math.cos(math.pi * progress))


def ema_decay(recipe: RecipeBase, step: int) -> float:
    """Decay at step t: (1 + t) / (10 + t) up to the recipe's, so that short runs forget their start."""
    return min(recipe.ema, (1 + step) / (10 + step))


def draw_seed(seed: int, step: int) -> int:
    """Seed of the draws of one step; below 2³², since the CPU generator keeps no more bits."""
    return (seed * 0x9E3779B1 + step) % 2**32


@dataclass(frozen=True)
class TrainingResult:
    """What a run made: state of the network with averaged weights, log (a mapping per row), seconds of all sessions."""

    state: State
    log: list[dict[str, float]]
    seconds: float


@dataclass
class _Progress:
    """The part of a run that a checkpoint holds besides tensors."""

    step: int = 0
    seconds: float = 0.0


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
    progress: bool = True,
) -> TrainingResult:
    """Train a network by a recipe: its objective, Adam (0.9, 0.99), exponential moving average of the weights.

    Args:
        recipe: what to train.
        images: ground truth, each (1, 3, H, W) in [0, 1]; consumed one after the other.
        initial: state of the objective's model to start from; freshly drawn weights otherwise.
        trainable: boolean masks by parameter name, broadcastable to the parameter; everything else stays as
            it is. Without it all parameters are trained.
        run_dir: where the checkpoint ``state.safetensors``, ``log.csv``, ``sessions.json`` (:func:`sessions`) and
            the result ``weights.safetensors`` go. A checkpoint of the same run found there is continued.
        validation: network input and ground truth, (N, 3, h, w) and (N, 3, H, W), by name; their PSNR is
            logged. It takes an objective whose result restores images.
        fabric: launched; decides device, precision and number of processes. CPU in float32 otherwise.
        checkpoint_seconds: time between checkpoints.
        log_every: steps between rows of the log.
        progress: show a progress bar.

    Raises:
        TrainingError: the images or the processes do not fit, a mask names no parameter, the run directory holds
            another run, the hosts hold different checkpoints, or the loss is not finite.
    """
    fabric = fabric or fabric_on(torch.device("cpu"))
    made_on = provenance.collect(fabric.device) if run_dir and fabric.is_global_zero else {}
    if recipe.batch % fabric.world_size:
        raise TrainingError(f"a batch of {recipe.batch} does not divide over {fabric.world_size} processes")
    objective = recipe.objective()
    if objective.one_process and fabric.world_size > 1:
        raise TrainingError(
            f"{recipe.network} keeps state besides its weights, which {fabric.world_size} processes would not share; "
            "train it in one"
        )
    model = objective.model
    if initial is not None:
        fit(model, initial, "the file of initial weights")
    model.to(fabric.device)
    model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    masks = _masks(trained, trainable)
    source = PatchSource.from_images(images, recipe.patch, fabric.device)

    parameters: list[Tensor] = list(trained.values())
    optimizer = torch.optim.Adam(parameters, lr=recipe.peak_lr, betas=BETAS, fused=fabric.device.type == "cuda")
    average = [parameter.detach().clone() for parameter in parameters]
    identity = _identity(recipe, arithmetic(fabric), source, initial, trainable)
    run_state = _RunState(identity, model, trained, average, optimizer)
    checkpoint = run_dir / "state.safetensors" if run_dir else None
    done = run_state.resume(checkpoint) if checkpoint else _Progress()
    _require_same_step(fabric, done.step)
    log = _read_log(run_dir, done.step)

    def result(seconds: float) -> TrainingResult:
        averaged = _averaged(objective.network.state_dict(keep_vars=True), parameters, average)
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in averaged.items()}
        if run_dir and fabric.is_global_zero:
            save_weights(run_dir / "weights.safetensors", state, {"recipe": json.dumps(asdict(recipe))})
        return TrainingResult(state, log, seconds)

    if done.step == recipe.iterations:
        return result(done.seconds)
    if run_dir and fabric.is_global_zero:
        _note_session(run_dir, done.step, made_on)

    compiled = Compiled(model) if _should_compile(fabric, run_state) else model
    module, wrapped = fabric.setup(compiled, optimizer)
    generator = torch.Generator(fabric.device)
    share = slice(fabric.global_rank, None, fabric.world_size)
    started, saved, losses = (
        time.monotonic() - done.seconds,
        time.monotonic(),
        torch.zeros((), device=fabric.device),
    )
    since = 0
    stepping = time.perf_counter()  # start of the steps since the last row, put off by what is none
    whole = True  # whether the state of the model, moments, average and step number belong together
    bar = tqdm(
        total=recipe.iterations,
        initial=done.step,
        desc=f"{recipe.network} {recipe.role} seed {recipe.seed}",
        unit="it",
        disable=not (progress and fabric.is_global_zero),
    )

    def save() -> None:
        if checkpoint and fabric.is_global_zero:
            done.seconds = time.monotonic() - started
            run_state.save(checkpoint, done)

    try:
        while done.step < recipe.iterations:
            generator.manual_seed(draw_seed(recipe.seed, done.step))
            samples = tuple(_laid_out(tensor[share]) for tensor in objective.draw(source, recipe.batch, generator))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, done.step)
            with uninterrupted():
                whole = False  # from the forward pass on, which moves the statistics of batch normalisation
                outputs = module(samples[0])
                loss = objective.loss(outputs, samples)
                wrapped.zero_grad()
                fabric.backward(loss)
                for parameter, mask in zip(parameters, masks, strict=True):
                    if mask is not None and parameter.grad is not None:
                        parameter.grad.mul_(mask)
                wrapped.step()
                with torch.no_grad():
                    torch._foreach_lerp_(average, parameters, 1 - ema_decay(recipe, done.step))
                objective.after_step(outputs)
                losses += loss.detach()
                since += 1
                done.step += 1
                whole = True
                if done.step % log_every == 0 or done.step == recipe.iterations:  # a counted step never lacks its row
                    mean_loss = float(cast("Tensor", fabric.all_reduce(losses / since, reduce_op="mean")))
                    if not math.isfinite(mean_loss):
                        raise TrainingError(
                            f"the loss became {mean_loss} before step {done.step}; lower the learning rate"
                        )
                    row = {
                        "step": done.step,
                        "seconds": round(time.monotonic() - started, 2),
                        "learning_rate": learning_rate(recipe, done.step - 1),
                        "loss": mean_loss,
                        "iterations_per_second": float(f"{since / (time.perf_counter() - stepping):.4g}"),
                    }
                    row |= _validate(objective.network, parameters, average, validation or {})
                    log.append(row)
                    if run_dir and fabric.is_global_zero:
                        write_rows_atomic(run_dir / "log.csv", log)
                    losses, since = torch.zeros_like(losses), 0
                    stepping = time.perf_counter()
                    bar.set_postfix(
                        {name: f"{value:.4g}" for name, value in row.items() if name.startswith(("loss", "psnr"))}
                    )
            bar.update()
            if time.monotonic() - saved > checkpoint_seconds and bool(torch.isfinite(losses)):
                before = time.perf_counter()
                save()
                stepping += time.perf_counter() - before
                saved = time.monotonic()
        save()
    except KeyboardInterrupt:
        if whole:
            save()
        raise
    finally:
        bar.close()
    return result(time.monotonic() - started)


def _should_compile(fabric: Fabric, run_state: _RunState) -> bool:
    """Whether to compile: on a GPU, and a model that has no fixed or self-made state, which would stay as it is."""
    return fabric.device.type == "cuda" and not run_state.kept


class Compiled(nn.Module):
    """A model that is compiled if that works here, and otherwise runs as it is, with one warning.

    Whether it works shows at the first step: it takes Triton and a C compiler, which may be missing or too old.

    Args:
        model: whose parameters these are.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        # In a list, so that the parameters are not there twice.
        self._fast: list[Callable[..., Any]] = [torch.compile(model, mode="reduce-overhead")]

    def forward(self, *inputs: Tensor) -> Any:
        """What the model returns."""
        if self._fast:
            try:
                return self._fast[0](*inputs)
            except Exception as error:
                if not cannot_compile(error):
                    raise
                self._fast.clear()
                reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
                warnings.warn(
                    f"the model cannot be compiled here and runs as it is: {reason}", UserWarning, stacklevel=2
                )
        return self.model(*inputs)


def cannot_compile(error: BaseException) -> bool:
    """Whether an error comes from the compiler, not from the model or from a lack of memory."""
    causes: list[BaseException] = []
    while error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__ or error
    if any(isinstance(one, torch.OutOfMemoryError) for one in causes):
        return False
    return any(type(one).__module__.startswith(("torch._dynamo", "torch._inductor", "triton")) for one in causes)


def _masks(trained: Mapping[str, Tensor], trainable: Mapping[str, Tensor] | None) -> list[Tensor | None]:
    if trainable is None:
        return [None] * len(trained)
    for name in trainable:
        if name not in trained:
            raise TrainingError(f"cannot train {name}: the network has no such parameter")
    nothing = torch.zeros(())
    return [trainable.get(name, nothing).to(parameter.device, parameter.dtype) for name, parameter in trained.items()]


def _laid_out(samples: Tensor) -> Tensor:
    """Images with the channels last, as the weights are; everything else as it is."""
    return samples.contiguous(memory_format=torch.channels_last) if samples.dim() == 4 else samples


def _averaged(
    tensors: Mapping[str, Tensor], parameters: Sequence[Tensor], average: Sequence[Tensor]
) -> dict[str, Tensor]:
    """The tensors, the average of a trained parameter in its place."""
    means = {id(parameter): mean for parameter, mean in zip(parameters, average, strict=True)}
    return {name: means.get(id(tensor), tensor) for name, tensor in tensors.items()}


def _identity(
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


def _require_same_step(fabric: Fabric, step: int) -> None:
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

    They are described (:func:`faiglib.provenance.collect`) before their first step, so by the code that runs.

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


def _note_session(run_dir: Path, step: int, made_on: dict[str, Any]) -> None:
    """Add a session that starts at a step; of an earlier one that started there or later no step is left."""
    kept = [one for one in sessions(run_dir) if one["step"] < step]
    text = json.dumps([*kept, {"step": step, "made_on": made_on}], indent=1)
    write_text_atomic(run_dir / "sessions.json", text + "\n")


class _RunState:
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

    def save(self, path: Path, done: _Progress) -> None:
        tensors: State = {f"kept/{name}": value for name, value in self.kept.items()}
        for (name, parameter), mean in zip(self.trained.items(), self.average, strict=True):
            tensors[f"parameter/{name}"] = parameter
            tensors[f"average/{name}"] = mean
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"adam/{name}/{key}"] = value
        metadata = {"identity": self.identity, "step": str(done.step), "seconds": repr(done.seconds)}
        save_weights(path, tensors, metadata)

    def resume(self, path: Path) -> _Progress:
        if not path.exists():
            return _Progress()
        try:
            tensors, metadata = read_tensors(path)
        except WeightsError as error:
            raise TrainingError(f"the checkpoint {path} cannot be read ({error}); delete it to start afresh") from None
        if metadata.get("identity") != self.identity:
            raise TrainingError(
                f"the checkpoint {path} belongs to a run with another recipe, other images, other initial "
                "weights or another arithmetic (precision); choose another folder, or delete it to start afresh"
            )
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
        return _Progress(int(metadata["step"]), float(metadata["seconds"]))


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """``value`` in the memory format of ``parameter``, which files do not keep and optimisers rely on."""
    return torch.empty_like(parameter, device="cpu").copy_(value) if value.shape == parameter.shape else value


@torch.no_grad()
def _validate(
    network: nn.Module,
    parameters: Sequence[Tensor],
    average: Sequence[Tensor],
    validation: Mapping[str, tuple[Tensor, Tensor]],
) -> dict[str, float]:
    """PSNR in dB of the averaged weights, one value per named input."""
    if not validation:
        return {}
    weights = _averaged(dict(network.named_parameters()), parameters, average)
    values = {}
    network.eval()
    for name, (low, ground_truth) in validation.items():
        restored = torch.func.functional_call(network, weights, (low.to(average[0].device),))
        values[f"psnr_{name}"] = float(psnr(quantise(restored.float()), ground_truth.to(restored.device)).mean())
    network.train()
    return values


def _read_log(run_dir: Path | None, until: int) -> list[dict[str, float]]:
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
