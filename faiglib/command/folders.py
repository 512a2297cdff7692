"""Whole folders of images: what the command line does with them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from tqdm import tqdm

from faiglib._version import __version__
from faiglib.attribution.averaging import in_image_order
from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE, Coverage, ParameterPath, image_scores
from faiglib.attribution.quadrature import Quadrature, quadrature
from faiglib.errors import DatasetError, FaiglibError, ImageError, IncompleteError, StoreError, WeightsError
from faiglib.filters.scores import FilterScores
from faiglib.images import datasets
from faiglib.images.degradations import Degradation, noise_generator
from faiglib.images.files import crop_to_multiple, read_image, save_image
from faiglib.images.folders import images_by_stem, match_by_name
from faiglib.images.restoration import restore as restored
from faiglib.system.files import sha256_file
from faiglib.system.passes import out_of_memory
from faiglib.system.store import fingerprint
from faiglib.system.tensors import read_tensors, save_weights

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
        DatasetError: a folder is missing or empty, the names differ, or the blurry images are the noisy ones.
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
    if all(sha256_file(one.blurry) == sha256_file(one.noisy) for one in found):
        raise DatasetError(f"the images in {blur} and in {noise} are the same, so that nothing tells blur from noise")
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
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[FilterScores, FilterScores]:
    """FAIG over matched files, resumable: deblurring and denoising scores (paper, eq. 7).

    The sums so far are kept in ``out`` after every image. A run of the same networks, files and rule, on the same kind
    of device, goes on from them and ends in the same bits, with whatever number of processes. The sums of another one
    are not touched.

    Args:
        target: θ.
        baseline: θ̄.
        scenes: from :func:`triples`.
        out: folder for the sums.
        rule: quadrature rule.
        nodes: gradient evaluations per image and degradation.
        memory_limit: see :func:`faiglib.attribution.parameter_path`.
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
    path, points = ParameterPath(target, baseline, place, memory_limit), quadrature(rule, nodes)
    if path.is_a_point:
        raise FaiglibError("baseline and target hold the same weights: there is nothing between them to attribute")
    identity = fingerprint(
        {
            "networks": [dict(network.state_dict()) for network in (target, baseline)],
            "files": [[sha256_file(file) for file in vars(scene).values()] for scene in scenes],
            "rule": [rule, nodes],
            "made_by": [__version__, torch.__version__, place.type],
        }
    )
    first = fabric is None or fabric.is_global_zero
    with alone_in(out) if first else nullcontext():
        return _attribute(path, points, scenes, out / PARTIAL, identity, fabric, overwrite, say)


def _attribute(
    path: ParameterPath,
    points: Quadrature,
    scenes: Sequence[Triple],
    partial: Path,
    identity: str,
    fabric: Fabric | None,
    overwrite: bool,
    say: Callable[[str], None],
) -> tuple[FilterScores, FilterScores]:
    """The work of :func:`attribute`, once the folder is this run's alone."""
    first = fabric is None or fabric.is_global_zero
    # Scores, absolute contributions of other parameters, signed sum of all, change of the loss between the ends.
    done, sums = _sums_so_far(partial, identity, path.index.total + len(path.others) + 2, overwrite)
    if fabric is not None:
        fabric.barrier()  # nobody writes before everybody has read

    def keep(count: int) -> None:
        if first:
            save_weights(partial, sums, {"identity": identity, "done": json.dumps(count)})

    def scores(number: int) -> Tensor:
        scene = scenes[done + number]
        ground_truth = read_image(scene.ground_truth, warn=False)
        found = []
        for kind in sums:
            file: Path = getattr(scene, kind)
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
            for kind, values in zip(sums, pair, strict=True):
                sums[kind] += values
            keep(number)
    for kind, values in sums.items():
        say(f"{kind.capitalize()} input: {_coverage_in_words(path, values)}.")
    total = path.index.total
    blurry, noisy = (FilterScores(path.index, sums[kind][:total] / len(scenes)) for kind in ("blurry", "noisy"))
    return blurry - noisy, noisy - blurry


def _coverage_in_words(path: ParameterPath, values: Tensor) -> str:
    """What the filters hold of a path integral, and how far the integral is from the change of the loss."""
    total = path.index.total
    held = Coverage(float(values[:total].sum()), dict(zip(path.others, values[total:-2].tolist(), strict=True)))
    signed, change = values[-2:].tolist()
    gap = f"{abs(signed - change) / abs(change):.1%}" if change else "an unknown share"
    return f"{held.in_words()}; the integral misses the change of the loss by {gap} (completeness)"


def forget(out: Path) -> None:
    """Remove the sums of a finished :func:`attribute`, once its result is written."""
    (out / PARTIAL).unlink(missing_ok=True)


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Keep a second run out of a folder while the block lasts; the lock lies elsewhere and ends with the process.

    Raises:
        FaiglibError: a run is going on there.
    """
    name = hashlib.sha256(os.fsencode(out.resolve())).hexdigest()[:32]
    lock = FileLock(Path(tempfile.gettempdir()) / f"faiglib-{name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FaiglibError(f"another run is writing to {out}; wait for it, or choose another folder") from None
    try:
        yield
    finally:
        lock.release()


def _sums_so_far(path: Path, identity: str, size: int, overwrite: bool) -> tuple[int, dict[str, Tensor]]:
    """Number of images done and their sums, from an interrupted run of the same work; zeros where there is none.

    Raises:
        FaiglibError: there is one of other work.
    """
    try:
        tensors, metadata = read_tensors(path)
        done, sums = int(metadata["done"]), {kind: tensors[kind] for kind in ("blurry", "noisy")}
        if metadata["identity"] == identity and {tuple(one.shape) for one in sums.values()} == {(size,)}:
            return done, sums
        if done and not overwrite:
            raise FaiglibError(
                f"{path} holds {done} images of an unfinished run of other work (networks, images, rule, nodes or "
                "versions differ); finish that one, choose another folder, or throw it away with --overwrite"
            )
    except (WeightsError, KeyError, TypeError, ValueError):
        pass
    return 0, {kind: torch.zeros(size, dtype=torch.float64) for kind in ("blurry", "noisy")}


def degrade(degradation: Degradation, source: Path, destination: Path, seed: int = 0, crop: bool = False) -> int:
    """Degrade every image of a folder into another, as PNG under the same names, and return their number.

    All images are looked at before the first result is written.

    Args:
        degradation: what is done to them.
        source: folder of images.
        destination: folder of results.
        seed: of the noise.
        crop: cut images whose size does not divide by the scale at the bottom and at the right; otherwise they are
            refused.

    Raises:
        DatasetError: see :func:`results`.
        ImageError: a file is not an image, is smaller than the kernel or does not divide by the scale.
        StoreError: a result cannot be written.
    """
    paths = results(source, destination)

    def read(path: Path, warn: bool = True) -> Tensor:
        image = read_image(path, warn=warn)
        return crop_to_multiple(image, degradation.scale) if crop else image

    with tqdm(paths, desc="checking images", unit="image", leave=False) as bar:
        for path in bar:
            with naming(path):
                degradation.require(*read(path).shape[-2:])
    with tqdm(paths.items(), desc="degrade", unit="image") as bar:
        for number, (path, result) in enumerate(bar):
            with naming(path):
                save_image(result, degradation(read(path, warn=False), noise_generator(seed, number)))
    return len(paths)


@torch.no_grad()
def restore(
    network: nn.Module,
    source: Path,
    destination: Path,
    device: torch.device | str = "cpu",
    memory_limit: int | None = None,
) -> int:
    """Restore every image of a folder into another, as PNG under the same names, and return their number.

    All images are looked at before the first result is written.

    Args:
        network: that restores, on the device.
        source: folder of images.
        destination: folder of results.
        device: where the network is.
        memory_limit: see :func:`faiglib.images.restoration.restore`.

    Raises:
        DatasetError: see :func:`results`.
        ImageError: a file is not an image.
        StoreError: a result cannot be written.
        FaiglibError: the network fails on an image, or the memory does not suffice for it.
    """
    paths = results(source, destination)
    with tqdm(paths, desc="checking images", unit="image", leave=False) as bar:
        for path in bar:
            read_image(path)
    with tqdm(paths.items(), desc="restore", unit="image") as bar:
        for path, result in bar:
            with naming(path):
                save_image(result, restored(network, read_image(path, warn=False).to(device), memory_limit))
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
    """Say in an error which file it is about.

    Raises:
        FaiglibError: of the kind that was raised in the block, or the memory did not suffice.
    """
    try:
        yield
    except StoreError:  # names a file of its own, that of the result
        raise
    except FaiglibError as error:
        raise error if str(path) in str(error) else type(error)(f"{path}: {error}") from None
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise FaiglibError(f"{path}: the memory does not suffice; crop the image, or set --memory") from None


def presence(name: str, data_dir: Path | None = None) -> str:
    """Where an image set is and whether it is sound, in a few words."""
    try:
        image_set = datasets.find(name, data_dir)
    except IncompleteError as error:
        return str(error)
    except DatasetError:
        return "not here" if name.startswith("div2k") else f"not here; faiglib fetch {name}"
    return f"{len(image_set)} images, {image_set.where}"
