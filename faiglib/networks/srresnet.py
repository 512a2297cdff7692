"""SRResNet without batch normalisation, as in BasicSR's MSRResNet (paper, section 3; Ledig et al. 2017)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.networks.common import kaiming_normal, shuffle_factors

SLOPE = 0.1


class ResidualBlock(nn.Module):
    """conv–ReLU–conv plus the input: (N, C, H, W) → (N, C, H, W)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return x + self.conv2(F.relu(self.conv1(x)))


class SRResNet(nn.Module):
    """Residual super-resolution network with a bilinear global skip.

    Maps (N, 3, H, W) to (N, 3, scale·H, scale·W). Parameter names are those of the released checkpoints:
    ``conv_first``, ``body.N.conv1``, ``body.N.conv2``, ``upconv1`` (and ``upconv2`` at ×4), ``conv_hr``,
    ``conv_last``.
    """

    def __init__(self, scale: int = 2, features: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.steps = shuffle_factors(scale)
        self.conv_first = nn.Conv2d(3, features, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        for number, factor in enumerate(self.steps, start=1):
            setattr(self, f"upconv{number}", nn.Conv2d(features, features * factor**2, 3, padding=1))
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, 3, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                kaiming_normal(module, mode="fan_in", gain_factor=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Restore and upsample ``x``."""
        features = self.body(F.leaky_relu(self.conv_first(x), SLOPE))
        for number, factor in enumerate(self.steps, start=1):
            upconv = getattr(self, f"upconv{number}")
            features = F.leaky_relu(F.pixel_shuffle(upconv(features), factor), SLOPE)
        residual = self.conv_last(F.leaky_relu(self.conv_hr(features), SLOPE))
        return residual + F.interpolate(x, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
