"""What is asked of a pair of networks and some images: path, scores by image, and what masking costs which input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.attribution import (
    PathProfile,
    contributions_along,
    eliminate_each,
    path_profile,
)
from faiglib.companion.cache import Cache
from faiglib.errors import DatasetError, ImageError
from faiglib.filters.index import FilterIndex, Units
from faiglib.filters.scores import FilterScores, FilterSet
from faiglib.filters.substitution import Substitutions
from faiglib.images.degradations import INPUTS, downsample, noise_generator, quantise
from faiglib.images.files import read_image
from faiglib.images.folders import images_by_stem, match_by_name
from faiglib.networks.foreign import load_pair
from faiglib.system.devices import choose_device

#: Gradients per image and input.
NODES = 10
#: What inputs are made of the ground truth where none are given: the paper's.
DEGRADATIONS = ("blurry", "noisy")


@dataclass(frozen=True)
class Scene:
    """A crop in all its inputs.

    Attributes:
        name: of the file.
        truth: (1, 3, H, W).
        inputs: by name of the degradation, each (1, 3, H/scale, W/scale); ``clean`` is the truth made smaller.
    """

    name: str
    truth: Tensor
    inputs: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Study:
    """A pair, and the images that it is asked about.

    Attributes:
        target, baseline: on the device.
        scale: by which they enlarge.
        units: that are ranked.
        scenes: crops.
        cache: of computed results.
    """

    target: nn.Module
    baseline: nn.Module
    scale: int
    units: Units
    scenes: Sequence[Scene]
    cache: Cache

    @property
    def kinds(self) -> list[str]:
        """Names of the degradations."""
        return [name for name in self.scenes[0].inputs if name != "clean"]

    @cached_property
    def index(self) -> FilterIndex:
        """Of the units."""
        return FilterIndex.of(self.target, self.units)

    @cached_property
    def path(self) -> PathProfile:
        """Of the straight line, on clean inputs."""
        return path_profile(self.target, self.baseline, self.pairs("clean"), progress="path")

    def pairs(self, kind: str) -> list[tuple[Tensor, Tensor]]:
        """Input and ground truth of every scene."""
        return [(scene.inputs[kind], scene.truth) for scene in self.scenes]

    @cached_property
    def by_image(self) -> dict[str, Tensor]:
        """FAIG by input, nothing eliminated, (images, units); and its signed sums as ``signed/INPUT``."""
        found: dict[str, Tensor] = {}
        for kind in self.kinds:
            key = {"ends": self._digest, "images": [list(pair) for pair in self.pairs(kind)], "units": self.units}
            found |= self.cache.tensors(
                "pair/attribution", key | {"nodes": NODES, "kind": kind}, partial(self._of, kind)
            )
        return found

    @cached_property
    def _digest(self) -> list[dict[str, Tensor]]:
        return [dict(network.state_dict()) for network in (self.target, self.baseline)]

    def _of(self, kind: str) -> dict[str, Tensor]:
        scores, signed = [], []
        for pair in tqdm(self.pairs(kind), f"FAIG, {kind}", unit="image"):
            found = contributions_along([self.target, self.baseline], [pair], nodes=NODES, units=self.units)
            scores.append(found[0].values)
            signed.append(found[1].values)
        return {kind: torch.stack(scores), f"signed/{kind}": torch.stack(signed)}

    def scores(self, images: slice = slice(None)) -> dict[str, FilterScores]:
        """Scores by degradation, less the mean of the others', from some of the images."""
        means = {kind: FilterScores(self.index, self.by_image[kind][images].mean(0)) for kind in self.kinds}
        return eliminate_each(means)

    def without(self, filters: FilterSet) -> nn.Module:
        """The target with some units of the baseline, until the next call."""
        return self._masks.of(filters)

    @cached_property
    def _masks(self) -> Substitutions:
        return Substitutions(self.target, self.baseline)


def open_study(
    target: str,
    baseline: str,
    gt: str,
    inputs: Mapping[str, str],
    out: str,
    *,
    network: str | None = None,
    scale: int | None = None,
    peak: float = 1.0,
    units: str = "filters",
    images: int = 10,
    crop: int = 96,
    device: str = "auto",
) -> Study:
    """Load a pair and crops of some images, see the command ``faiglib report`` for the arguments.

    Raises:
        FaiglibError: weights, images or device cannot be used.
    """
    where = choose_device(device)
    first, second, factor = load_pair(Path(target), Path(baseline), network, scale, peak)
    ends = [one.to(where) for one in (first, second)]
    files = match_by_name(gt=gt, **inputs) if inputs else [{"gt": path} for path in images_by_stem(gt).values()]
    step = max(1, len(files) // images)
    chosen = files[::step][:images]
    scenes = [_scene(one, factor, crop, number, where) for number, one in enumerate(chosen)]
    return Study(ends[0], ends[1], factor, cast(Units, units), scenes, Cache(Path(out) / "store"))


def _scene(files: Mapping[str, Path], scale: int, crop: int, number: int, device: torch.device) -> Scene:
    """The central crop of an image and its inputs; inputs that are not given are made.

    Raises:
        ImageError: an input is not the ground truth's size divided by the scale, or the image is too small.
    """
    whole = read_image(files["gt"])
    height, width = (side // scale for side in whole.shape[-2:])
    side = min(crop // scale, height, width)
    if side < 8:
        raise ImageError(
            f"image {files['gt']} is too small: a crop needs 8 pixels of the network's input a side at least"
        )
    top, left = (height - side) // 2, (width - side) // 2
    truth = whole[..., top * scale : (top + side) * scale, left * scale : (left + side) * scale]
    made = {"clean": quantise(downsample(truth, scale)) if scale > 1 else truth}
    given = {name: path for name, path in files.items() if name != "gt"}
    for name, path in given.items():
        low = read_image(path)
        if tuple(low.shape[-2:]) != (height, width):
            raise ImageError(
                f"image {path} has {low.shape[-1]}x{low.shape[-2]} pixels, which is not 1/{scale} of the size of "
                f"{files['gt']}"
            )
        made[name] = low[..., top : top + side, left : left + side]
    if not given:
        for name in DEGRADATIONS:
            made[name] = replace(INPUTS[name], scale=scale)(truth, noise_generator(0, number))
    if "clean" in given:
        raise DatasetError("an input called clean would be taken for the ground truth made smaller; name it otherwise")
    return Scene(files["gt"].stem, truth.to(device), {name: low.to(device) for name, low in made.items()})
