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
    """Peak signal-to-noise ratio in dB over all pixels and channels, one value per image.

    Args:
        restored: (N, C, H, W), peak value 1; RGB in the paper.
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


def levelled(restored: Tensor, ground_truth: Tensor) -> Tensor:
    """The restored image with the mean of every channel put right, (N, C, H, W); what is left is no shift of colour.

    Args:
        restored: (N, C, H, W).
        ground_truth: same shape.
    """
    return restored + (ground_truth - restored).mean(dim=(-2, -1), keepdim=True)


def psnr_y(restored: Tensor, ground_truth: Tensor, border: int = 2) -> Tensor:
    """PSNR in dB on the Y channel of :func:`luma_bt601`, peak value 1; arguments and result as :func:`psnr`."""
    return psnr(luma_bt601(restored), luma_bt601(ground_truth), border)


def luma_bt601(image: Tensor) -> Tensor:
    """Y of ITU-R BT.601 as MATLAB's ``rgb2ycbcr`` has it: (N, 3, H, W) in [0, 1] → (N, 1, H, W) in [16, 235] / 255.

    Super-resolution is usually judged on this channel. Its range is smaller than that of RGB, so that the same image
    gets a higher PSNR.
    """
    weights = image.new_tensor((65.481, 128.553, 24.966)).view(1, 3, 1, 1)
    return ((image * weights).sum(1, keepdim=True) + 16) / 255


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
