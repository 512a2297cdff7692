"""The paper's SRCNN-style network: nine plain convolutions, upsampling near the end, no skip connection."""

from __future__ import annotations

from torch import Tensor, nn

from faiglib.networks.common import kaiming_normal, shuffle_factors

WIDTHS = (64, 128, 128, 128, 128, 128)
SLOPE = 0.1


class SRCNNStyle(nn.Module):
    """Plain convolutional super-resolution network: (N, 3, H, W) → (N, 3, scale·H, scale·W).

    Parameter names are those of the released checkpoints, ``features.N.weight`` with N counting every layer
    of one sequence (convolutions, activations, pixel shuffles).
    """

    def __init__(self, scale: int = 2, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(SLOPE)]
            channels = width
        for factor in shuffle_factors(scale):
            layers += [
                nn.Conv2d(channels, channels * factor**2, 3, padding=1),
                nn.PixelShuffle(factor),
                nn.LeakyReLU(SLOPE),
            ]
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(SLOPE)]
        layers += [nn.Conv2d(channels, 3, 3, padding=1)]
        self.features = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                kaiming_normal(module, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Restore and upsample ``x``."""
        return self.features(x)
