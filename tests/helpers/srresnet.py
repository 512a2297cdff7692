"""A small SRResNet in the place of the large one, for tests of what chapters do with it."""

from __future__ import annotations

from functools import partial

import pytest

from faiglib import networks
from faiglib.networks.srresnet import SRResNet

BLOCKS, FEATURES = 4, 32
#: Its filters, counted by hand: first layer, two a block, up-sampling to four times the features, the last two layers.
FIRST = 3 * FEATURES
FILTERS = FIRST + (2 * BLOCKS + 4 + 1) * FEATURES**2 + 3 * FEATURES
#: One per cent of them.
TOP = FILTERS // 100


def small_srresnet(patch: pytest.MonkeyPatch) -> None:
    """Let ``build("srresnet")`` make one whose passes take a tenth of the time."""
    patch.setitem(networks.NETWORKS, "srresnet", partial(SRResNet, blocks=BLOCKS, features=FEATURES))
    patch.setattr(networks, "_known_shapes", dict)  # whose shapes would be remembered
