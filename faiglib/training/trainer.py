"""One trainer for everything, on Lightning Fabric (CPU, GPU, several processes).

A run is described by a recipe, which names what it is for (:mod:`faiglib.training.objectives`); with the images, the
initial weights and the arithmetic it determines every bit of the result on a given device and torch version. A run that
stops at any point goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.errors import TrainingError
from faiglib.images.degradations import quantise
from faiglib.images.metrics import psnr
from faiglib.networks.weights import fit
from faiglib.system import provenance
from faiglib.system.files import write_rows_atomic
from faiglib.system.interruption import uninterrupted
from faiglib.system.tensors import State, save_weights
from faiglib.training.checkpoint import (
    Progress,
    RunState,
    note_session,
    read_log,
    require_same_step,
    run_digest,
    with_average,
)
from faiglib.training.fabric import Fabric, arithmetic, fabric_on
from faiglib.training.patches import PatchSource
from faiglib.training.recipe import RecipeBase, draw_seed, ema_decay, learning_rate

BETAS = (0.9, 0.99)


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
    identity = run_digest(recipe, arithmetic(fabric), source, initial, trainable)
    run_state = RunState(identity, model, trained, average, optimizer)
    checkpoint = run_dir / "state.safetensors" if run_dir else None
    done = run_state.resume(checkpoint) if checkpoint else Progress()
    require_same_step(fabric, done.step)
    log = read_log(run_dir, done.step)

    def result(seconds: float) -> TrainingResult:
        averaged = with_average(objective.network.state_dict(keep_vars=True), parameters, average)
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in averaged.items()}
        if run_dir and fabric.is_global_zero:
            save_weights(run_dir / "weights.safetensors", state, {"recipe": json.dumps(asdict(recipe))})
        return TrainingResult(state, log, seconds)

    if done.step == recipe.iterations:
        return result(done.seconds)
    if run_dir and fabric.is_global_zero:
        note_session(run_dir, done.step, made_on)

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


def _should_compile(fabric: Fabric, run_state: RunState) -> bool:
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
    weights = with_average(dict(network.named_parameters()), parameters, average)
    values = {}
    network.eval()
    for name, (low, ground_truth) in validation.items():
        restored = torch.func.functional_call(network, weights, (low.to(average[0].device),))
        values[f"psnr_{name}"] = float(psnr(quantise(restored.float()), ground_truth.to(restored.device)).mean())
    network.train()
    return values
