"""What a training run draws, what it asks of the network, and what happens after a step.

The trainer (:mod:`faiglib.training.trainer`) knows nothing of degradations and losses; an objective knows nothing of
optimisers, checkpoints and processes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.training.patches import PatchSource, TrainingDegradation

Samples = tuple[Tensor, ...]


class Objective:
    """What a run trains for; here L1 between what the model returns and the second of the samples.

    Attributes:
        model: everything that is trained or kept. Parameters that want a gradient are trained and averaged; the rest
            of its state goes into checkpoints as it is.
        network: the result of the run, a part of the model or the model itself.
        one_process: whether the model keeps state that several processes would not share.
    """

    one_process: ClassVar[bool] = False

    def __init__(self, model: nn.Module, network: nn.Module) -> None:
        self.model, self.network = model, network

    def draw(self, source: PatchSource, batch: int, generator: torch.Generator) -> Samples:
        """Random samples: the input of the model, then what the loss needs. The first axis of each is the batch."""
        raise NotImplementedError

    def loss(self, outputs: Any, samples: Samples) -> Tensor:
        """The loss of what the model made of ``samples[0]``."""
        return F.l1_loss(outputs, samples[1])

    def after_step(self, outputs: Any) -> None:
        """Change what no optimiser changes; ``outputs`` are those that the step was computed from."""


class Restoration(Objective):
    """L1 of a restoration network under the degradation of a role; samples are input and ground truth."""

    def __init__(self, network: nn.Module, degradation: TrainingDegradation) -> None:
        super().__init__(network, network)
        self.degradation = degradation

    def draw(self, source: PatchSource, batch: int, generator: torch.Generator) -> Samples:
        """Network input (N, 3, p/r, p/r) and ground truth (N, 3, p, p)."""
        return self.degradation(source.draw(batch, generator), generator)
