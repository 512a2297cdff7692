"""The command ``attribute``: scores of folders of images, resumable."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib._version import __version__
from faiglib.attribution.averaging import in_image_order
from faiglib.attribution.coverage import Coverage
from faiglib.attribution.elimination import Minus, eliminate_each
from faiglib.attribution.overlap import filters_of_image, overlap_scores
from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE, ParameterPath, image_scores
from faiglib.attribution.path_profile import PathProfile, path_profile
from faiglib.attribution.quadrature import Quadrature, quadrature
from faiglib.command.folders import alone_in, naming
from faiglib.errors import DatasetError, FaiglibError, ImageError, WeightsError
from faiglib.filters.index import Units
from faiglib.filters.scores import FilterScores, FilterSet
from faiglib.images.degradations import downsample, quantise
from faiglib.images.files import center_crop, read_image
from faiglib.images.folders import images_by_stem, match_by_name
from faiglib.system.files import sha256_file
from faiglib.system.store import fingerprint
from faiglib.system.tensors import read_tensors, save_weights

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PARTIAL = "partial.safetensors"
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


def attribute(
    target: nn.Module,
    baseline: nn.Module,
    scenes: Sequence[Scene],
    out: Path,
    *,
    rule: str = DEFAULT_RULE,
    nodes: int = DEFAULT_NODES,
    memory_limit: int | None = None,
    units: Units = "filters",
    minus: Minus = "mean",
    fabric: Fabric | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, FilterScores]:
    """FAIG over matched files, resumable: the scores of each degradation less those of the others (paper, eq. 7).

    The sums so far are kept in ``out`` after every image. A run of the same networks, files and rule, on the same kind
    of device, goes on from them and ends in the same bits, with whatever number of processes. The sums of another one
    are not touched.

    Args:
        target: θ.
        baseline: θ̄.
        scenes: from :func:`scenes_of`.
        out: folder for the sums.
        rule: quadrature rule.
        nodes: gradient evaluations per image and degradation.
        memory_limit: see :func:`faiglib.attribution.parameter_path`.
        units: what is ranked, see :class:`faiglib.filters.index.FilterIndex`.
        minus: what is subtracted, see :func:`faiglib.attribution.elimination.eliminate_each`.
        fabric: launched; it says where to compute, and the images are shared out over its ranks. The CPU without it.
        overwrite: throw the unfinished sums of another run in ``out`` away.
        say: told what the filters hold of the path integrals and how well these converged, a sentence a degradation.

    Raises:
        FaiglibError: an image, the networks or the rule cannot be used, the sums cannot be written, or ``out`` holds
            the unfinished sums of another run, or one that is going on.
    """
    if rule == "trapezoid" and nodes < 2:
        raise FaiglibError("the trapezoid rule needs at least 2 nodes")
    place = torch.device("cpu") if fabric is None else fabric.device
    path, points = ParameterPath(target, baseline, place, memory_limit, units=units), quadrature(rule, nodes)
    if path.is_a_point:
        raise FaiglibError("baseline and target hold the same weights: there is nothing between them to attribute")
    identity = fingerprint(
        {
            "networks": [dict(network.state_dict()) for network in (target, baseline)],
            "files": [
                [sha256_file(scene.ground_truth), *(sha256_file(file) for file in scene.inputs.values())]
                for scene in scenes
            ],
            "inputs": list(scenes[0].inputs),
            "rule": [rule, nodes, units],
            "made_by": [__version__, torch.__version__, place.type],
        }
    )
    first = fabric is None or fabric.is_global_zero
    with alone_in(out) if first else nullcontext():
        sums = _sums(path, points, scenes, out / PARTIAL, identity, fabric, overwrite)
    for name, values in sums.items():
        say(f"Input {name}: {_coverage_in_words(path, values)}.")
    total = path.index.total
    return eliminate_each(
        {name: FilterScores(path.index, values[:total] / len(scenes)) for name, values in sums.items()}, minus
    )


def _sums(
    path: ParameterPath,
    points: Quadrature,
    scenes: Sequence[Scene],
    partial: Path,
    identity: str,
    fabric: Fabric | None,
    overwrite: bool,
) -> dict[str, Tensor]:
    """The work of :func:`attribute`, once the folder is this run's alone: sums over images by name of the input.

    Each of scores, absolute contributions of other parameters, signed sum of all, change of the loss between the ends.
    """
    first = fabric is None or fabric.is_global_zero
    done, sums = _sums_so_far(
        partial, identity, path.index.total + len(path.others) + 2, [*scenes[0].inputs], overwrite
    )
    if fabric is not None:
        fabric.barrier()  # nobody writes before everybody has read

    def keep(count: int) -> None:
        if first:
            save_weights(partial, sums, {"identity": identity, "done": json.dumps(count)})

    def scores(number: int) -> Tensor:
        scene = scenes[done + number]
        ground_truth = read_image(scene.ground_truth, warn=False)
        found = []
        for file in scene.inputs.values():
            with naming(file):
                image = read_image(file, warn=False)
                values = image_scores(path, image, ground_truth, points, with_others=True)
                place = path.parameters[0]
                ends = [path.loss(end, image.to(place), ground_truth.to(place)) for end in (0.0, 1.0)]
            found.append(torch.cat([values, values.new_tensor([ends[1] - ends[0]])]))
        return torch.stack(found)

    keep(done)  # so that a folder that cannot be written is noticed at once
    results = in_image_order(len(scenes) - done, scores, fabric)
    with tqdm(results, desc="FAIG", unit="image", initial=done, total=len(scenes), disable=not first) as bar:
        for number, pair in enumerate(bar, start=done + 1):
            for name, values in zip(sums, pair, strict=True):
                sums[name] += values
            keep(number)
    return sums


def _coverage_in_words(path: ParameterPath, values: Tensor) -> str:
    """What the filters hold of a path integral, and how far the integral is from the change of the loss."""
    total = path.index.total
    held = Coverage(
        float(values[:total].sum()), dict(zip(path.others, values[total:-2].tolist(), strict=True)), path.index.units
    )
    signed, change = values[-2:].tolist()
    gap = f"{abs(signed - change) / abs(change):.1%}" if change else "an unknown share"
    return f"{held.in_words()}; the integral misses the change of the loss by {gap} (completeness)"


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


def forget(out: Path) -> None:
    """Remove the sums of a finished :func:`attribute`, once its result is written."""
    (out / PARTIAL).unlink(missing_ok=True)


def _sums_so_far(
    path: Path, identity: str, size: int, names: Sequence[str], overwrite: bool
) -> tuple[int, dict[str, Tensor]]:
    """Number of images done and their sums, from an interrupted run of the same work; zeros where there is none.

    Raises:
        FaiglibError: there is one of other work.
    """
    try:
        tensors, metadata = read_tensors(path)
        done, sums = int(metadata["done"]), {name: tensors[name] for name in names}
        if metadata["identity"] == identity and {tuple(one.shape) for one in sums.values()} == {(size,)}:
            return done, sums
        if done and not overwrite:
            raise FaiglibError(
                f"{path} holds {done} images of an unfinished run of other work (networks, images, rule, nodes or "
                "versions differ); finish that one, choose another folder, or throw it away with --overwrite"
            )
    except (WeightsError, KeyError, TypeError, ValueError):
        pass
    return 0, {name: torch.zeros(size, dtype=torch.float64) for name in names}
