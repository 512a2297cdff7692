"""How the networks of supp. Tables 1 and 2 are trained: recipe and objectives of DAN, DASR and SRResNet at ×4.

All three draw their crops, kernels and noise in the same way, so that two runs with one seed, batch and patch see the
same inputs step by step. DASR draws a second patch of every image after that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from faiglib.errors import TrainingError
from faiglib.images.blind_degradations import SCALE, RandomDegradation
from faiglib.networks import build, seeded
from faiglib.networks.dan import DAN, DANTraining, dan_loss
from faiglib.networks.dasr import DASR
from faiglib.race.contrast import DASRTraining, EncoderTraining, contrastive_loss, joint_loss
from faiglib.training.objectives import Objective, Samples
from faiglib.training.patches import PatchSource
from faiglib.training.recipe import RecipeBase


@dataclass(frozen=True)
class BlindRecipe(RecipeBase):
    """Training on blur of unknown width, U[0.2, 4.0], and noise of unknown strength.

    Attributes:
        scale: of the network.
        options: of the network's constructor, besides the scale.
        noise_limit: noise is drawn from U[0, limit], on the [0, 1] scale; 0 means none.
        queue: keys in DASR's queue.
        momentum: of DASR's key encoder.
    """

    scale: int = SCALE
    options: Mapping[str, int] = field(default_factory=dict)
    noise_limit: float = 0.0
    queue: int = 8192
    momentum: float = 0.999

    #: ``restoration`` trains the whole network, ``encoder`` the encoder of DASR alone, before.
    roles: ClassVar[tuple[str, ...]] = ("restoration", "encoder")

    def __post_init__(self) -> None:
        """Refuse values that cannot be trained.

        Raises:
            TrainingError: a value is out of its range, or the network has no encoder to train alone.
        """
        super().__post_init__()
        if self.role == "encoder" and self.network != "dasr":
            raise TrainingError(f"{self.network} has no encoder that is trained alone; dasr has")
        if self.network == "dasr" and self.queue < self.batch:
            raise TrainingError(f"a queue of {self.queue} keys does not hold a batch of {self.batch}")

    def objective(self) -> Objective:
        """What the run trains for, with a freshly initialised network."""
        network = build(self.network, seed=self.seed, scale=self.scale, **self.options)
        degradation = RandomDegradation(noise_limit=self.noise_limit, scale=self.scale)
        if isinstance(network, DAN):
            return KernelEstimation(DANTraining(network), network, degradation)
        if isinstance(network, DASR):
            with seeded(self.seed):
                if self.role == "encoder":
                    model = EncoderTraining(network, self.queue, self.momentum)
                    return ContrastAlone(model, model, degradation)
                return JointContrast(DASRTraining(network, self.queue, self.momentum), network, degradation)
        return BlindRestoration(network, network, degradation)


class BlindRestoration(Objective):
    """L1 on the restored image: a one-branch network."""

    def __init__(self, model: nn.Module, network: nn.Module, degradation: RandomDegradation) -> None:
        super().__init__(model, network)
        self.degradation = degradation

    def draw(self, source: PatchSource, batch: int, generator: torch.Generator) -> Samples:
        """Network input (N, 3, p/r, p/r) and ground truth (N, 3, p, p)."""
        samples = self.degradation(source.draw(batch, generator), generator)
        return samples.low, samples.ground_truth


class KernelEstimation(BlindRestoration):
    """L1 on the restored image and on the code of its kernel, both of the last loop: DAN."""

    model: DANTraining

    def draw(self, source: PatchSource, batch: int, generator: torch.Generator) -> Samples:
        """Network input, ground truth and kernels (N, 21, 21)."""
        samples = self.degradation(source.draw(batch, generator), generator)
        return samples.low, samples.ground_truth, samples.kernels

    def loss(self, outputs: tuple[Tensor, Tensor], samples: Samples) -> Tensor:
        """Sum of both."""
        return dan_loss(self.model.network, outputs, samples[1], samples[2])


class ContrastAlone(BlindRestoration):
    """Cross-entropy of the degradation encoder: first phase of DASR."""

    model: DASRTraining
    one_process = True

    def draw(self, source: PatchSource, batch: int, generator: torch.Generator) -> Samples:
        """Pairs of query and key (N, 2, 3, p/r, p/r), and the ground truth (N, 3, p, p) of the queries.

        Query and key are two patches of one image under one degradation. The queries are what a network without
        contrast gets from the same generator.
        """
        images = source.choose(batch, generator)
        query = self.degradation(source.crop(images, generator), generator)
        key = self.degradation.again(query, source.crop(images, generator), generator)
        return torch.stack((query.low, key.low), dim=1), query.ground_truth

    def loss(self, outputs: tuple[Tensor, Tensor], samples: Samples) -> Tensor:
        """Cross-entropy."""
        return contrastive_loss(outputs[0])

    def after_step(self, outputs: tuple[Tensor, ...]) -> None:
        """Put the keys, the last of the outputs, into the queue and let the key encoder follow."""
        self.model.enqueue(outputs[-1])
        self.model.follow()


class JointContrast(ContrastAlone):
    """L1 on the restored image and cross-entropy of the encoder: second phase of DASR."""

    def loss(self, outputs: tuple[Tensor, Tensor, Tensor], samples: Samples) -> Tensor:  # type: ignore[override]
        """Sum of both, weighted as for pixel values 0 … 255."""
        return joint_loss(outputs[0], samples[1], outputs[1])
