"""How DASR learns degradations: momentum contrast, and the two losses (Wang et al. 2021)."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.networks.dasr import DASR, PEAK, SLOPE, Encoder


def contrastive_head(width: int) -> nn.Sequential:
    """Two linear layers (N, width) → (N, width) that only the contrastive loss sees."""
    return nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(SLOPE), nn.Linear(width, width))


class MomentumContrast(nn.Module):
    """What DASR's encoder is trained with (MoCo, He et al. 2020): head, key encoder, queue of keys.

    The key encoder never gets a gradient; :meth:`follow` moves it towards the query encoder. Its batch normalisation
    keeps statistics of its own.

    Args:
        encoder: the query encoder, which the key encoder starts as a copy of.
        length: of the queue.
        momentum: share of the key encoder that :meth:`follow` keeps.
        temperature: divides the cosines.
    """

    queue: Tensor
    position: Tensor

    def __init__(
        self, encoder: Encoder, length: int = 8192, momentum: float = 0.999, temperature: float = 0.07
    ) -> None:
        super().__init__()
        self.momentum, self.temperature = momentum, temperature
        self.head = contrastive_head(encoder.width)
        self.key_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.key_head = copy.deepcopy(self.head).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(length, encoder.width), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    def forward(self, representation: Tensor, key_image: Tensor) -> tuple[Tensor, Tensor]:
        """Compare queries with their own keys and with the queue.

        Args:
            representation: (N, width) of the query images.
            key_image: (N, 3, H, W) with the degradations of the query images, pixel values 0 … 255.

        Returns:
            Cosines / temperature (N, 1 + length), the right key first; and the keys (N, width) of unit length, which
            :meth:`enqueue` takes after the step.
        """
        queries = F.normalize(self.head(representation), dim=1)
        with torch.no_grad():
            keys = F.normalize(self.key_head(self.key_encoder(key_image)), dim=1)
        right = (queries * keys).sum(1, keepdim=True)
        wrong = queries @ self.queue.T
        return torch.cat((right, wrong), dim=1) / self.temperature, keys

    @torch.no_grad()
    def follow(self, encoder: Encoder) -> None:
        """Move key encoder and key head towards the query's: key = m·key + (1 - m)·query, parameters only."""
        for key, query in ((self.key_encoder, encoder), (self.key_head, self.head)):
            for slow, fast in zip(key.parameters(), query.parameters(), strict=True):
                slow.lerp_(fast, 1 - self.momentum)

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys of the queue, in place, by ``keys`` (N, width).

        Raises:
            ValueError: there are more keys than places in the queue.
        """
        length = len(self.queue)
        if len(keys) > length:
            raise ValueError(f"{len(keys)} keys do not fit into a queue of {length}")
        places = (self.position + torch.arange(len(keys), device=self.queue.device)) % length
        self.queue[places] = keys.to(self.queue)
        self.position.copy_((self.position + len(keys)) % length)


class DASRTraining(nn.Module):
    """DASR with all that trains it; 7,248,091 parameters at full size, as the paper counts.

    A step is: :meth:`forward`, the step of the optimiser, :meth:`enqueue`, :meth:`follow`. The key encoder starts as
    the query encoder, so that to follow after a step is to follow before the next.

    Args:
        network: what is trained, and what is used afterwards.
        length: of the queue.
        momentum: of the key encoder.
    """

    def __init__(self, network: DASR, length: int = 8192, momentum: float = 0.999) -> None:
        super().__init__()
        self.network = network
        self.momentum_contrast = MomentumContrast(network.encoder, length, momentum)

    def forward(self, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Restore the queries and compare their degradations with the keys'.

        Args:
            pairs: (N, 2, 3, H, W) in [0, 1], query and key: two patches of one image under one degradation.

        Returns:
            Restored queries (N, 3, scale·H, scale·W), logits (N, 1 + length), keys (N, width).
        """
        representation = self.network.represent(pairs[:, 0])
        logits, keys = self.momentum_contrast(representation, PEAK * pairs[:, 1])
        return self.network.restore(pairs[:, 0], representation), logits, keys

    def follow(self) -> None:
        """Let the key encoder follow the query encoder by one step."""
        self.momentum_contrast.follow(self.network.encoder)

    def enqueue(self, keys: Tensor) -> None:
        """Put the keys of a step into the queue."""
        self.momentum_contrast.enqueue(keys)


class EncoderTraining(DASRTraining):
    """The first phase of DASR: the encoder alone. The generator rests; the state is that of the second phase."""

    def __init__(self, network: DASR, length: int = 8192, momentum: float = 0.999) -> None:
        super().__init__(network, length, momentum)
        network.generator.requires_grad_(False)

    def forward(self, pairs: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Logits and keys of :meth:`DASRTraining.forward`."""
        return self.momentum_contrast(self.network.represent(pairs[:, 0]), PEAK * pairs[:, 1])


def contrastive_loss(logits: Tensor) -> Tensor:
    """Cross-entropy of (N, 1 + length) logits whose first column is the right one."""
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


def joint_loss(restored: Tensor, ground_truth: Tensor, logits: Tensor) -> Tensor:
    """L1 of pixel values 0 … 255 plus cross-entropy, divided by 255 so that it compares with L1 on [0, 1]."""
    return F.l1_loss(restored, ground_truth) + contrastive_loss(logits) / PEAK
