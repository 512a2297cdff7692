"""A training run in a folder, and its way into the shipped weights.

The folder holds ``state.safetensors`` (checkpoint), ``log.csv``, ``sessions.json`` (on what it was made, session by
session), ``snapshots/`` (the average on the way), ``weights.safetensors`` (result) and ``run.json`` (how it was made).
Running again with the same arguments continues an interrupted run and does nothing for a finished one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from faiglib.errors import TrainingError, WeightsError
from faiglib.images.datasets import ImageSet
from faiglib.networks import build, zoo
from faiglib.system.documents import DocumentError, FileName, Flat, conform, read_json
from faiglib.system.files import sha256_file, write_text_atomic
from faiglib.system.tensors import load_weights, read_metadata
from faiglib.training import snapshots
from faiglib.training.checkpoint import sessions
from faiglib.training.fabric import arithmetic, fabric_on
from faiglib.training.patches import large_enough
from faiglib.training.recipe import Recipe, paper_recipe
from faiglib.training.trainer import train
from faiglib.training.validation import validation_crops

if TYPE_CHECKING:
    from lightning_fabric import Fabric

#: Names of the profiles of training.
RECIPES = ("standard", "paper", "quick")

_QUICK = {"iterations": 20, "batch": 2, "patch": 32, "peak_lr": 2e-4}


@dataclass(frozen=True)
class Plan:
    """A training run to be made.

    Attributes:
        recipe: what to train.
        parent: name of the run whose weights it starts from, or None.
        data: name of the image set.
        data_digest: of the images, where they have to be these.
        precision: arithmetic in Fabric's words, or None for what suits the device.
        initial: weights to start from in place of the parent's.
    """

    recipe: Recipe
    parent: str | None = None
    data: str = "bsd400"
    data_digest: str | None = None
    precision: str | None = None
    initial: Path | None = None

    @property
    def name(self) -> str:
        """Name of the run and of its folder."""
        return zoo.name_of(self.recipe.network, self.recipe.role, self.recipe.seed)


def plan_of(profile: str, network: str, role: str, seed: int, models: Path | None = None) -> Plan:
    """How a profile trains a network.

    Args:
        profile: ``standard`` repeats the manifest of trained weights, ``paper`` is the paper's budget, ``quick`` a
            smoke test.
        network: registry name.
        role: what it is trained for.
        seed: one that the manifest does not list gets the recipe of the first one that it does.
        models: folder with the manifest that ``standard`` reads; the shipped one if not given.

    Raises:
        NetworkError: the network is unknown.
        TrainingError: the profile or the role is unknown.
        WeightsError: there is no manifest, or none that can be read.
    """
    build(network)
    parent = zoo.name_of(network, "baseline", seed) if role in zoo.TARGETS else None
    if profile == "paper" and role in ("baseline", *zoo.TARGETS):
        return Plan(paper_recipe(network, role, seed), parent)
    if profile == "quick":
        return Plan(Recipe(network, role, seed, **_QUICK), parent)  # type: ignore[arg-type]
    if profile == "standard":
        folder = zoo.models_dir(models)
        listed = [one for one in zoo.entries(folder) if (one.network, one.role) == (network, role)]
        for entry in listed:
            if entry.seed == seed:
                return _plan_from(entry)
        if listed:
            plan = _plan_from(listed[0])
            return replace(plan, recipe=replace(plan.recipe, seed=seed), parent=parent)
    raise TrainingError(f"there is no {profile!r} recipe for the role {role!r} of {network}")


def _plan_from(entry: zoo.Entry) -> Plan:
    """The plan that repeats a run of the manifest."""
    try:
        strange = {field.name for field in fields(Recipe)} ^ set(entry.recipe)
        if strange:
            raise DocumentError(f"{min(strange)} is unknown or missing")
        recipe = conform(entry.recipe, Recipe)
    except DocumentError as error:
        raise WeightsError(f"the manifest's recipe of {entry.file} is none: {error}") from None
    if (recipe.network, recipe.role, recipe.seed) != (entry.network, entry.role, entry.seed):
        raise WeightsError(
            f"the manifest's recipe of {entry.file} is that of {zoo.name_of(recipe.network, recipe.role, recipe.seed)}"
        )
    parent = Path(entry.parent).stem if entry.parent else None
    return Plan(recipe, parent, entry.data, entry.data_digest, entry.precision)


def plans_of(profile: str, network: str, roles: Sequence[str], seed: int, models: Path | None = None) -> list[Plan]:
    """The runs that train a network for some roles, or a target and the baseline under it if no role is given.

    Arguments and errors as for :func:`plan_of`.

    Raises:
        TrainingError: the target was trained from weights that are no run's.
    """
    if roles:
        return [plan_of(profile, network, role, seed, models) for role in roles]
    target = plan_of(profile, network, "target", seed, models)
    if target.parent is None:
        return [target]
    baseline = re.fullmatch(rf"{re.escape(network)}-baseline-seed([0-9]+)", target.parent)
    if baseline is None:
        raise TrainingError(
            f"{target.name} was trained from {target.parent}.safetensors, which is not the baseline of a seed; "
            "--role target --initial FILE trains from it"
        )
    return [plan_of(profile, network, "baseline", int(baseline[1]), models), target]


def with_overrides(recipe: Recipe, **values: Any) -> Recipe:
    """The recipe with every value that is not None replaced."""
    return replace(recipe, **{name: value for name, value in values.items() if value is not None})


def changed(plan: Plan, values: Mapping[str, Any], data: str | None) -> Plan:
    """A plan whose recipe has other values, where they are not None, and that trains on other images, if any are named.

    Raises:
        TrainingError: a value is out of its range.
    """
    plan = replace(plan, recipe=with_overrides(plan.recipe, **values))
    return plan if data is None else replace(plan, data=data, data_digest=None)


def in_order(chains: Iterable[Sequence[Plan]], initial: Path | None = None) -> list[Plan]:
    """The plans of several chains, each once: seeds may share a baseline.

    Args:
        chains: what is trained one after the other, from :func:`plans_of`.
        initial: weights that the first plan of every chain starts from.
    """
    found: dict[str, Plan] = {}
    for chain in chains:
        for number, plan in enumerate(chain):
            found.setdefault(plan.name, replace(plan, initial=initial) if number == 0 else plan)
    return list(found.values())


def carry_out(plan: Plan, image_set: ImageSet, out: Path, fabric: Fabric) -> Path:
    """Train by a plan in a folder beside that of its parent; see :func:`run`."""
    parent = out / plan.parent / "weights.safetensors" if plan.parent else None
    return run(plan.recipe, image_set, out / plan.name, initial=plan.initial or parent, fabric=fabric)


def run(
    recipe: Recipe,
    image_set: ImageSet,
    folder: Path,
    *,
    initial: Path | None = None,
    fabric: Fabric | None = None,
    progress: bool = True,
) -> Path:
    """Train by a recipe on an image set, or continue to, and describe the run in ``run.json``.

    The images of a run that is finished are not read.

    Args:
        recipe: what to train.
        image_set: ground-truth images.
        folder: of the run; one run a folder.
        initial: weights to start from.
        fabric: launched; decides device, precision and number of processes. One CPU process in float32 otherwise.
        progress: show a progress bar.

    Returns:
        The file of the trained weights.

    Raises:
        TrainingError: the folder cannot be created; and see :func:`faiglib.training.trainer.train`.
        WeightsError: the initial weights cannot be used.
    """
    fabric = fabric or fabric_on(torch.device("cpu"))
    weights = folder / "weights.safetensors"
    start = load_weights(initial) if initial else None
    asked = _asked(recipe, image_set, initial, fabric)
    if fabric.broadcast(_is_finished(folder, asked)):
        return weights
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"the folder {folder} of the run cannot be created: {error.strerror}") from None
    result = train(
        recipe,
        large_enough(image_set, recipe.patch),
        initial=start,
        run_dir=folder,
        validation=validation_crops(recipe.scale),
        fabric=fabric,
        log_every=max(10, recipe.iterations // 60),
        kept_steps=snapshots.steps(recipe.iterations),
        progress=progress,
    )
    if fabric.is_global_zero:
        made = {"processes": fabric.world_size, "seconds": round(result.seconds, 1), **_made_on(folder)}
        write_text_atomic(folder / "run.json", json.dumps(asked | made, indent=1) + "\n")
    fabric.barrier()  # the other processes may read the files from here on
    return weights


@dataclass(frozen=True)
class Description:
    """What ``run.json`` in the folder of a finished run says of it."""

    recipe: Recipe
    data: str
    data_digest: str
    precision: str
    parent: FileName | None
    seconds: float
    made_on: Flat
    continued_on: list[Flat] | None = None


def _asked(recipe: Recipe, image_set: ImageSet, initial: Path | None, fabric: Fabric) -> dict[str, Any]:
    """What is asked of a run, as ``run.json`` says it."""
    return {
        "recipe": asdict(recipe),
        "data": image_set.name,
        "data_digest": image_set.digest,
        "precision": arithmetic(fabric),
        "parent": _published_name(initial) if initial else None,
        "initial_sha256": sha256_file(initial) if initial else None,
    }


def _made_on(folder: Path) -> dict[str, Any]:
    """Provenance of the first session, and of the later ones that differ from all before them in more than the time."""
    made = [one["made_on"] for one in sessions(folder)]
    kinds: list[dict[str, Any]] = []
    for one in made:
        if one | {"time_utc": None} not in [kind | {"time_utc": None} for kind in kinds]:
            kinds.append(one)
    return {"made_on": kinds[0] if kinds else {}, "continued_on": kinds[1:] or None}


def _is_finished(folder: Path, asked: dict[str, Any]) -> bool:
    """Whether the folder holds the result of the very run that is asked for, trained to its end."""
    try:
        described = read_json(folder / "run.json", dict[str, Any])
        steps = read_metadata(folder / "state.safetensors")["step"]
        same = all(described.get(name) == value for name, value in asked.items())
    except (OSError, DocumentError, KeyError, WeightsError):
        return False
    return same and steps == str(asked["recipe"]["iterations"]) and (folder / "weights.safetensors").is_file()


def _published_name(weights: Path) -> str:
    """Name that weights have, or would have once published: runs are published under the name of their folder."""
    return f"{weights.parent.name}.safetensors" if weights.name == "weights.safetensors" else weights.name
