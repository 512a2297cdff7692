"""Sums over images that outlive an interruption: a file in the folder of results, until these are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from faiglib.errors import FaiglibError, WeightsError
from faiglib.system.tensors import read_tensors, save_weights

PARTIAL = "partial.safetensors"


@dataclass
class Sums:
    """Sums so far.

    Attributes:
        file: where they are kept.
        identity: digest of all that they depend on.
        done: number of images.
        tensors: float64, by name.
        written: whether this process is the one that writes them.
    """

    file: Path
    identity: str
    done: int
    tensors: dict[str, Tensor]
    written: bool = True

    def save(self) -> None:
        """Keep them.

        Raises:
            StoreError: they cannot be written.
        """
        if self.written:
            save_weights(self.file, self.tensors, {"identity": self.identity, "done": json.dumps(self.done)})


def so_far(out: Path, identity: str, shapes: Mapping[str, tuple[int, ...]], overwrite: bool) -> Sums:
    """The sums of an interrupted run of the same work; zeros where there is none.

    Args:
        out: folder of results.
        identity: digest of all that the sums depend on.
        shapes: of the sums, by name.
        overwrite: throw those of other work away.

    Raises:
        FaiglibError: there are sums of other work.
    """
    path = out / PARTIAL
    try:
        tensors, metadata = read_tensors(path)
        done = int(metadata["done"])
        same = {name: tuple(one.shape) for name, one in tensors.items()} == dict(shapes)
        if metadata["identity"] == identity and same:
            return Sums(path, identity, done, tensors)
        if done and not overwrite:
            raise FaiglibError(
                f"{path} holds {done} images or crops of an unfinished run of other work (networks, inputs, images, "
                "rule, nodes, units, crops or versions differ); finish that one, choose another folder, or throw it "
                "away with --overwrite"
            )
    except (WeightsError, KeyError, TypeError, ValueError):
        pass
    return Sums(path, identity, 0, {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()})


def forget(out: Path) -> None:
    """Remove the sums, once the results are written."""
    (out / PARTIAL).unlink(missing_ok=True)
