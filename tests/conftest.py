"""What the tests of the numerical core share: one thread, small networks, and random images."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from torch import Tensor, nn

torch.set_num_threads(1)

Make = Callable[[], nn.Module]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


class Small(nn.Module):
    """A small super-resolution network with any kernel sizes, groups, scale and activation."""

    def __init__(
        self,
        scale: int = 2,
        kernels: tuple[int, ...] = (3, 3),
        groups: int = 1,
        width: int = 4,
        activation: Make = nn.LeakyReLU,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for kernel in kernels:
            shared = groups if channels % groups == 0 else 1
            layers += [nn.Conv2d(channels, width, kernel, padding=kernel // 2, groups=shared), activation()]
            channels = width
        layers += [nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.fixture(scope="session")
def small() -> type[Small]:
    """The class of small networks."""
    return Small


@pytest.fixture(scope="session")
def make_pair() -> Callable[..., tuple[nn.Module, nn.Module]]:
    """Make (target, baseline): a seeded network and a slightly moved copy of it, float64 unless told otherwise."""

    def make(
        factory: Make, seed: int = 0, step: float = 0.05, dtype: torch.dtype = torch.float64
    ) -> tuple[nn.Module, nn.Module]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            baseline = factory().to(dtype).eval()
            target = copy.deepcopy(baseline)
            with torch.no_grad():
                for parameter in target.parameters():
                    parameter += step * parameter.abs().mean().clamp(min=0.05) * torch.randn_like(parameter)
        return target, baseline

    return make


@pytest.fixture(scope="session")
def random_image() -> Callable[..., Tensor]:
    """Make a random image (1, 3, H, W) in [0, 1] from a seed."""

    def make(height: int, width: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
        values = np.random.default_rng(seed).random((1, 3, height, width))
        return torch.from_numpy(values).to(dtype)

    return make


@pytest.fixture(scope="session")
def random_pairs(random_image: Callable[..., Tensor]) -> Callable[..., list[tuple[Tensor, Tensor]]]:
    """Make pairs of network input (1, 3, h, w) and ground truth (1, 3, scale·h, scale·w)."""

    def make(
        count: int = 1, size: int = 6, scale: int = 2, seed: int = 0, dtype: torch.dtype = torch.float64
    ) -> list[tuple[Tensor, Tensor]]:
        return [
            (
                random_image(size, size + number, 1000 * seed + 2 * number, dtype),
                random_image(scale * size, scale * (size + number), 1000 * seed + 2 * number + 1, dtype),
            )
            for number in range(count)
        ]

    return make


@pytest.fixture(scope="session")
def bits() -> Callable[[nn.Module], dict[str, bytes]]:
    """Every value of a network's state, as bytes."""

    def read(network: nn.Module) -> dict[str, bytes]:
        return {name: tensor.detach().cpu().numpy().tobytes() for name, tensor in network.state_dict().items()}

    return read
