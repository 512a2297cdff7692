"""What the options of several commands share."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import torch
import typer

from faiglib.errors import DatasetError, FaiglibError
from faiglib.filters.index import Units
from faiglib.images import datasets, registry
from faiglib.networks import NETWORKS
from faiglib.training.fabric import fabric_on

if TYPE_CHECKING:
    from lightning_fabric import Fabric


#: Largest seed; the random generators take 64 bits, of which the step or image number needs the rest.
LARGEST_SEED = 2**31 - 1


def one_of(names: Iterable[str]) -> dict[str, Any]:
    """What makes an option accept one out of several values and list them in the help."""
    known = tuple(names)

    def parse(value: str) -> str:
        if value not in known:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(known)}.")
        return value

    return {"parser": parse, "metavar": "|".join(known)}


def number(least: float) -> dict[str, Any]:
    """What makes an option a finite number of at least ``least``."""

    def parse(value: str) -> float:
        found = float(value)
        if not (math.isfinite(found) and found >= least):
            raise typer.BadParameter(f"{value!r} is not a finite number of at least {least:g}.")
        return found

    return {"parser": parse, "metavar": "NUMBER"}


#: Largest limit of memory in GiB; more is a slip of the pen.
MOST_MEMORY = 2**20

NetworkOption = Annotated[str, typer.Option("--network", help="Architecture of the weights.", **one_of(NETWORKS))]
UnitsOption = Annotated[
    str,
    typer.Option(
        help="What is ranked: filters of Conv2d; channels, outputs of convolutions and rows of Linear; all, filters "
        "of any convolution and rows of Linear; or heads of attention.",
        **one_of(get_args(Units)),
    ),
]
ToldNetworkOption = Annotated[
    str | None,
    typer.Option("--network", help="Architecture of the weights; by default told from them.", **one_of(NETWORKS)),
]
ToldScaleOption = Annotated[
    int | None, typer.Option(help="Super-resolution factor; by default told from the weights, or 2 with --network.")
]
PeakOption = Annotated[
    float,
    typer.Option(
        help="Value of white that the networks work with: 255 for EDSR, RCAN and others.", **number(least=1e-6)
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
DevicesOption = Annotated[int, typer.Option(min=1, help="Processes; more than one on a CPU uses gloo.")]
ScaleOption = Annotated[int, typer.Option(help="Super-resolution factor: 2, 3 or 4.")]
BaselineOption = Annotated[Path, typer.Option(help="Weights of the baseline network (.safetensors or released .pth).")]
TargetOption = Annotated[Path, typer.Option(help="Weights of the target network (.safetensors or released .pth).")]
GroundTruthOption = Annotated[Path, typer.Option("--gt", help="Folder of ground-truth images.")]
MemoryOption = Annotated[
    float | None,
    typer.Option(help="GiB for the activations of one pass; larger images are cut into tiles, which gives the same."),
]
InputOption = Annotated[Path, typer.Option("--input", help="Folder of images.")]
OutputOption = Annotated[Path, typer.Option("--output", help="Folder for the results, PNG under the same names.")]


def bytes_of(gib: float | None) -> int | None:
    """A limit of memory in bytes.

    Raises:
        FaiglibError: it is not positive, no number, or larger than any memory.
    """
    if gib is not None and not 0 < gib <= MOST_MEMORY:
        raise FaiglibError(f"--memory is a positive number of GiB, at most {MOST_MEMORY:,}, not {gib:g}")
    return None if gib is None else max(1, int(gib * 2**30))


def say(text: str) -> None:
    """Print a line, with what would steer a terminal written out."""
    typer.echo(printable(text))


def printable(text: str) -> str:
    """Text in one line for a terminal: control characters, and what names from elsewhere hold of no encoding, escaped.

    Args:
        text: perhaps with names of files, which may hold anything.
    """
    return "".join(
        repr(letter)[1:-1] if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co") else letter for letter in text
    )


def several(device: torch.device, processes: int, precision: str | None = None, hosts: int = 1) -> Fabric:
    """A launched Fabric, of so many processes a host: from here on the command runs in every process.

    Raises:
        FaiglibError: the device is a single one.
    """
    if device.index is not None and processes > 1:
        raise FaiglibError(f"the device '{device}' is one, so that {processes} processes cannot use one each")
    fabric = fabric_on(device, processes, precision, hosts)
    fabric.launch()
    return fabric


def find_images(data: str, data_dir: Path | None) -> datasets.ImageSet:
    """The image set of that name, or the images of that folder.

    Raises:
        DatasetError: there is neither, or its images cannot be used.
    """
    if data in registry.NAMES:
        return datasets.find(data, data_dir)
    if not Path(data).exists():
        raise DatasetError(f"{data} is neither a folder nor one of the image sets {', '.join(registry.NAMES)}")
    return datasets.from_folder(data)
