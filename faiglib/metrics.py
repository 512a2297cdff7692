"""How two images differ: PSNR, and the paper's performance drop on gradient maps."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Channel = Literal["luma", "blue"]

#: ITU-R BT.601 weights of R, G, B in the gray image.
LUMA = (0.299, 0.587, 0.114)


def psnr(restored: Tensor, ground_truth: Tensor, border: int = 2) -> Tensor:
    """Peak signal-to-noise ratio in dB over all RGB pixels, one value per image.

    Args:
        restored: (N, 3, H, W), peak value 1.
        ground_truth: same shape.
        border: pixels left out on every side, 2 in the paper.

    Returns:
        (N,) dB; infinite where the images are equal.
    """
    if restored.shape != ground_truth.shape:
        raise ValueError(f"shapes differ: {tuple(restored.shape)} and {tuple(ground_truth.shape)}")
    inside = (..., slice(border, restored.shape[-2] - border), slice(border, restored.shape[-1] - border))
    error = (restored[inside] - ground_truth[inside]).double().square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error)


def gray(image: Tensor, channel: Channel = "luma") -> Tensor:
    """One channel of (N, 3, H, W) → (N, 1, H, W).

    ``luma`` is the gray counterpart the paper speaks of; ``blue`` is what its released script measures.
    """
    if channel == "blue":
        return image[:, 2:3]
    if channel == "luma":
        return (image * image.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    raise ValueError(f"channel must be 'luma' or 'blue', not {channel!r}")


def gradient_map(image: Tensor) -> Tensor:
    """Gradient magnitude √(v² + h² + 1e-6) with the kernel [-1 0 1] both ways and zero padding.

    Args:
        image: (N, 1, H, W) in [0, 1].

    Returns:
        (N, 1, H, W).
    """
    kernel = image.new_tensor([-1.0, 0.0, 1.0])
    vertical = F.conv2d(image, kernel.view(1, 1, 3, 1), padding=(1, 0))
    horizontal = F.conv2d(image, kernel.view(1, 1, 1, 3), padding=(0, 1))
    return torch.sqrt(vertical.square() + horizontal.square() + 1e-6)


def gradient_error(first: Tensor, second: Tensor, channel: Channel = "luma") -> Tensor:
    """Performance drop of the paper: MSE ×10³ between the gradient maps of two restored images.

    Args:
        first: (N, 3, H, W) in [0, 1], 8-bit values for agreement with the paper.
        second: same shape.
        channel: see :func:`gray`.

    Returns:
        (N,) mean squared errors ×10³ (supp. Tables 3-6).
    """
    maps = [gradient_map(gray(image.double(), channel)) for image in (first, second)]
    return 1000 * (maps[0] - maps[1]).square().mean(dim=(1, 2, 3))


def mean_luminance(image: Tensor) -> Tensor:
    """Mean gray level (N,) of (N, 3, H, W) on the [0, 1] scale; its change is the brightness shift."""
    return gray(image.double()).mean(dim=(1, 2, 3))
