"""Shared by the tests of training: a network of a few hundred weights, and images to train it on."""

from __future__ import annotations

import pytest
import torch

from faiglib import networks
from tests.helpers.validation import small_validation as small_validation


@pytest.fixture
def tiny_network(monkeypatch, small):
    """A network of a few hundred weights under the name ``tiny``."""
    monkeypatch.setitem(networks.NETWORKS, "tiny", small)


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(256, (1, 3, *size), generator=generator) / 255 for size in ((24, 30), (20, 21))]
