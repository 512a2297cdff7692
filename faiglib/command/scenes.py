"""What the commands on a pair are given: folders of inputs by name, matched scenes, and what is looked at first."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from tqdm import tqdm

from faiglib.attribution.overlap import filters_of_image, overlap_scores
from faiglib.attribution.parameter_path import ParameterPath
from faiglib.attribution.path_profile import PathProfile, path_profile
from faiglib.command.folders import naming
from faiglib.errors import DatasetError, FaiglibError, ImageError
from faiglib.filters.scores import FilterSet
from faiglib.images.degradations import downsample, quantise
from faiglib.images.files import center_crop, read_image
from faiglib.images.folders import images_by_stem, match_by_name
from faiglib.system.files import sha256_file

#: Scenes on which the path is examined before anything is attributed, and the side of their central crops.
PROFILED = 5
PROFILED_CROP = 96
#: What the folder of ground truth is called among the inputs.
GROUND_TRUTH = "gt"


@dataclass(frozen=True)
class Scene:
    """Files of one scene: ground truth, and its network inputs by name of the degradation."""

    ground_truth: Path
    inputs: dict[str, Path]


def named_paths(named: Iterable[str], what: str = "FOLDER") -> dict[str, Path]:
    """Folders or files by name, from ``NAME=FOLDER``.

    Args:
        named: as on the command line.
        what: comes after the sign, in words.

    Raises:
        FaiglibError: one is of another form, or a name is there twice.
    """
    found: dict[str, Path] = {}
    for one in named:
        name, sign, path = one.partition("=")
        if not (sign and path and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_+-]*", name)) or name == GROUND_TRUTH:
            raise FaiglibError(
                f"{one[:100]!r} is not of the form NAME={what}, with a name of letters, digits, -, + and _ that is not "
                f"{GROUND_TRUTH}"
            )
        if name in found:
            raise FaiglibError(f"{name} is named twice")
        found[name] = Path(path)
    return found


def scenes_of(gt: Path, inputs: Mapping[str, Path], scale: int) -> list[Scene]:
    """Match folders by file name and check every size.

    Args:
        gt: folder of ground truth.
        inputs: folders of network inputs by name.
        scale: of the network.

    Raises:
        DatasetError: a folder is missing or empty, the names differ, or the images of two inputs are the same.
        ImageError: a file is not an image, or an input is not the ground truth's size divided by the scale.
        FaiglibError: there are no inputs.
    """
    if not inputs:
        raise FaiglibError("there is no folder of inputs to attribute; name one with --input NAME=FOLDER")
    matched = match_by_name(**{GROUND_TRUTH: gt}, **inputs)
    found = [Scene(files.pop(GROUND_TRUTH), files) for files in matched]
    with tqdm(found, desc="checking images", unit="image", leave=False) as bar:
        for scene in bar:
            height, width = read_image(scene.ground_truth).shape[-2:]
            for path in scene.inputs.values():
                low = tuple(read_image(path).shape[-2:])
                if (low[0] * scale, low[1] * scale) != (height, width):
                    raise ImageError(
                        f"image {path} has {low[1]}x{low[0]} pixels, which is not 1/{scale} of the {width}x{height} of "
                        f"{scene.ground_truth}"
                    )
    for first, second in itertools.combinations(inputs, 2):
        if all(sha256_file(one.inputs[first]) == sha256_file(one.inputs[second]) for one in found):
            raise DatasetError(
                f"the images in {inputs[first]} and in {inputs[second]} are the same, so that nothing tells {first} "
                f"from {second}"
            )
    return found


def profile_of(target: nn.Module, baseline: nn.Module, scenes: Sequence[Scene], scale: int) -> PathProfile:
    """The path between two networks on central crops of some scenes' ground truth, made smaller and nothing else.

    Args:
        target: θ.
        baseline: θ̄.
        scenes: from :func:`scenes_of`; :data:`PROFILED` of them at most are used.
        scale: of the networks.

    Raises:
        FaiglibError: the networks fail on them.
    """
    pairs = []
    for scene in scenes[:PROFILED]:
        image = read_image(scene.ground_truth, warn=False)
        side = min(PROFILED_CROP, *image.shape[-2:])
        truth = center_crop(image, side - side % scale)
        pairs.append((quantise(downsample(truth, scale)), truth))
    return path_profile(target, baseline, pairs)


def overlaps(path: ParameterPath, found: Mapping[str, FilterSet], source: Path, percent: float, nodes: int) -> str:
    """Overlap scores (paper, section 4.4) of every image of a folder, blind, as CSV.

    Args:
        path: from target to baseline.
        found: filters by degradation.
        source: folder of degraded images.
        percent: size of an image's own set.
        nodes: gradient evaluations per image.

    Returns:
        A line of names, ``image`` and one per degradation, and a line per image.

    Raises:
        FaiglibError: an image or the networks cannot be used, or a set is empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", *found])
    with tqdm(images_by_stem(source).items(), desc="predict", unit="image") as bar:
        for stem, file in bar:
            with naming(file):
                own = filters_of_image(path, read_image(file), percent=percent, nodes=nodes)
                writer.writerow([stem, *(f"{score:.6g}" for score in overlap_scores(own, found).values())])
    return text.getvalue()
