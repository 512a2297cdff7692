"""One photograph without the filters of each function, where the networks are on the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from faiglib.companion.public_pairs.measure import METHODS, PERCENTS, rankings
from faiglib.companion.public_pairs.pairs import FUNCTIONS, INPUTS, MAIN
from faiglib.companion.workbench import Workbench
from faiglib.filters.substitution import substitute
from faiglib.images.degradations import noise_generator
from faiglib.images.restoration import restore


@dataclass(frozen=True, eq=False)
class Picture:
    """One input of a photograph and what networks make of it.

    Attributes:
        kind: of the input.
        truth: (1, 3, H, W).
        images: by title, likewise.
    """

    kind: str
    truth: Tensor
    images: Mapping[str, Tensor]


def pictures(bench: Workbench, image: str, crop: int = 120) -> list[Picture]:
    """A photograph of scikit-image, noisy and compressed, restored by the main pair and by masked targets.

    Args:
        bench: where things are.
        image: its name.
        crop: side of the central crop in HR pixels.

    Raises:
        WeightsError: the networks are not here.
    """
    ends = MAIN.load(bench)
    found = rankings(bench, ends)
    truth = next(one for name, one in bench.image_set("skimage").load(None, crop) if name == image).to(bench.device)
    networks = {"target": ends[0]}
    for method in ("faig", "filter_change"):
        for function in FUNCTIONS if method == "faig" else list(FUNCTIONS)[:1]:
            name = f"for {function}" if method == "faig" else f"by {METHODS[method]}"
            networks[f"without 1 % {name}"] = substitute(*ends, found[method, function].top(PERCENTS[0]))
    networks["baseline"] = ends[1]
    made = []
    for kind, _ in FUNCTIONS.values():
        low = INPUTS[kind](truth.cpu(), noise_generator(bench.seed, 0)).to(bench.device)
        images = {"input": F.interpolate(low, scale_factor=2.0, mode="nearest").cpu()}
        made.append(
            Picture(kind, truth.cpu(), images | {name: restore(one, low).cpu() for name, one in networks.items()})
        )
    return made
