"""What the measurements share: clocks, fits, the networks and images they run on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from faiglib.companion.workbench import Sample
from faiglib.images import datasets
from faiglib.images.degradations import INPUTS, noise_generator
from faiglib.networks import zoo
from faiglib.networks.zoo import Pair

#: For glibc: freed tensors go back to the system at once, instead of leaving holes in a heap that only grows.
EXACT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536"}


def seconds(work: Callable[[], object], repeats: int = 1, warm_up: bool = True) -> float:
    """Least wall time of some calls, after one that does not count."""
    if warm_up:
        work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def flops(work: Callable[[], object]) -> int:
    """Floating-point operations of the convolutions and products in a call, forward and backward, two for a MAC."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The power of the size that the time grows with, by least squares on logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def first_pairs() -> dict[str, Pair]:
    """The first shipped pair of every network, by its name."""
    folder = zoo.models_dir()
    seeds: dict[str, int] = {}
    for network, seed in zoo.pairs_available(folder):
        seeds.setdefault(network, seed)
    return {network: zoo.load_pair(folder, network, seed) for network, seed in seeds.items()}


def main_pair() -> Pair:
    """The first shipped pair of SRResNet, else of any network."""
    pairs = first_pairs()
    return pairs.get("srresnet") or next(iter(pairs.values()))


def samples(count: int, crop: int) -> list[Sample]:
    """Central crops of scikit-image's photographs, which every machine has, in all degradations."""
    found = []
    for number, (name, image) in enumerate(datasets.find("skimage").load(count, crop)):
        inputs = {kind: degrade(image, noise_generator(0, number)) for kind, degrade in INPUTS.items()}
        found.append(Sample(name, image, inputs))
    return found


def gradient_pass(network: nn.Module, inputs: Tensor, ground_truth: Tensor) -> Callable[[], object]:
    """Forward and backward pass of the squared error, for all convolution weights."""
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]

    def work() -> object:
        return torch.autograd.grad((network(inputs) - ground_truth).square().sum(), weights)

    return work


def in_new_process(module: str, *arguments: object) -> str:
    """Run a module of the benchmarks in a Python of its own and return what it prints.

    glibc maps every large tensor by itself there (:data:`EXACT_MEMORY`), so that its peak is that of tensors in use.
    """
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, **EXACT_MEMORY, "PYTHONPATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} failed:\n{done.stderr[-2000:]}")
    return done.stdout
