"""What ``faiglib attribute`` averages over: the images of folders, or random crops of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from faiglib.command.scenes import Scene
from faiglib.errors import FaiglibError
from faiglib.images.files import read_image


@dataclass(frozen=True)
class Piece:
    """An image or a part of one.

    Attributes:
        ground_truth: (1, 3, H, W).
        inputs: (1, 3, h, w), by the file that each comes from, in the order of the scene's.
    """

    ground_truth: Tensor
    inputs: dict[Path, Tensor]


def whole(scene: Scene) -> Piece:
    """A scene as it is.

    Raises:
        FaiglibError: a file cannot be read.
    """
    inputs = {file: read_image(file, warn=False) for file in scene.inputs.values()}
    return Piece(read_image(scene.ground_truth, warn=False), inputs)


def random_crop(scenes: Sequence[Scene], number: int, side: int) -> Piece:
    """A square at a random place of a random scene, cut along the pixels of the inputs.

    Args:
        scenes: from :func:`faiglib.command.scenes.scenes_of`.
        number: of the crop, which decides the place.
        side: pixels of ground truth.

    Raises:
        FaiglibError: a file cannot be read, or the side holds no pixel of an input.
    """
    generator = np.random.default_rng(number)
    scene = scenes[int(generator.integers(len(scenes)))]
    piece = whole(scene)
    height, width = next(iter(piece.inputs.values())).shape[-2:]
    scale = piece.ground_truth.shape[-1] // width
    low = min(side // scale, height, width)
    if low < 1:
        raise FaiglibError(f"a crop of {side} pixels holds no pixel of an input at scale {scale}; use a larger --crop")
    top, left = (int(generator.integers(full - low + 1)) for full in (height, width))

    def cut(image: Tensor, factor: int) -> Tensor:
        rows, columns = (slice(factor * start, factor * (start + low)) for start in (top, left))
        return image[..., rows, columns].contiguous()

    return Piece(cut(piece.ground_truth, scale), {file: cut(image, 1) for file, image in piece.inputs.items()})
