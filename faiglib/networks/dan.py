"""DAN, the deep alternating network: restore and estimate the blur kernel in turn (Luo et al. 2020, version 1).

Written from the description of the architecture. The paper counts it in supp. Table 1: 275.36 G, 4.33 M parameters.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.images.blind_degradations import BLUR_RANGE, isotropic_kernels, uniform
from faiglib.images.degradations import KERNEL_SIZE
from faiglib.networks.common import shuffle_factors

SLOPE = 0.2
CODE = 10
REDUCTION = 16
ESTIMATOR_BLOCKS = 5


def principal_basis(kernels: Tensor, components: int = CODE) -> Tensor:
    """Principal directions of flattened kernels: (n, K) → (K, components), float64, orthonormal columns.

    The covariance is taken about the mean of the kernels, though the basis is then applied without centring; what
    that loses of the mean is the same for every kernel. The entry of largest magnitude of every column is positive.
    """
    centred = kernels.double() - kernels.double().mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    basis = vectors.flip(1)[:, :components]
    peaks = basis.gather(0, basis.abs().argmax(0, keepdim=True))
    return basis * peaks.sign()


@lru_cache(maxsize=8)
def random_kernel_basis(
    seed: int = 0,
    count: int = 10_000,
    blur_range: tuple[float, float] = BLUR_RANGE,
    components: int = CODE,
) -> Tensor:
    """The basis (441, components) fitted on isotropic Gaussian kernels of random widths; do not write to it.

    Args:
        seed: of the widths.
        count: number of kernels.
        blur_range: widths are drawn from U[low, high], HR pixels.
        components: length of the code.
    """
    sigmas = uniform(*blur_range, count, torch.Generator().manual_seed(seed)).double()
    return principal_basis(isotropic_kernels(sigmas).flatten(1), components)


def kernel_code(kernels: Tensor, basis: Tensor) -> Tensor:
    """Project kernels (N, 21, 21) on a basis (441, C), without centring: (N, C)."""
    return kernels.flatten(1) @ basis.to(kernels)


class ChannelAttention(nn.Module):
    """Scale every channel by a factor in (0, 1) computed from the means of all: (N, C, H, W) → (N, C, H, W)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(features, features // REDUCTION, 1)
        self.expand = nn.Conv2d(features // REDUCTION, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the attention."""
        means = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.expand(F.leaky_relu(self.squeeze(means), SLOPE)))


class ConditionalBlock(nn.Module):
    """Residual block on basic features (N, B, H, W), conditioned on others (N, C, H, W) that stay as they are."""

    def __init__(self, basic: int, condition: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(basic + condition, basic + condition, 3, padding=1)
        self.conv2 = nn.Conv2d(basic + condition, basic, 3, padding=1)
        self.attention = ChannelAttention(basic)

    def forward(self, basic: Tensor, condition: Tensor) -> Tensor:
        """The new basic features."""
        inner = F.leaky_relu(self.conv1(torch.cat((basic, condition), dim=1)), SLOPE)
        return basic + self.attention(self.conv2(inner))


class Restorer(nn.Module):
    """The branch that restores, given a kernel code; no long skip connection."""

    def __init__(self, scale: int, features: int, blocks: int) -> None:
        super().__init__()
        self.steps = shuffle_factors(scale)
        self.conv_first = nn.Conv2d(3, features, 3, padding=1)
        self.body = nn.ModuleList(ConditionalBlock(features, CODE) for _ in range(blocks))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        self.upconvs = nn.ModuleList(nn.Conv2d(features, features * factor**2, 3, padding=1) for factor in self.steps)
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """Restore (N, 3, H, W) with codes (N, 10): (N, 3, scale·H, scale·W)."""
        tiled = code[:, :, None, None].expand(-1, -1, *x.shape[-2:])
        features = self.conv_first(x)
        for block in self.body:
            features = block(features, tiled)
        features = self.conv_body(features)
        for upconv, factor in zip(self.upconvs, self.steps, strict=True):
            features = F.pixel_shuffle(upconv(features), factor)
        return self.conv_last(features)


class Estimator(nn.Module):
    """The branch that estimates the kernel code from the input and the image restored so far."""

    def __init__(self, scale: int, features: int) -> None:
        super().__init__()
        self.conv_low = nn.Conv2d(3, features, 1)
        self.conv_restored = nn.Conv2d(3, features, 9, stride=scale, padding=4)
        self.body = nn.ModuleList(ConditionalBlock(features, features) for _ in range(ESTIMATOR_BLOCKS))
        self.conv_last = nn.Conv2d(features, CODE, 3, padding=1)

    def forward(self, restored: Tensor, x: Tensor) -> Tensor:
        """Estimate from (N, 3, scale·H, scale·W) and (N, 3, H, W) the codes (N, 10)."""
        features, condition = self.conv_low(x), self.conv_restored(restored)
        for block in self.body:
            features = block(features, condition)
        return F.adaptive_avg_pool2d(self.conv_last(features), 1).flatten(1)


class DAN(nn.Module):
    """Two-branch network: one restorer and one estimator, used in turn ``loops`` times with the same weights.

    Maps (N, 3, H, W) in [0, 1] to (N, 3, scale·H, scale·W). The first loop starts from the code of a delta kernel.
    Weights are initialised as PyTorch does by default. The basis of the kernel codes is a buffer, so that it
    travels with the weights that were trained with it.

    Args:
        scale: 2, 3 or 4.
        features: channels of the restorer; the estimator has half as many.
        blocks: of the restorer.
        loops: how often both branches are applied.
    """

    basis: Tensor

    def __init__(self, scale: int = 4, features: int = 64, blocks: int = 40, loops: int = 4) -> None:
        super().__init__()
        self.scale, self.loops = scale, loops
        self.restorer = Restorer(scale, features, blocks)
        self.estimator = Estimator(scale, features // 2)
        self.register_buffer("basis", random_kernel_basis().float())

    @property
    def initial_code(self) -> Tensor:
        """Code (10,) of the delta kernel, which does not blur: one row of the basis."""
        return self.basis[KERNEL_SIZE**2 // 2]

    def forward(self, x: Tensor) -> Tensor:
        """Restore and upsample ``x``: the image of the last loop."""
        return self.unroll(x)[-1][0]

    def unroll(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Restored image (N, 3, scale·H, scale·W) and estimated code (N, 10) of every loop.

        No gradient passes from restorer to estimator or back, nor from loop to loop, and the loss (:func:`dan_loss`)
        asks for the last loop only; hence the results of the others are computed without a graph.
        """
        code = self.initial_code.expand(len(x), -1)
        results: list[tuple[Tensor, Tensor]] = []
        tracked = torch.is_grad_enabled()
        for loop in range(self.loops):
            with torch.set_grad_enabled(tracked and loop == self.loops - 1):
                restored = self.restorer(x, code.detach())
                code = self.estimator(restored.detach(), x)
            results.append((restored, code))
        return results


class DANTraining(nn.Module):
    """DAN as it is trained: (N, 3, H, W) → restored image and code (N, 10) of the last loop, which the loss needs."""

    def __init__(self, network: DAN) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Restore and estimate."""
        return self.network.unroll(x)[-1]


def dan_loss(network: DAN, last: tuple[Tensor, Tensor], ground_truth: Tensor, kernels: Tensor) -> Tensor:
    """L1 between images plus L1 between codes, of the last loop.

    Args:
        network: gives the basis of the codes.
        last: restored image and code of the last loop, the end of :meth:`DAN.unroll`.
        ground_truth: (N, 3, scale·H, scale·W).
        kernels: (N, 21, 21), the true blur.
    """
    restored, code = last
    return F.l1_loss(restored, ground_truth) + F.l1_loss(code, kernel_code(kernels, network.basis).to(code))
