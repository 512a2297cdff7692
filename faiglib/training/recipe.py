"""What determines a training run: budget, learning rate, average, seeds (paper, section 5, and what is cheaper)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple, get_args

from faiglib.errors import TrainingError
from faiglib.images.degradations import BLUR_SIGMA, NOISE_SIGMA
from faiglib.networks import build, zoo
from faiglib.training.objectives import Objective, Restoration
from faiglib.training.patches import TrainingDegradation

Schedule = Literal["one-cycle", "two-cycles", "cosine-restarts"]


class Chances(NamedTuple):
    """Probabilities of the degradations, independent, per sample."""

    blur: float
    noise: float
    jpeg: float = 0.0


#: What is learnt by role (paper, section 3, and the re-training experiment), and with JPEG as a third degradation.
ROLES: dict[str, Chances] = {
    "baseline": Chances(0.0, 0.0),
    "target": Chances(0.5, 0.5),
    "target_jpeg": Chances(0.5, 0.5, 0.5),
    "deblurring": Chances(1.0, 0.0),
    "denoising": Chances(0.0, 1.0),
}
FINAL_LR = 1e-7


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
        blur, noise, jpeg = ROLES[self.role]
        return TrainingDegradation(blur, noise, self.blur_sigma, self.noise_sigma, self.scale, jpeg)

    def objective(self) -> Objective:
        """L1 under the degradation of the role."""
        return Restoration(build(self.network, seed=self.seed, scale=self.scale), self.degradation)


def paper_recipe(network: str, role: str, seed: int = 0) -> Recipe:
    """The paper's own budget for a baseline or a target (section 5 of the supplement, released options)."""
    recipe = Recipe(network, role, seed, 1_000_000, 16, 64, 2e-4, "cosine-restarts")
    return recipe if role not in zoo.TARGETS else replace(recipe, iterations=100_000, peak_lr=5e-5)


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
