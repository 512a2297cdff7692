"""What an image without a reference tells about its noise and its sharpness."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from faiglib.images.metrics import gray


def noise_level(image: Tensor) -> float:
    """Standard deviation of the noise on the [0, 1] scale, estimated from the image alone (Immerkær 1996).

    The mean absolute response to the difference of two Laplacians, which straight edges leave at 0, turned into the
    standard deviation of white Gaussian noise that would cause it.

    Args:
        image: (1, 3, h, w) in [0, 1]; the estimate is the mean over the channels.
    """
    kernel = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]], dtype=torch.float64)
    response = F.conv2d(image.double().cpu().transpose(0, 1), kernel[None, None])
    return float(math.sqrt(math.pi / 2) / 6 * response.abs().mean())


def laplacian_energy(image: Tensor) -> float:
    """Decadic logarithm of the variance of the Laplacian of the gray image: a classical measure of sharpness.

    Args:
        image: (1, 3, h, w) in [0, 1].
    """
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    response = F.conv2d(gray(image.double().cpu()), kernel[None, None])
    return math.log10(float(response.var(correction=0)) + 1e-12)
