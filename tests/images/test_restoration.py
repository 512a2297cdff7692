"""Running networks on many images: what comes out is what each image gives by itself."""

from __future__ import annotations

import pytest
import torch

from faiglib.images import restoration
from faiglib.images.degradations import quantise
from faiglib.networks import build


@pytest.mark.parametrize("pixels", [1, 70, 2**16])
def test_images_of_any_sizes_come_back_in_order_whatever_runs_together(random_image, monkeypatch, pixels):
    monkeypatch.setattr(restoration, "PIXELS", pixels)
    network = build("srresnet", seed=0, features=8, blocks=1).double().eval()
    images = [random_image(height, 5, seed) for seed, height in enumerate((4, 7, 4, 4, 7))]
    together = restoration.restore_all(network, images)
    assert len(together) == 5
    for image, restored in zip(images, together, strict=True):
        with torch.no_grad():
            alone = quantise(network(image).float())
        assert restored.shape == (1, 3, 2 * image.shape[-2], 10)
        assert (restored - alone).abs().max() <= 1.001 / 255  # rounding to 8 bits may fall the other way
        assert (restored != alone).double().mean() < 0.01


def test_nothing_gives_nothing(small):
    assert restoration.restore_all(small(), []) == []
