"""Which public pairs there are, and the inputs that their targets know: noise and JPEG, and blur, which none does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import torch
from torch import Tensor, nn

from faiglib.companion.workbench import Workbench
from faiglib.errors import WeightsError
from faiglib.filters.index import FilterIndex
from faiglib.images.chain import Chain, Downsample, GaussianBlur, GaussianNoise, Jpeg
from faiglib.images.degradations import BLUR_SIGMA, noise_generator
from faiglib.networks import build, waifu2x

#: Noise (8-bit levels) and JPEG quality that the strongest targets were trained for.
NOISE, QUALITY = 15, 30
#: What inputs are made of ground truth.
INPUTS: Mapping[str, Chain] = MappingProxyType(
    {
        "clean": Chain((Downsample(2),)),
        "noisy": Chain((Downsample(2), GaussianNoise(NOISE / 255))),
        "JPEG": Chain((Downsample(2), Jpeg(QUALITY))),
        "blurry": Chain((GaussianBlur(BLUR_SIGMA, BLUR_SIGMA), Downsample(2))),
    }
)
#: What filters may be there for: the input that needs them, and the one whose attribution is eliminated.
FUNCTIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"denoising": ("noisy", "JPEG"), "deblocking": ("JPEG", "noisy")}
)
#: An ability that no target has, for the negative control, and the input that would need it.
CONTROL, CONTROL_INPUT = "deblurring", "blurry"

Model = tuple[str, str]


@dataclass(frozen=True)
class PublicPair:
    """Two models of waifu2x.

    Attributes:
        title: as printed.
        baseline: style and model, keys of :data:`faiglib.networks.waifu2x.STYLES` and ``MODELS``.
        target: likewise.
        kind: how they are related: ``fine-tuned`` from the baseline; ``replaced``, since the baseline was trained anew
            after the target; ``siblings``, both fine-tuned from a third; or ``strangers``.
    """

    title: str
    baseline: Model
    target: Model
    kind: str

    def load(self, bench: Workbench) -> tuple[nn.Module, nn.Module]:
        """Target and baseline on the device.

        Raises:
            WeightsError: they are not here, or cannot be read.
        """
        ends = (waifu2x.load(*model, bench.data_dir) for model in (self.target, self.baseline))
        first, second = (network.to(bench.device, memory_format=torch.channels_last) for network in ends)  # type: ignore[call-overload]
        return first, second


def _pairs() -> tuple[PublicPair, ...]:
    base, targets = waifu2x.BASELINE, waifu2x.TARGETS
    photo = [PublicPair(f"photo → {name}", ("photo", base), ("photo", name), "fine-tuned") for name in targets]
    art = [PublicPair(f"art → {name}", ("art", base), ("art", name), "replaced") for name in targets]
    siblings = [
        PublicPair(f"photo {first} → {last}", ("photo", first), ("photo", last), "siblings")
        for first, last in pairwise(targets)
    ]
    wrong = PublicPair(f"art → photo {targets[-1]}", ("art", base), ("photo", targets[-1]), "strangers")
    return (*photo, *siblings, *art, wrong)


#: All pairs, the fine-tuned ones first.
PAIRS = _pairs()
#: The pair that the claims are tested on: the strongest of those that were fine-tuned as FAIG wants it.
MAIN = PAIRS[len(waifu2x.TARGETS) - 1]
#: Those that FAIG's choice is measured on: of the art models the strongest stands for all.
MEASURED = tuple(one for one in PAIRS if one.kind != "replaced" or one.target[1] == waifu2x.TARGETS[-1])


@dataclass(frozen=True)
class Scene:
    """One image in all its inputs.

    Attributes:
        name: of the file.
        truth: (1, 3, H, W) in [0, 1].
        inputs: by name of :data:`INPUTS`, each (1, 3, H/2, W/2).
    """

    name: str
    truth: Tensor
    inputs: Mapping[str, Tensor]

    def pair(self, kind: str) -> tuple[Tensor, Tensor]:
        """Input and ground truth."""
        return self.inputs[kind], self.truth


def scenes(bench: Workbench, limit: int | None, crop: int | None) -> list[Scene]:
    """Central crops of the workbench's test set in all inputs, on the device.

    Args:
        bench: where images are.
        limit: number of images, evenly spaced; None is all.
        crop: side in HR pixels; None is the whole image.
    """
    found = []
    for number, (name, image) in enumerate(bench.image_set(bench.test_set).load(limit, crop)):
        inputs = {
            kind: chain(image, noise_generator(bench.seed, number)).to(bench.device) for kind, chain in INPUTS.items()
        }
        found.append(Scene(name, image.to(bench.device), inputs))
    return found


def here(bench: Workbench) -> bool:
    """Whether the models are on this machine."""
    try:
        waifu2x.find(bench.data_dir)
    except WeightsError:
        return False
    return True


def filters() -> int:
    """How many filters the networks have."""
    return FilterIndex.of(build(waifu2x.NETWORK)).total
