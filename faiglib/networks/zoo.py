"""The shipped weights: a folder of safetensors with a manifest that says how each of them was made.

In a checkout the folder is ``models/``, in an installed wheel ``faiglib/_models``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import AfterValidator, ConfigDict, Field
from torch import nn

from faiglib.errors import WeightsError
from faiglib.networks import NETWORKS, SCALES, TITLES, build
from faiglib.networks.weights import fit
from faiglib.system.documents import DocumentError, FileName, Flat, Sha256, read_json
from faiglib.system.files import sha256_file, write_text_atomic
from faiglib.system.tensors import State, halved, load_weights, save_weights

MANIFEST = "manifest.json"

#: Roles of fine-tuned networks: on the paper's blur and noise, and on JPEG besides.
TARGETS = ("target", "target_jpeg")


def _registered(network: str) -> str:
    if network not in NETWORKS:
        raise ValueError(f"no network is called {network[:60]!r}; known: {', '.join(NETWORKS)}")
    return network


def _complete(recipe: dict[str, Any]) -> dict[str, Any]:
    """What pages and :func:`load_pair` read of a recipe must be there, as numbers that a training can have."""
    for name in ("iterations", "batch", "patch", "scale"):
        number = recipe.get(name)
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name!r} is a number from 1 on")
    rate = recipe.get("peak_lr")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not isinstance(recipe.get("schedule"), str):
        raise ValueError("'peak_lr' is a number and 'schedule' a word")
    if recipe["scale"] not in SCALES:
        raise ValueError(f"the scale is one of {', '.join(map(str, SCALES))}")
    return recipe


Network = Annotated[str, AfterValidator(_registered)]
Decibels = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Entry:
    """One shipped weight file.

    Attributes:
        file: name in the folder.
        network: registry name.
        role: ``baseline``, or one of :data:`TARGETS`.
        seed: of the training run.
        parent: file whose weights the run started from, or None. Targets of several seeds may share one.
        recipe: the fields of :class:`faiglib.training.recipe.Recipe`.
        precision: arithmetic of the training run, in Fabric's words.
        data: name of the training set.
        data_digest: its digest.
        made_on: provenance of the run, taken before its first step.
        seconds: wall time of the run.
        psnr: dB by image set and input, whole images, 2-pixel border cropped.
        sha256: of the file.
        psnr_images: number of images that ``psnr`` is a mean over, by image set; None is all of each set.
        rounding: effect of half precision, see :func:`faiglib.training.publishing.rounding`; None where it was not
            recorded.
        parent_sha256: ``sha256`` of the parent's entry when this one was made, or None if there was none.
        barrier: of a target, depth in dB of the straight path to its parent on clean input (``psnr``, and
            ``psnr_level`` with the means of the channels put right), or None where it was not measured.
        continued_on: provenance of sessions that went on with the run under other circumstances, or None.
    """

    file: FileName
    network: Network
    role: Literal["baseline", "target", "target_jpeg"]
    seed: Annotated[int, Field(ge=0)]
    parent: FileName | None
    recipe: Annotated[Flat, AfterValidator(_complete)]
    precision: str
    data: str
    data_digest: str
    made_on: Flat
    seconds: float
    psnr: Decibels
    sha256: Sha256
    rounding: dict[str, float] | None = None
    psnr_images: dict[str, int] | None = None
    parent_sha256: Sha256 | None = None
    barrier: dict[str, float] | None = None
    continued_on: list[Flat] | None = None

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Manifest:
    """What the file :data:`MANIFEST` of a folder holds."""

    models: list[Entry]

    def __post_init__(self) -> None:
        """Refuse two entries of one name."""
        files = [entry.file for entry in self.models]
        twice = [file for file in files if files.count(file) > 1]
        if twice:
            raise ValueError(f"{twice[0]} is listed twice")


@dataclass(frozen=True, eq=False)
class Pair:
    """Baseline θ̄ and target θ of one training seed.

    Attributes:
        network: registry name.
        seed: of the target's training run; the baseline may be of another.
        baseline, target: in evaluation mode.
        digest: of both weight files.
        baseline_seed: of the baseline's training run; pairs with different ones share nothing.
    """

    network: str
    seed: int
    baseline: nn.Module
    target: nn.Module
    digest: str
    baseline_seed: int

    @property
    def title(self) -> str:
        """The network's name as printed."""
        return TITLES[self.network]


def models_dir(chosen: str | os.PathLike[str] | None = None) -> Path:
    """The folder of weights: the argument, else ``models/`` of the checkout, else the one inside the package.

    Raises:
        WeightsError: it has no manifest.
    """
    package = Path(__file__).parents[1]
    places = [Path(chosen)] if chosen else [package.parent / "models", package / "_models"]
    for place in places:
        if (place / MANIFEST).is_file():
            return place
    raise WeightsError(f"no {MANIFEST} of trained weights in {' or '.join(map(str, places))}")


def entries(folder: Path) -> list[Entry]:
    """The manifest of a folder.

    Raises:
        WeightsError: it cannot be read.
    """
    path = folder / MANIFEST
    try:
        return read_json(path, Manifest).models
    except (OSError, DocumentError) as error:
        raise WeightsError(f"the manifest {path} cannot be read: {error}") from None


def name_of(network: str, role: str, seed: int) -> str:
    """Name of a training run and of its weights, without ending."""
    return f"{network}-{role}-seed{seed}"


def find(folder: Path, network: str, role: str, seed: int) -> Entry:
    """One entry of the manifest.

    Raises:
        WeightsError: there is none.
    """
    for entry in entries(folder):
        if (entry.network, entry.role, entry.seed) == (network, role, seed):
            return entry
    raise WeightsError(f"{folder / MANIFEST} lists no {role} of {network} with seed {seed}")


def pairs_available(folder: Path) -> list[tuple[str, int]]:
    """(network, seed) of every complete pair on the paper's degradations, in the manifest's order."""
    listed = entries(folder)
    baselines = {(entry.file, entry.network) for entry in listed if entry.role == "baseline"}
    return [
        (entry.network, entry.seed)
        for entry in listed
        if entry.role == "target" and (entry.parent, entry.network) in baselines
    ]


def pair_entries(folder: Path, network: str, seed: int, role: str = "target") -> dict[str, Entry]:
    """Manifest entries of a pair: the target of that seed and role, and the baseline that it was trained from.

    Raises:
        WeightsError: the manifest lists no such target, or not its baseline, or another baseline under that name.
    """
    target = find(folder, network, role, seed)
    for entry in entries(folder):
        if (entry.file, entry.network, entry.role) == (target.parent, network, "baseline"):
            if target.parent_sha256 not in (None, entry.sha256):
                raise WeightsError(
                    f"{target.file} was not trained from the {entry.file} that {folder / MANIFEST} lists, but from an "
                    "earlier one; train and publish the target anew"
                )
            return {"baseline": entry, "target": target}
    raise WeightsError(f"{folder / MANIFEST} does not list {target.parent}, the baseline of {target.file}")


def load_entry(folder: Path, entry: Entry) -> State:
    """Weights of an entry as float32.

    Raises:
        WeightsError: the file is missing, or is not the one the manifest describes.
    """
    path = folder / entry.file
    if not path.is_file():
        raise WeightsError(f"weight file {path} does not exist, although the manifest lists it")
    if sha256_file(path) != entry.sha256:
        raise WeightsError(f"weight file {path} was changed: its sha256 is not the one in the manifest")
    return load_weights(path)


def load_pair(folder: Path, network: str, seed: int, device: torch.device | str = "cpu", role: str = "target") -> Pair:
    """Load the target of one seed and role, and its baseline, onto a device.

    Raises:
        WeightsError: see :func:`pair_entries` and :func:`load_entry`.
    """
    found = pair_entries(folder, network, seed, role)
    networks = {
        part: fit(
            build(network, scale=entry.recipe["scale"]),
            load_entry(folder, entry),
            f"weight file {entry.file}",
        )
        for part, entry in found.items()
    }
    for module in networks.values():
        module.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    digest = found["baseline"].sha256 + found["target"].sha256
    return Pair(network, seed, networks["baseline"], networks["target"], digest, found["baseline"].seed)


def add(folder: Path, state: State, description: Mapping[str, Any]) -> Entry:
    """Write weights into the folder and describe them in its manifest, replacing an entry of the same file.

    They are stored in half precision; the rounded weights are the model from then on.

    Args:
        folder: created if it does not exist.
        state: the weights.
        description: the fields of :class:`Entry` except ``file``, ``sha256`` and ``parent_sha256``.

    Raises:
        WeightsError: there is a manifest that cannot be read.
        StoreError: a file cannot be written.
    """
    known = entries(folder) if (folder / MANIFEST).is_file() else []
    file = f"{name_of(*(description[part] for part in ('network', 'role', 'seed')))}.safetensors"
    parent = next((one.sha256 for one in known if one.file == description["parent"]), None)
    save_weights(folder / file, halved(state), {"made_by": "faiglib"})
    entry = Entry(file=file, sha256=sha256_file(folder / file), parent_sha256=parent, **description)
    _write(folder, [*(one for one in known if one.file != file), entry])
    return entry


def _write(folder: Path, listed: list[Entry]) -> None:
    """Write the manifest of a folder, sorted."""
    models = [asdict(one) for one in sorted(listed, key=lambda one: (one.network, one.seed, one.role))]
    write_text_atomic(folder / MANIFEST, json.dumps({"models": models}, indent=1, ensure_ascii=False) + "\n")
