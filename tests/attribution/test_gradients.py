"""Gradients in bounded memory against plain autograd, and images shared out over processes against one process."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import faiglib
from faiglib.attribution import averaging, faig, intinf
from faiglib.attribution.gradients import Gradients
from faiglib.attribution.parameter_path import squared_error
from faiglib.errors import FaiglibError, ImageError, NetworkError, SharedError
from faiglib.filters.scores import FilterScores
from faiglib.networks import build
from faiglib.system.cuts import LEAST_TILE, Cuts, tiles
from faiglib.system.passes import activation_bytes
from faiglib.system.spent import spent
from faiglib.system.tiling import Tiling


def plain_gradients(network: nn.Module, inputs: Tensor, truth: Tensor) -> list[Tensor]:
    loss = ((network(inputs) - truth) ** 2).sum()
    return list(torch.autograd.grad(loss, list(network.parameters())))


def in_tiles(count: int, network: nn.Module, inputs: Tensor, truth: Tensor) -> list[Tensor]:
    """The gradient of all parameters from that many tiles."""
    gradients = Gradients(network)
    gradients.tiling.counts[inputs.shape[-2], inputs.shape[-1]] = count
    return gradients(list(network.parameters()), inputs, truth, squared_error)


# ---------------------------------------------------------------- tiles


@given(height=st.integers(1, 70), width=st.integers(1, 70), power=st.integers(0, 5))
def test_tiles_cover_every_pixel_once(height, width, power):
    covered = np.zeros((height, width), int)
    found = tiles(height, width, 2**power)
    for rows, columns in found:
        covered[rows, columns] += 1
    assert (covered == 1).all()
    assert len(found) == 2**power


def test_the_longer_side_is_halved():
    assert tiles(10, 40, 4) == [(slice(0, 10), slice(10 * k, 10 * k + 10)) for k in range(4)]
    assert [rows.stop - rows.start for rows, _ in tiles(30, 20, 2)] == [15, 15]


@pytest.mark.parametrize("count", [2, 4, 8])
@pytest.mark.parametrize(
    "options",
    [{}, {"kernels": (5, 1)}, {"scale": 3}, {"scale": 1}, {"kernels": (7, 3, 3)}, {"kernels": (3, 3), "groups": 4}],
    ids=str,
)
def test_tiles_give_the_gradient_of_the_whole(small, make_pair, random_image, options, count):
    network, _ = make_pair(lambda: small(**options))
    scale = options.get("scale", 2)
    inputs, truth = random_image(23, 34, 1), random_image(scale * 23, scale * 34, 2)
    for found, expected in zip(
        in_tiles(count, network, inputs, truth), plain_gradients(network, inputs, truth), strict=True
    ):
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max()))


def test_gradients_are_counted_whatever_the_tiles(make_pair, small, random_image):
    target, _ = make_pair(small)
    before = spent()
    in_tiles(4, target, random_image(12, 10), random_image(24, 20, 1))
    in_tiles(1, target, random_image(6, 7), random_image(12, 14, 1))
    assert (spent().gradients - before.gradients, spent().pixels - before.pixels) == (2, 12 * 10 + 6 * 7)


@pytest.mark.parametrize("name", ["srresnet", "srcnn_style"])
def test_tiles_of_full_networks(make_pair, random_image, name):
    """Their reach is larger than the tiles, so that the margins, the borders and the resizing all matter."""
    shape = {"features": 4, "blocks": 2} if name == "srresnet" else {"widths": (4, 4)}
    network, _ = make_pair(lambda: build(name, seed=0, **shape))
    inputs, truth = random_image(30, 21, 1), random_image(60, 42, 2)
    for found, expected in zip(
        in_tiles(4, network, inputs, truth), plain_gradients(network, inputs, truth), strict=True
    ):
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def test_a_margin_that_is_too_small_would_show(small, make_pair, random_image, monkeypatch):
    network, _ = make_pair(small)
    inputs, truth = random_image(32, 32, 1), random_image(64, 64, 2)
    expected = plain_gradients(network, inputs, truth)
    monkeypatch.setattr(Tiling, "cuts", lambda self, inputs: Cuts(stride=1, margin=1, scale=Fraction(2)))
    assert any(
        not torch.allclose(*both, rtol=1e-6) for both in zip(in_tiles(2, network, inputs, truth), expected, strict=True)
    )


# ---------------------------------------------------------------- memory


def test_kept_activations_of_a_small_network_are_known():
    """Two convolutions with a ReLU between keep the input and the ReLU's output, twice used and once stored."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1))
    kept, largest = 4 * (3 + 8) * 20 * 30, 4 * 8 * 20 * 30
    assert activation_bytes(network, (1, 3, 20, 30)) == kept + 3 * largest
    assert activation_bytes(network.double(), (1, 3, 20, 30)) == 2 * (kept + 3 * largest)
    assert all(parameter.device.type == "cpu" for parameter in network.parameters())


def test_a_limit_cuts_images_until_they_fit(small, make_pair, random_image, monkeypatch):
    target, baseline = make_pair(small)
    pairs = [(random_image(40, 48, 1), random_image(80, 96, 2)), (random_image(16, 16, 3), random_image(32, 32, 4))]
    seen: list[int] = []
    forward = Gradients._forward

    def spy(self, inputs):
        if torch.is_grad_enabled():
            seen.append(activation_bytes(self.network, tuple(inputs.shape)))
        return forward(self, inputs)

    monkeypatch.setattr(Gradients, "_forward", spy)
    expected = faig(target, baseline, pairs, nodes=2)
    assert len(seen) == 4
    limit = max(seen) // 3
    seen.clear()
    found = faig(target, baseline, pairs, nodes=2, memory_limit=limit)
    assert len(seen) > 4
    assert max(seen) <= limit
    assert torch.allclose(found.values, expected.values, rtol=1e-9, atol=0)
    clean = [(random_image(40, 48, 5), pairs[0][0])]
    whole, cut = (intinf(target, clean, nodes=2, memory_limit=bound).values for bound in (None, limit))
    assert torch.allclose(cut, whole, rtol=1e-9, atol=0)


def test_a_limit_that_cannot_be_kept_is_one_sentence(small, make_pair, random_pairs):
    target, baseline = make_pair(small)
    with pytest.raises(FaiglibError, match=r"the memory of 1,000 bytes does not suffice .* 40x40 image"):
        faig(target, baseline, random_pairs(size=40), memory_limit=1000)
    with pytest.raises(ValueError, match="positive number of bytes"):
        faig(target, baseline, random_pairs(), memory_limit=0)


MEASURE = """
import sys, torch
from benchmarks.memory import peak
from faiglib.attribution.parameter_path import ParameterPath, integrate
from faiglib.attribution.quadrature import quadrature
from faiglib.networks import build
from faiglib.system.passes import activation_bytes
from faiglib.system.cuts import LEAST_TILE, Cuts, tiles
from faiglib.system.tiling import Tiling
torch.set_num_threads(1)
networks = [build("srresnet", seed=seed, blocks=2) for seed in (0, 1)]
path = ParameterPath(*networks, memory_limit=int(sys.argv[1]) or None)
def work(side):
    integrate(path, torch.rand(1, 3, side, side), torch.rand(1, 3, 2 * side, 2 * side), quadrature("midpoint", 1))
work(16)
before = peak()
work(160)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the memory of a process is read as Linux tells it")
def test_the_process_grows_less_with_a_limit():
    # What is freed goes back to the system at once, so that the peak is that of the tensors.
    returning = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}

    def growth(limit: int) -> int:
        command = [sys.executable, "-c", MEASURE, str(limit)]
        done = subprocess.run(command, env=environment() | returning, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return int(done.stdout)

    limit = 100 * 2**20
    unbounded = growth(0)
    assert unbounded > 1.5 * limit
    assert growth(limit) < unbounded / 1.5


def greedy(error: Exception, most: int) -> type[nn.Module]:
    """A class of networks for which more than ``most`` input pixels are too many."""

    class Greedy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            if torch.is_grad_enabled() and x.shape[-1] * x.shape[-2] > most:
                raise error
            return F.interpolate(torch.tanh(self.conv(x)), scale_factor=2.0)

    return Greedy


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you")],
    ids=["device", "host"],
)
def test_out_of_memory_halves_the_tiles(make_pair, random_image, error):
    inputs, truth = random_image(40, 40, 1), random_image(80, 80, 2)
    expected = faig(*make_pair(greedy(error, 10_000)), [(inputs, truth)], nodes=2)
    found = faig(*make_pair(greedy(error, 700)), [(inputs, truth)], nodes=2)
    assert torch.allclose(found.values, expected.values, rtol=1e-10)
    with pytest.raises(FaiglibError, match=rf"not even in tiles of {LEAST_TILE} pixels"):
        faig(*make_pair(greedy(error, 10)), [(inputs, truth)], nodes=2)


def test_other_errors_of_the_network_are_not_taken_for_memory(make_pair, random_pairs):
    with pytest.raises(NetworkError, match=r"Greedy fails on an input of shape .* something else"):
        faig(*make_pair(greedy(RuntimeError("something else"), 1)), random_pairs())


class Global(nn.Module):
    """Scales every pixel by the mean of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x) * x.mean(), 2)


def test_a_network_that_looks_further_is_not_cut(make_pair, random_pairs):
    target, baseline = make_pair(Global)
    pairs = random_pairs(size=64)
    assert float(faig(target, baseline, pairs).values.min()) > 0
    with pytest.raises(NetworkError, match="Global looks further than its convolutions reach"):
        faig(target, baseline, pairs, memory_limit=200_000)


def test_an_output_of_another_size_is_refused_in_tiles_too(small, make_pair, random_image):
    network, _ = make_pair(small)
    with pytest.raises(ImageError, match="the network's output has shape"):
        in_tiles(2, network, random_image(16, 16), random_image(30, 32))


# ---------------------------------------------------------------- precision


def test_bfloat16_is_near_and_asked_for(make_pair, random_pairs):
    target, baseline = make_pair(lambda: build("srresnet", seed=0, features=16, blocks=2), dtype=torch.float32)
    pairs = random_pairs(2, size=12, dtype=torch.float32)
    exact, reduced = (faig(target, baseline, pairs, precision=one, nodes=4) for one in ("32-true", "bf16-mixed"))
    assert torch.equal(faig(target, baseline, pairs, nodes=4).values, exact.values)
    assert not torch.equal(exact.values, reduced.values)
    error = (exact.values - reduced.values).abs().sum() / exact.values.sum()
    assert 1e-4 < float(error) < 0.05
    with pytest.raises(ValueError, match="unknown precision 'fp8'"):
        faig(target, baseline, pairs, precision="fp8")


# ---------------------------------------------------------------- several processes

TWO = """
import sys
from fractions import Fraction
from pathlib import Path
import torch
from lightning_fabric import Fabric
from faiglib.attribution import faig, intinf
from faiglib.networks import build
from faiglib.system.passes import activation_bytes
from faiglib.system.cuts import LEAST_TILE, Cuts, tiles
from faiglib.system.tiling import Tiling
torch.set_num_threads(1)
fabric = Fabric(accelerator="cpu", devices=int(sys.argv[1]))
fabric.launch()
assert fabric.world_size == int(sys.argv[1])
target, baseline = (build("srresnet", seed=seed, features=8, blocks=1) for seed in (0, 1))
generator = torch.Generator().manual_seed(0)
pairs = [
    (torch.rand(1, 3, 8, side, generator=generator), torch.rand(1, 3, 16, 2 * side, generator=generator))
    for side in (8, 9, 10)
]
scores = faig(target, baseline, pairs, nodes=3, fabric=fabric)
scores.save(Path(sys.argv[2]) / f"faig{fabric.global_rank}.safetensors")
clean = [(low.flip(-1), low) for low, _ in pairs]
intinf(target, clean, nodes=3, fabric=fabric).save(Path(sys.argv[2]) / f"ig{fabric.global_rank}.safetensors")
one = faig(target, baseline, pairs[:1], nodes=3, fabric=fabric)
one.save(Path(sys.argv[2]) / f"one{fabric.global_rank}.safetensors")
"""


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(Path(faiglib.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }


def test_two_processes_give_the_bits_of_one(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    found: dict[int, Path] = {}
    for processes in (1, 2):
        found[processes] = tmp_path / str(processes)
        found[processes].mkdir()
        done = subprocess.run(
            [sys.executable, "two.py", str(processes), str(found[processes])],
            cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
    for name in ("faig", "ig", "one"):
        single = FilterScores.load(found[1] / f"{name}0.safetensors").values
        assert float(single.sum()) > 0
        for rank in (0, 1):
            assert torch.equal(FilterScores.load(found[2] / f"{name}{rank}.safetensors").values, single), (name, rank)


class Ranks:
    """Stands in for a Fabric of several ranks, of which this is one; the others' results are given."""

    def __init__(self, rank: int, world_size: int, results: list[Tensor]) -> None:
        self.global_rank, self.world_size, self.is_global_zero = rank, world_size, rank == 0
        self.device = torch.device("cpu")
        self.results, self.round, self.failed = results, 0, torch.zeros(averaging.LONGEST, dtype=torch.uint8)

    def all_gather(self, own: Tensor) -> Tensor:
        if own.dtype == torch.uint8:  # what went wrong
            return torch.stack([own if rank == self.global_rank else self.failed for rank in range(self.world_size)])
        everybody = [min(self.round + rank, len(self.results) - 1) for rank in range(self.world_size)]
        assert self.round + self.global_rank >= len(self.results) or torch.equal(
            own, self.results[everybody[self.global_rank]]
        )
        self.round += self.world_size
        return torch.stack([self.results[number] for number in everybody])


@pytest.mark.parametrize("rank", range(3))
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_each_rank_computes_its_share_and_sees_all(rank, count):
    results = [torch.tensor([10.0 * number, 1.0]) for number in range(count)]
    computed = []

    def compute(number: int) -> Tensor:
        computed.append(number)
        return results[number]

    seen = list(averaging.in_image_order(count, compute, Ranks(rank, 3, results)))
    assert [one.tolist() for one in seen] == [one.tolist() for one in results]
    assert computed == (list(range(rank, count, 3)) or [count - 1])


def test_all_ranks_fail_with_the_sentence_of_the_one_that_fails():
    def fails(_: int) -> Tensor:
        raise ImageError("image ü is too small")

    with pytest.raises(SharedError, match=r"^image ü is too small$"):
        list(averaging.in_image_order(4, fails, Ranks(0, 2, [torch.ones(1)] * 4)))
    other = Ranks(0, 2, [torch.ones(1)] * 4)
    letters = torch.tensor(list("image ü is too small".encode()), dtype=torch.uint8)
    other.failed[: len(letters)] = letters
    with pytest.raises(SharedError, match=r"^image ü is too small$"):
        list(averaging.in_image_order(4, lambda _: torch.ones(1), other))
