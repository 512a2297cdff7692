"""The degradation model of the paper: x = ((ground truth * k) ↓r) + n, then 8-bit rounding.

Every function maps float tensors (N, 3, H, W) in [0, 1] to tensors of the same kind on the same device.
Randomness comes from an explicit :class:`torch.Generator` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from faiglib.errors import ImageError

KERNEL_SIZE = 21
BLUR_SIGMA = 2.0
NOISE_SIGMA = 0.1


def gaussian_window(sigma: float, size: int = KERNEL_SIZE) -> Tensor:
    """Normalised 1-D Gaussian (size,), float64; its outer product is the isotropic 2-D kernel.

    Args:
        sigma: standard deviation in pixels, > 0.
        size: number of taps, odd.
    """
    if sigma <= 0 or size % 2 == 0:
        raise ValueError(f"a Gaussian window needs sigma > 0 and an odd size, got {sigma} and {size}")
    offsets = torch.arange(size, dtype=torch.float64) - size // 2
    window = torch.exp(-(offsets**2) / (2 * sigma**2))
    return window / window.sum()


def blur_valid(image: Tensor, window: Tensor) -> Tensor:
    """Convolve with the kernel ``window ⊗ window`` where it fits: (N, C, H, W) → (N, C, H-s+1, W-s+1)."""
    channels, size = image.shape[1], window.numel()
    taps = window.to(image).expand(channels, 1, size)
    rows = F.conv2d(image, taps.reshape(channels, 1, 1, size), groups=channels)
    return F.conv2d(rows, taps.reshape(channels, 1, size, 1), groups=channels)


def blur(image: Tensor, sigma: float = BLUR_SIGMA, size: int = KERNEL_SIZE) -> Tensor:
    """Isotropic Gaussian blur with the reflect-101 border of the released pipeline.

    Raises:
        ImageError: the image is smaller than the kernel reaches (reflection needs size // 2 + 1 pixels).
    """
    reach = size // 2
    require_kernel_fits(image.shape[-2], image.shape[-1], size)
    return blur_valid(F.pad(image, (reach, reach, reach, reach), mode="reflect"), gaussian_window(sigma, size))


def require_kernel_fits(height: int, width: int, size: int = KERNEL_SIZE) -> None:
    """Refuse an image that the reflection at its border does not suffice for.

    Raises:
        ImageError: a side is not longer than the kernel reaches.
    """
    if min(height, width) <= size // 2:
        raise ImageError(
            f"an image of {width}x{height} pixels is too small for the {size}x{size} blur kernel: both sides must "
            f"exceed {size // 2} pixels"
        )


def require_multiple(height: int, width: int, scale: int) -> None:
    """Refuse an image that cannot be reduced by a scale.

    Raises:
        ImageError: a side is not a multiple of it.
    """
    if height % scale or width % scale:
        raise ImageError(f"an image of {width}x{height} pixels does not divide by the scale {scale}; crop it first")


def downsample(image: Tensor, scale: int = 2) -> Tensor:
    """Bilinear downsampling without antialiasing; for an even factor the mean of the central 2×2 block.

    This is what the released code does under the name "bicubic", and why the paper writes θ̄_bilinear.

    Raises:
        ImageError: a side is not a multiple of ``scale``.
    """
    height, width = image.shape[-2:]
    require_multiple(height, width, scale)
    return F.interpolate(image, size=(height // scale, width // scale), mode="bilinear", align_corners=False)


def add_noise(image: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Add white Gaussian noise of standard deviation ``sigma`` (on the [0, 1] scale); not clipped.

    The noise is drawn on the generator's device, so that one seed gives one noise wherever the image lies.
    """
    noise = torch.randn(image.shape, generator=generator, device=generator.device, dtype=image.dtype)
    return image + sigma * noise.to(image.device)


def quantise(image: Tensor) -> Tensor:
    """Clip to [0, 1] and round to the 256 levels of an 8-bit file."""
    return torch.round(image.clamp(0, 1) * 255) / 255


@dataclass(frozen=True)
class Degradation:
    """One degradation from ground truth (HR) to network input (LR).

    Attributes:
        blur_sigma: standard deviation of the 21×21 Gaussian in HR pixels; 0 means none.
        noise_sigma: standard deviation of the noise on the [0, 1] scale; 0 means none.
        scale: downsampling factor.
    """

    blur_sigma: float = 0.0
    noise_sigma: float = 0.0
    scale: int = 2

    def require(self, height: int, width: int) -> None:
        """Refuse a size that cannot be degraded.

        Raises:
            ImageError: the image is too small for the kernel or does not divide by the scale.
        """
        if self.blur_sigma:
            require_kernel_fits(height, width)
        require_multiple(height, width, self.scale)

    def __call__(self, ground_truth: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Degrade (N, 3, H, W) to (N, 3, H/scale, W/scale), 8-bit values in [0, 1].

        Raises:
            ImageError: the image is too small for the kernel or does not divide by the scale.
            ValueError: noise is asked for without a generator.
        """
        image = blur(ground_truth, self.blur_sigma) if self.blur_sigma else ground_truth
        image = downsample(image, self.scale)
        if self.noise_sigma:
            if generator is None:
                raise ValueError("noise needs an explicit torch.Generator")
            image = add_noise(image, self.noise_sigma, generator)
        return quantise(image)


#: The four inputs the paper speaks of, by the names used throughout this project.
INPUTS: Mapping[str, Degradation] = MappingProxyType(
    {
        "clean": Degradation(),
        "blurry": Degradation(blur_sigma=BLUR_SIGMA),
        "noisy": Degradation(noise_sigma=NOISE_SIGMA),
        "blurry+noisy": Degradation(blur_sigma=BLUR_SIGMA, noise_sigma=NOISE_SIGMA),
    }
)

#: What filters may be there for: the input that needs them, and the one whose attribution is eliminated (paper, eq. 7).
FUNCTIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"deblurring": ("blurry", "noisy"), "denoising": ("noisy", "blurry")}
)


def noise_generator(seed: int, image_number: int) -> torch.Generator:
    """A CPU generator for one image, so that its noise depends on neither order nor number of the images."""
    return torch.Generator().manual_seed(seed * 1_000_003 + image_number)
