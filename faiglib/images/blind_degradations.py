"""The degradation of the one-branch against two-branch experiment (supp. Tables 1 and 2): blur of unknown width, ×4.

x = ((ground truth * k) ↓) + n, then 8-bit rounding, with an isotropic 21×21 Gaussian whose width differs from
sample to sample and the antialiased bicubic downsampling of MATLAB's ``imresize``. This is not the degradation of
the rest of the paper (:mod:`faiglib.images.degradations`: one width, ×2, bilinear without antialiasing).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from faiglib.images.degradations import KERNEL_SIZE, add_noise, blur, quantise, require_multiple

SCALE = 4

#: Widths of the blur in training, uniformly drawn, in HR pixels.
BLUR_RANGE = (0.2, 4.0)

#: Largest standard deviation of the noise in training, uniformly drawn from 0, on the [0, 1] scale.
NOISE_LIMIT = 25 / 255

#: Test widths of DAN ("Gaussian8"), evenly spaced in [1.8, 3.2] HR pixels.
GAUSSIAN8 = (1.8, 2.0, 2.2, 2.4, 2.6, 2.8, 3.0, 3.2)

#: The one test width that the supplement names for DASR, in HR pixels.
DASR_SIGMA = 1.2

_SUPPORT = 2.0  # of the cubic, in pixels of the coarser grid


def gaussian_windows(sigmas: Tensor, size: int = KERNEL_SIZE) -> Tensor:
    """Normalised 1-D Gaussians, one per width: (N,) HR pixels, > 0 → (N, size) of the same type and device."""
    offsets = torch.arange(size, dtype=torch.float64, device=sigmas.device) - size // 2
    windows = torch.exp(-(offsets**2) / (2 * sigmas.double().view(-1, 1) ** 2))
    return (windows / windows.sum(1, keepdim=True)).to(sigmas.dtype)


def isotropic_kernels(sigmas: Tensor, size: int = KERNEL_SIZE) -> Tensor:
    """Normalised 2-D Gaussian kernels: (N,) HR pixels → (N, size, size)."""
    windows = gaussian_windows(sigmas, size)
    return windows[:, :, None] * windows[:, None, :]


def uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    """Draw (count,) float32 values from U[low, high) on the generator's device."""
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def blur_valid_each(images: Tensor, windows: Tensor) -> Tensor:
    """Convolve every sample with its own kernel, where it fits.

    Args:
        images: (N, C, H, W).
        windows: (N, s); the kernel of sample n is ``windows[n] ⊗ windows[n]``.

    Returns:
        (N, C, H-s+1, W-s+1).
    """
    count, channels, height, width = images.shape
    size = windows.shape[1]
    taps = windows.to(images).repeat_interleave(channels, dim=0)
    planes = images.reshape(1, count * channels, height, width)
    planes = F.conv2d(planes, taps.view(-1, 1, 1, size), groups=count * channels)
    planes = F.conv2d(planes, taps.view(-1, 1, size, 1), groups=count * channels)
    return planes.view(count, channels, height - size + 1, width - size + 1)


def cubic(distance: float) -> float:
    """Keys' cubic convolution kernel with a = -1/2, zero from distance 2 on."""
    x = abs(distance)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    if x < _SUPPORT:
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return 0.0


@lru_cache(maxsize=64)
def bicubic_matrix(size: int, scale: int = SCALE) -> Tensor:
    """The downsampling of one axis as a matrix (size / scale, size), float64; do not write to it.

    As in MATLAB's ``imresize(image, 1/scale, "bicubic")``: the cubic is stretched by ``scale`` against aliasing,
    its values are normalised to sum 1 for every output, and the border is mirrored with the edge pixel repeated.
    """
    rows = torch.zeros(size // scale, size, dtype=torch.float64)
    for row in range(size // scale):
        centre = (row + 0.5) * scale - 0.5
        first, last = math.ceil(centre - _SUPPORT * scale), math.floor(centre + _SUPPORT * scale)
        weights = [cubic((place - centre) / scale) for place in range(first, last + 1)]
        total = sum(weights)
        for place, weight in zip(range(first, last + 1), weights, strict=True):
            mirrored = place % (2 * size)
            rows[row, min(mirrored, 2 * size - 1 - mirrored)] += weight / total
    return rows


def bicubic_downsample(image: Tensor, scale: int = SCALE) -> Tensor:
    """Antialiased bicubic downsampling of MATLAB: (N, C, H, W) → (N, C, H/scale, W/scale); not clipped.

    Raises:
        ImageError: a side is not a multiple of ``scale``.
    """
    height, width = image.shape[-2:]
    require_multiple(height, width, scale)
    return bicubic_matrix(height, scale).to(image) @ image @ bicubic_matrix(width, scale).to(image).T


def degrade(
    ground_truth: Tensor,
    sigma: float,
    *,
    noise_sigma: float = 0.0,
    scale: int = SCALE,
    generator: torch.Generator | None = None,
) -> Tensor:
    """A test input: (N, 3, H, W) → (N, 3, H/scale, W/scale), 8-bit values in [0, 1].

    Args:
        ground_truth: in [0, 1].
        sigma: width of the blur in HR pixels, for instance one of :data:`GAUSSIAN8`; reflect-101 border.
        noise_sigma: standard deviation of the noise on the [0, 1] scale; 0 means none.
        scale: downsampling factor.
        generator: of the noise.

    Raises:
        ImageError: the image is too small for the kernel or does not divide by the scale.
        ValueError: noise is asked for without a generator.
    """
    image = bicubic_downsample(blur(ground_truth, sigma), scale)
    if noise_sigma:
        if generator is None:
            raise ValueError("noise needs an explicit torch.Generator")
        image = add_noise(image, noise_sigma, generator)
    return quantise(image)


@dataclass(frozen=True)
class Degraded:
    """Training samples of :class:`RandomDegradation`.

    Attributes:
        low: (N, 3, p/scale, p/scale), 8-bit values in [0, 1], the input of the network.
        ground_truth: (N, 3, p, p).
        blur_sigmas: (N,) HR pixels.
        noise_sigmas: (N,) on the [0, 1] scale, zero without noise.
    """

    low: Tensor
    ground_truth: Tensor
    blur_sigmas: Tensor
    noise_sigmas: Tensor

    @property
    def kernels(self) -> Tensor:
        """The blur kernels (N, 21, 21)."""
        return isotropic_kernels(self.blur_sigmas)


@dataclass(frozen=True)
class RandomDegradation:
    """Blur of random width, ×1/scale, and noise of random strength.

    Attributes:
        blur_range: widths are drawn from U[low, high], HR pixels.
        noise_limit: noise is drawn from U[0, limit], on the [0, 1] scale; 0 means none.
        scale: downsampling factor.
    """

    blur_range: tuple[float, float] = BLUR_RANGE
    noise_limit: float = 0.0
    scale: int = SCALE

    def __call__(self, padded: Tensor, generator: torch.Generator) -> Degraded:
        """Degrade patches with the margin that :meth:`faiglib.training.patches.PatchSource.draw` leaves for the blur.

        The blur sees the true surroundings of the patch; the downsampling sees the patch alone. The widths come first
        from the generator, so that they do not depend on whether there is noise.

        Args:
            padded: (N, 3, p + 20, p + 20) in [0, 1]; p a multiple of ``scale``.
            generator: on the device of the patches.

        Raises:
            ImageError: p is not a multiple of the scale.
        """
        blur_sigmas = uniform(*self.blur_range, len(padded), generator)
        noise_sigmas = torch.zeros_like(blur_sigmas)
        if self.noise_limit:
            noise_sigmas = uniform(0.0, self.noise_limit, len(padded), generator)
        return self._degrade(padded, blur_sigmas, noise_sigmas, generator)

    def again(self, samples: Degraded, padded: Tensor, generator: torch.Generator) -> Degraded:
        """Degrade other patches by the blur and the strength of noise of ``samples``, but with noise of their own.

        Args:
            samples: of :meth:`__call__`.
            padded: as many as there are samples; see :meth:`__call__`.
            generator: of the noise.
        """
        return self._degrade(padded, samples.blur_sigmas, samples.noise_sigmas, generator)

    def _degrade(
        self, padded: Tensor, blur_sigmas: Tensor, noise_sigmas: Tensor, generator: torch.Generator
    ) -> Degraded:
        margin = KERNEL_SIZE // 2
        low = bicubic_downsample(blur_valid_each(padded, gaussian_windows(blur_sigmas)), self.scale)
        if self.noise_limit:
            noise = torch.randn(low.shape, generator=generator, device=generator.device)
            low = low + noise_sigmas.view(-1, 1, 1, 1).to(low) * noise.to(low)
        ground_truth = padded[..., margin:-margin, margin:-margin]
        return Degraded(quantise(low), ground_truth, blur_sigmas, noise_sigmas)
