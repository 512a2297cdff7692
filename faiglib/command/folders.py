"""Whole folders of images: what the command line does with them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.errors import DatasetError, FaiglibError, IncompleteError, StoreError
from faiglib.images import datasets
from faiglib.images.chain import Chain
from faiglib.images.degradations import Degradation, noise_generator
from faiglib.images.files import crop_to_multiple, read_image, save_image
from faiglib.images.folders import images_by_stem
from faiglib.images.restoration import restore as restored
from faiglib.system.passes import out_of_memory


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


def degrade(
    degradation: Degradation | Chain, source: Path, destination: Path, seed: int = 0, crop: Path | None = None
) -> int:
    """Degrade every image of a folder into another, as PNG under the same names, and return their number.

    All images are looked at before the first result is written.

    Args:
        degradation: what is done to them.
        source: folder of images.
        destination: folder of results.
        seed: of the noise.
        crop: cut images whose size does not divide by the scale at the bottom and at the right, and write what is
            left of all to this folder, the ground truth of the results; without one they are refused.

    Raises:
        DatasetError: see :func:`results`.
        ImageError: a file is not an image, is smaller than the kernel or does not divide by the scale.
        StoreError: a result cannot be written.
    """
    paths = results(source, destination)
    left = results(source, crop) if crop else {}
    if crop and crop.resolve() == destination.resolve():
        raise DatasetError(f"folder {destination} cannot hold both results and what is left of the images")

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
                image = read(path, warn=False)
                save_image(result, degradation(image, noise_generator(seed, number)))
                if left:
                    save_image(left[path], image)
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
