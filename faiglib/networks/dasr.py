"""DASR: a degradation encoder, trained by contrast, modulates a restoration network (Wang et al. 2021).

Written from the description of the architecture. The paper counts 48.27 G and 7.25 M parameters in supp. Table 1;
that is :class:`DASRTraining`, which holds a second encoder. What restores an image is :class:`DASR` alone.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.networks.common import shuffle_factors

SLOPE = 0.1
#: The branches compute with pixel values 0 … 255, though inputs and outputs are in [0, 1].
PEAK = 255.0
#: Mean of R, G, B that the generator subtracts, on the [0, 1] scale.
MEAN = (0.4488, 0.4371, 0.4040)
KERNEL = 3
REDUCTION = 8


class Encoder(nn.Module):
    """Degradation representation of an image: (N, 3, H, W) → (N, 4·features), whatever the image shows.

    Six 3×3 convolutions with batch normalisation and LeakyReLU, of 1, 1, 2, 2, 4, 4 times ``features`` channels,
    the third and fifth with stride 2; then the mean over all places.
    """

    def __init__(self, features: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for factor, stride in ((1, 1), (1, 1), (2, 2), (2, 1), (4, 2), (4, 1)):
            layers += [
                nn.Conv2d(channels, factor * features, 3, stride=stride, padding=1),
                nn.BatchNorm2d(factor * features),
                nn.LeakyReLU(SLOPE),
            ]
            channels = factor * features
        self.layers = nn.Sequential(*layers)
        self.width = channels

    def forward(self, x: Tensor) -> Tensor:
        """Represent the degradation of ``x``."""
        return F.adaptive_avg_pool2d(self.layers(x), 1).flatten(1)


def depthwise_each(x: Tensor, kernels: Tensor) -> Tensor:
    """Convolve every channel of every sample with its own kernel, borders filled with zeros.

    Args:
        x: (N, C, H, W).
        kernels: (N, C, k, k), k odd.

    Returns:
        (N, C, H, W).
    """
    count, channels, height, width = x.shape
    size = kernels.shape[-1]
    planes = x.reshape(1, count * channels, height, width)
    weights = kernels.reshape(count * channels, 1, size, size)
    return F.conv2d(planes, weights, padding=size // 2, groups=count * channels).view_as(x)


class DegradationAwareConv(nn.Module):
    """Convolution that the degradation vector v (N, C) steers: (N, C, H, W) → (N, C, H, W).

    v gives the kernels of a depthwise 3×3 convolution, followed by LeakyReLU and a 1×1 convolution; and, in a second
    path that is added, a factor in (0, 1) for every channel of the input.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.kernel = nn.Sequential(
            nn.Linear(features, features, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Linear(features, features * KERNEL**2, bias=False),
        )
        self.conv = nn.Conv2d(features, features, 1)
        self.attention = nn.Sequential(
            nn.Conv2d(features, features // REDUCTION, 1, bias=False),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(features // REDUCTION, features, 1, bias=False),
        )

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Apply the convolution."""
        kernels = self.kernel(vector).view(len(x), -1, KERNEL, KERNEL)
        factors = torch.sigmoid(self.attention(vector[:, :, None, None]))
        return self.conv(F.leaky_relu(depthwise_each(x, kernels), SLOPE)) + x * factors


class DegradationAwareBlock(nn.Module):
    """Two steered and two plain convolutions in turn, plus the input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.steered1 = DegradationAwareConv(features)
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.steered2 = DegradationAwareConv(features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Apply the block to features (N, C, H, W), given the degradation vectors (N, C)."""
        inner = F.leaky_relu(self.conv1(F.leaky_relu(self.steered1(x, vector), SLOPE)), SLOPE)
        return x + self.conv2(F.leaky_relu(self.steered2(inner, vector), SLOPE))


class DegradationAwareGroup(nn.Module):
    """Blocks and a convolution, plus the input."""

    def __init__(self, features: int, blocks: int) -> None:
        super().__init__()
        self.body = nn.ModuleList(DegradationAwareBlock(features) for _ in range(blocks))
        self.conv = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """Apply the group to features (N, C, H, W), given the degradation vectors (N, C)."""
        inner = x
        for block in self.body:
            inner = block(inner, vector)
        return x + self.conv(inner)


class MeanShift(nn.Conv2d):
    """Add ``sign`` times the mean colour, as a frozen 1×1 convolution: the paper's count includes its 12 parameters."""

    def __init__(self, sign: int) -> None:
        super().__init__(3, 3, 1)
        with torch.no_grad():
            self.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
            cast("Tensor", self.bias).copy_(sign * PEAK * torch.tensor(MEAN))
        self.requires_grad_(False)


class Generator(nn.Module):
    """The branch that restores, given the representation of the degradation; pixel values 0 … 255."""

    def __init__(self, scale: int, features: int, groups: int, blocks: int, width: int) -> None:
        super().__init__()
        self.steps = shuffle_factors(scale)
        self.compress = nn.Linear(width, features, bias=False)
        self.subtract_mean = MeanShift(-1)
        self.conv_first = nn.Conv2d(3, features, 3, padding=1)
        self.body = nn.ModuleList(DegradationAwareGroup(features, blocks) for _ in range(groups))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        self.upconvs = nn.ModuleList(nn.Conv2d(features, features * factor**2, 3, padding=1) for factor in self.steps)
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)
        self.add_mean = MeanShift(1)

    def forward(self, x: Tensor, representation: Tensor) -> Tensor:
        """Restore (N, 3, H, W), given (N, width): (N, 3, scale·H, scale·W)."""
        vector = F.leaky_relu(self.compress(representation), SLOPE)
        first = features = self.conv_first(self.subtract_mean(x))
        for group in self.body:
            features = group(features, vector)
        features = first + self.conv_body(features)
        for upconv, factor in zip(self.upconvs, self.steps, strict=True):
            features = F.pixel_shuffle(upconv(features), factor)
        return self.add_mean(self.conv_last(features))


class DASR(nn.Module):
    """Two-branch network as it is used: encoder and generator, (N, 3, H, W) → (N, 3, scale·H, scale·W) in [0, 1].

    Weights are initialised as PyTorch does by default.

    Args:
        scale: 2, 3 or 4.
        features: channels of the generator; the encoder has 1, 2 and 4 times as many.
        groups: of the generator.
        blocks: per group.
    """

    def __init__(self, scale: int = 4, features: int = 64, groups: int = 5, blocks: int = 5) -> None:
        super().__init__()
        self.scale = scale
        self.encoder = Encoder(features)
        self.generator = Generator(scale, features, groups, blocks, self.encoder.width)

    def forward(self, x: Tensor) -> Tensor:
        """Restore and upsample ``x``."""
        return self.restore(x, self.represent(x))

    def represent(self, x: Tensor) -> Tensor:
        """The degradation of (N, 3, H, W) as (N, 4·features)."""
        return self.encoder(PEAK * x)

    def restore(self, x: Tensor, representation: Tensor) -> Tensor:
        """Restore ``x``, given the representation of its degradation."""
        return self.generator(PEAK * x, representation) / PEAK


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
