"""Whole folders of images: what the command line does with them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib import __version__, datasets
from faiglib.attribution.engine import in_image_order
from faiglib.attribution.faig import DEFAULT_NODES, DEFAULT_RULE, ParameterPath, image_scores
from faiglib.attribution.paths import quadrature
from faiglib.checkpoints import read_tensors, save_weights
from faiglib.degradations import Degradation, noise_generator
from faiglib.errors import DatasetError, FaiglibError, ImageError, WeightsError
from faiglib.files import sha256_file
from faiglib.filters import FilterScores
from faiglib.images import images_by_stem, match_by_name, read_image, save_image
from faiglib.restoration import restore as restored
from faiglib.store import fingerprint

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PARTIAL = "partial.safetensors"


@dataclass(frozen=True)
class Triple:
    """Files of one scene: ground truth, and its blurry and noisy network inputs."""

    ground_truth: Path
    blurry: Path
    noisy: Path


def triples(gt: Path, blur: Path, noise: Path, scale: int) -> list[Triple]:
    """Match three folders by file name and check every size.

    Raises:
        DatasetError: a folder is missing or empty, or the names differ.
        ImageError: a file is not an image, or an input is not the ground truth's size divided by the scale.
    """
    found = [Triple(one["gt"], one["blur"], one["noise"]) for one in match_by_name(gt=gt, blur=blur, noise=noise)]
    with tqdm(found, desc="checking images", unit="image", leave=False) as bar:
        for triple in bar:
            height, width = read_image(triple.ground_truth).shape[-2:]
            for path in (triple.blurry, triple.noisy):
                low = tuple(read_image(path).shape[-2:])
                if (low[0] * scale, low[1] * scale) != (height, width):
                    raise ImageError(
                        f"image {path} has {low[1]}x{low[0]} pixels, which is not 1/{scale} of the {width}x{height} of "
                        f"{triple.ground_truth}"
                    )
    return found


def attribute(
    target: nn.Module,
    baseline: nn.Module,
    scenes: Sequence[Triple],
    out: Path,
    *,
    rule: str = DEFAULT_RULE,
    nodes: int = DEFAULT_NODES,
    memory_limit: int | None = None,
    fabric: Fabric | None = None,
) -> tuple[FilterScores, FilterScores]:
    """FAIG over matched files, resumable: deblurring and denoising scores (paper, eq. 7).

    The sums so far are kept in ``out`` after every image. A run of the same networks, files and rule, on the same kind
    of device, goes on from them and ends in the same bits, with whatever number of processes.

    Args:
        target: θ.
        baseline: θ̄.
        scenes: from :func:`triples`.
        out: folder for the sums.
        rule: quadrature rule.
        nodes: gradient evaluations per image and degradation.
        memory_limit: see :func:`faiglib.attribution.faig`.
        fabric: launched; it says where to compute, and the images are shared out over its ranks. The CPU without it.

    Raises:
        FaiglibError: an image, the networks or the rule cannot be used, or the sums cannot be written.
    """
    if rule == "trapezoid" and nodes < 2:
        raise FaiglibError("the trapezoid rule needs at least 2 nodes")
    place = torch.device("cpu") if fabric is None else fabric.device
    path, points = ParameterPath(target, baseline, place, memory_limit), quadrature(rule, nodes)
    identity = fingerprint(
        {
            "networks": [dict(network.state_dict()) for network in (target, baseline)],
            "files": [[sha256_file(file) for file in vars(scene).values()] for scene in scenes],
            "rule": [rule, nodes],
            "made_by": [__version__, torch.__version__, place.type],
        }
    )
    first = fabric is None or fabric.is_global_zero
    done, sums = _sums_so_far(out / PARTIAL, identity, path.index.total)
    if fabric is not None:
        fabric.barrier()  # nobody writes before everybody has read

    def keep(count: int) -> None:
        if first:
            save_weights(out / PARTIAL, sums, {"identity": identity, "done": json.dumps(count)})

    def scores(number: int) -> Tensor:
        scene = scenes[done + number]
        ground_truth = read_image(scene.ground_truth, warn=False)
        return torch.stack(
            [image_scores(path, read_image(getattr(scene, kind), warn=False), ground_truth, points) for kind in sums]
        )

    keep(done)  # so that a folder that cannot be written is noticed at once
    results = in_image_order(len(scenes) - done, scores, fabric)
    with tqdm(results, desc="FAIG", unit="image", initial=done, total=len(scenes), disable=not first) as bar:
        for number, pair in enumerate(bar, start=done + 1):
            for kind, values in zip(sums, pair, strict=True):
                sums[kind] += values
            keep(number)
    blurry, noisy = (FilterScores(path.index, sums[kind] / len(scenes)) for kind in ("blurry", "noisy"))
    return blurry - noisy, noisy - blurry


def forget(out: Path) -> None:
    """Remove the sums of a finished :func:`attribute`, once its result is written."""
    (out / PARTIAL).unlink(missing_ok=True)


def _sums_so_far(path: Path, identity: str, total: int) -> tuple[int, dict[str, Tensor]]:
    """Number of images done and their sums, from an interrupted run of the same work; zeros otherwise."""
    try:
        tensors, metadata = read_tensors(path)
        if metadata["identity"] == identity:
            return json.loads(metadata["done"]), {kind: tensors[kind] for kind in ("blurry", "noisy")}
    except (WeightsError, KeyError, TypeError, ValueError):
        pass
    return 0, {kind: torch.zeros(total, dtype=torch.float64) for kind in ("blurry", "noisy")}


def degrade(degradation: Degradation, source: Path, destination: Path, seed: int = 0) -> int:
    """Degrade every image of a folder into another, as PNG under the same names, and return their number.

    Raises:
        DatasetError: see :func:`results`.
        ImageError: a file is not an image, is smaller than the kernel or does not divide by the scale.
        StoreError: a result cannot be written.
    """
    paths = results(source, destination)
    with tqdm(paths.items(), desc="degrade", unit="image") as bar:
        for number, (path, result) in enumerate(bar):
            with naming(path):
                save_image(result, degradation(read_image(path), noise_generator(seed, number)))
    return len(paths)


@torch.no_grad()
def restore(network: nn.Module, source: Path, destination: Path, device: torch.device | str = "cpu") -> int:
    """Restore every image of a folder into another, as PNG under the same names, and return their number.

    Raises:
        DatasetError: see :func:`results`.
        ImageError: a file is not an image.
        StoreError: a result cannot be written.
    """
    paths = results(source, destination)
    with tqdm(paths.items(), desc="restore", unit="image") as bar:
        for path, result in bar:
            with naming(path):
                save_image(result, restored(network, read_image(path).to(device)))
    return len(paths)


def results(source: Path, destination: Path) -> dict[Path, Path]:
    """For every image of a folder the file of its result, a PNG of the same name in another folder.

    Raises:
        DatasetError: the folder is missing or empty, two images differ in nothing but their ending, or the
            destination is the folder itself or no folder.
    """
    paths = images_by_stem(source)
    if destination.exists():
        if not destination.is_dir():
            raise DatasetError(f"{destination} is not a folder")
        if os.path.samefile(source, destination):
            raise DatasetError(f"folder {source} holds the input; results need another folder, to overwrite none of it")
    return {path: destination / f"{stem}.png" for stem, path in paths.items()}


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say in an :class:`ImageError` which file it is about."""
    try:
        yield
    except ImageError as error:
        raise error if str(path) in str(error) else ImageError(f"{path}: {error}") from None


def presence(name: str, data_dir: Path | None = None) -> str:
    """Where an image set is and whether it is sound, in a few words."""
    try:
        image_set = datasets.find(name, data_dir)
    except DatasetError:
        return "not here" if name.startswith("div2k") else f"not here; faiglib fetch {name}"
    damaged = datasets.verify(image_set)
    if damaged:
        return f"{len(damaged)} of {len(image_set)} files are damaged, the first {damaged[0]}"
    return f"{len(image_set)} images, {image_set.where}"
