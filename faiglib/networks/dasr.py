"""DASR: a degradation encoder, trained by contrast, modulates a restoration network (Wang et al. 2021).

Written from the description of the architecture. The paper counts 48.27 G and 7.25 M parameters in supp. Table 1;
that is :class:`DASRTraining`, which holds a second encoder. What restores an image is :class:`DASR` alone.
"""

from __future__ import annotations

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
