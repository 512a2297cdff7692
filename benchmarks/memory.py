"""Memory that the gradients of either side add to a fresh process: ``python -m benchmarks.memory SIDE CROP LIMIT``."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

import torch

from benchmarks import published
from faiglib.attribution import faig
from faiglib.networks import build


def peak() -> int:
    """Largest resident set of this process so far, in bytes.

    Linux counts what the parent had into ``ru_maxrss``, so its own figure is read there.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(side: str, crop: int, limit: int | None) -> int:
    """Peak after attributing one random image with two nodes, less the peak before; what is in it does not matter."""
    torch.set_num_threads(1)  # every thread has buffers of its own
    networks = [build("srresnet", seed=seed) for seed in (0, 1)]
    truth, (blurry, noisy) = torch.rand(1, 3, crop, crop), torch.rand(2, 1, 3, crop // 2, crop // 2)
    before = peak()
    if side == "published":
        states = [dict(network.state_dict()) for network in networks]
        published.attribute(lambda: build("srresnet"), *states, blurry, noisy, truth, steps=2)
    else:
        for low in (blurry, noisy):
            faig(*networks, [(low, truth)], nodes=2, memory_limit=limit)
    return peak() - before


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) or None))
