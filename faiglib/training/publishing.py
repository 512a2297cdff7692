"""The way of a finished training run into the shipped weights, with what it does to images measured on the way."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch

from faiglib.attribution import faig, path_profile
from faiglib.attribution.elimination import eliminate
from faiglib.errors import TrainingError
from faiglib.images.datasets import ImageSet
from faiglib.images.degradations import FUNCTIONS, INPUTS, noise_generator
from faiglib.images.metrics import psnr
from faiglib.images.restoration import restore
from faiglib.networks import build, zoo
from faiglib.networks.weights import fit
from faiglib.system.documents import DocumentError, parse_csv, read_json, read_text
from faiglib.system.files import write_text_atomic
from faiglib.system.tensors import State, halved, load_weights
from faiglib.training import milestones, rows, trajectories
from faiglib.training.recipe import Recipe
from faiglib.training.runs import Description
from faiglib.training.validation import JUDGED, validation_crops

#: Largest change of PSNR by half precision with which weights are published, in dB.
LARGEST_ROUNDING = 0.005

#: Least share of the top 1 % filters that has to stay in half precision, for deblurring and for denoising.
LEAST_OVERLAP = 0.99

#: Side of the crops on which that is measured, in ground-truth pixels.
ROUNDING_CROP = 64


@torch.no_grad()
def measured_psnr(
    network: torch.nn.Module, image_set: ImageSet, scale: int = 2, limit: int | None = None
) -> dict[str, float]:
    """Mean PSNR in dB over whole images by judged input; RGB, 8-bit outputs, 2-pixel border, noise seed 0."""
    device = next(network.parameters()).device
    total = dict.fromkeys(JUDGED, 0.0)
    count = 0
    for number, (_, image) in enumerate(image_set.load(limit)):
        for kind in JUDGED:
            low = replace(INPUTS[kind], scale=scale)(image, noise_generator(0, number)).to(device)
            restored = restore(network, low)
            total[kind] += float(psnr(restored, image.to(device)))
        count += 1
    return {kind: round(value / count, 4) for kind, value in total.items()}


def publish(folder: Path, models: Path, image_sets: list[ImageSet], limit: int | None = None) -> zoo.Entry:
    """Put the result of a finished run among the shipped weights, with its measured PSNR.

    Args:
        folder: of the run.
        models: folder of weights with a manifest.
        image_sets: what to measure on.
        limit: images per set, evenly spaced; None is all.

    Raises:
        TrainingError: the run is not finished, is of a role that no pair has, is not described as
            :func:`faiglib.training.runs.run` does, started from weights that are gone, half precision changes what its
            network does or which filters are at the top, or a snapshot is missing or of another run.
        WeightsError: its weights cannot be read.
    """
    try:
        described = read_json(folder / "run.json", Description)
        log = read_text(folder / "log.csv")
        parse_csv(log)
        recipe = described.recipe
        kept = ("parent", "seconds", "precision", "data", "data_digest", "made_on", "continued_on")
        details = {name: getattr(described, name) for name in kept}
    except OSError as error:
        raise TrainingError(f"{folder} holds no finished training run: there is no {error.filename}") from None
    except DocumentError as error:
        raise TrainingError(
            f"{folder / 'run.json'} does not describe a training run, or log.csv beside it is no log: {error}"
        ) from None
    if recipe.role not in ("baseline", *zoo.TARGETS):
        raise TrainingError(f"{folder} is a run of the role {recipe.role}, of which no weights are published")
    full = load_weights(folder / "weights.safetensors")
    half = _as_halves_hold(full)
    network = fit(build(recipe.network, scale=recipe.scale), half, f"the weights of {folder}")
    parent = _parent_of(details["parent"], folder, models) if recipe.role in zoo.TARGETS else None
    effect = rounding(recipe, full, parent)
    _require_harmless(effect, folder)
    cut = {one.name: limit for one in image_sets if limit is not None and limit < len(one)}
    quality = {one.name: measured_psnr(network, one, recipe.scale, limit) for one in image_sets}
    if parent is not None and recipe.role == "target":
        for part in (milestones, trajectories):
            if found := part.of_run(folder, recipe, half, _as_halves_hold(parent)):
                write_text_atomic(part.path_of(models, recipe.network, recipe.seed), rows.as_csv(found))
    write_text_atomic(models / "logs" / f"{zoo.name_of(recipe.network, recipe.role, recipe.seed)}.csv", log)
    return zoo.add(
        models,
        half,
        {
            "network": recipe.network,
            "role": recipe.role,
            "seed": recipe.seed,
            "recipe": asdict(recipe),
            "psnr": quality,
            "psnr_images": cut or None,
            "rounding": effect,
            "barrier": None if parent is None else barrier(recipe, half, _as_halves_hold(parent)),
            **details,
        },
    )


def barrier(recipe: Recipe, target: State, baseline: State) -> dict[str, float]:
    """How deep the straight path between two states falls on clean input, on the small validation crops.

    Args:
        recipe: of the target.
        target: its weights.
        baseline: the weights that it was trained from.

    Returns:
        ``psnr`` and ``psnr_level`` in dB, see :class:`faiglib.attribution.path_profile.PathProfile`.
    """
    low, truth = validation_crops(recipe.scale)["clean"]
    first, last = (
        fit(build(recipe.network, scale=recipe.scale), state, "a file of weights") for state in (target, baseline)
    )
    profile = path_profile(first, last, zip(low.split(1), truth.split(1), strict=True))
    return {"psnr": round(profile.barrier, 3), "psnr_level": round(profile.barrier_level, 3)}


def _parent_of(parent: str | None, folder: Path, models: Path) -> State | None:
    """Weights that a run started from, if from any: those of the run beside it, else those among the models."""
    if parent is None:
        return None
    for place in (folder.parent / Path(parent).stem / "weights.safetensors", models / parent):
        if place.is_file():
            return load_weights(place)
    raise TrainingError(
        f"the run {folder} started from {parent}, which is neither beside it nor in {models}, so that its path from "
        "there cannot be examined"
    )


def _require_harmless(effect: Mapping[str, float], folder: Path) -> None:
    """Refuse an effect of half precision, as :func:`rounding` returns it, that is not negligible."""
    if not effect["psnr"] <= LARGEST_ROUNDING:
        raise TrainingError(
            f"the weights of {folder} cannot be kept in half precision: it changes PSNR by {effect['psnr']:.3f} dB"
        )
    for function in FUNCTIONS:
        overlap = effect.get(f"overlap_{function}", 1.0)
        if not overlap >= LEAST_OVERLAP:
            raise TrainingError(
                f"the weights of {folder} cannot be kept in half precision: only {overlap:.1%} of the top 1 % "
                f"{function} filters stay"
            )


def _as_halves_hold(state: State) -> State:
    """The weights as half precision holds them, as single precision."""
    return {name: value.float() for name, value in halved(state).items()}


def rounding(recipe: Recipe, weights: State, parent: State | None) -> dict[str, float]:
    """What half precision changes, on small validation crops.

    Args:
        recipe: of the run.
        weights: as trained, in single precision.
        parent: weights that the run started from.

    Returns:
        ``psnr``, the largest change of mean PSNR over the judged inputs in dB; with a parent also
        ``overlap_deblurring`` and ``overlap_denoising``, the share of the top 1 % filters by FAIG that stays.
    """
    crops = validation_crops(recipe.scale, ROUNDING_CROP)

    def both(state: State) -> list[torch.nn.Module]:
        """The network in single and in half precision."""
        return [
            fit(build(recipe.network, scale=recipe.scale), kept, "a file of weights")
            for kept in (state, _as_halves_hold(state))
        ]

    targets = both(weights)
    quality = [
        {kind: float(psnr(restore(target, low), truth).mean()) for kind, (low, truth) in crops.items()}
        for target in targets
    ]
    effect = {"psnr": max(abs(quality[0][kind] - quality[1][kind]) for kind in crops)}
    if parent is not None:
        images = {
            kind: [(low[None], truth[None]) for low, truth in zip(*crops[kind], strict=True)]
            for kind in ("blurry", "noisy")
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what no filter holds does not matter to a comparison
            scores = [
                {kind: faig(*ends, pairs) for kind, pairs in images.items()}
                for ends in zip(targets, both(parent), strict=True)
            ]
        for function, (own, other) in FUNCTIONS.items():
            best = [eliminate(one[own], one[other]).top(1) for one in scores]
            effect[f"overlap_{function}"] = best[0].overlap(best[1])
    return {name: round(value, 5) for name, value in effect.items()}
