"""waifu2x's upconv_7: six plain convolutions that fit into a padded input, and a transposed one that enlarges."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.errors import NetworkError
from faiglib.networks.common import kaiming_normal

WIDTHS = (16, 32, 64, 128, 128, 256)
SLOPE = 0.1
#: Pixels that the input is padded by: one for each convolution, and one for the transposed one.
MARGIN = 7


class UpConv7(nn.Module):
    """Plain convolutional network that enlarges by two: (N, 3, H, W) → (N, 3, 2·H, 2·W).

    As nagadomi's waifu2x trains it (``upconv_7`` in ``lib/srcnn.lua``): the border is repeated :data:`MARGIN` pixels
    outwards, none of the convolutions is padded, and the transposed convolution (kernel 4, stride 2, padding 3) comes
    last. Parameters are those of the published files: ``conv1`` to ``conv7``.

    Raises:
        NetworkError: another scale than 2 is asked for.
    """

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        if scale != 2:
            raise NetworkError(f"upconv_7 enlarges by 2 and by nothing else, not by {scale}")
        channels = 3
        for number, width in enumerate(WIDTHS, start=1):
            conv = nn.Conv2d(channels, width, 3)
            kaiming_normal(conv, mode="fan_in")
            setattr(self, f"conv{number}", conv)
            channels = width
        self.conv7 = nn.ConvTranspose2d(channels, 3, 4, stride=2, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge ``x``, values in [0, 1]."""
        features = F.pad(x, (MARGIN,) * 4, mode="replicate")
        for number in range(1, len(WIDTHS) + 1):
            features = F.leaky_relu(getattr(self, f"conv{number}")(features), SLOPE)
        return self.conv7(features)
