"""Images of random pixels as files, and files as the library is said to read them, by other means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def write(path: Path, height: int, width: int, seed: int) -> Path:
    """A file of random RGB pixels, its folder made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def read(path: Path) -> Tensor:
    """(1, 3, H, W) in [0, 1]."""
    pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / np.float32(255)
    return torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())
