"""How much is computed: one table of budgets, chosen by one word.

``quick`` walks every path of every notebook in minutes (CI), ``standard`` measures everything with the shipped weights
on a laptop, ``paper`` spends what the paper spent and wants a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

from faiglib.attribution.quadrature import Rule
from faiglib.attribution.resamples import CROP_NODES
from faiglib.errors import FaiglibError


@dataclass(frozen=True)
class Profile:
    """A budget.

    Attributes:
        name: the word that chooses it.
        image_sets: sets to measure on, as far as they are on the machine; ``skimage`` stands in where none is.
        other_sets: sets that single chapters use besides (training images, a third test set).
        rule: quadrature rule of the path integrals.
        nodes: gradient evaluations per path integral.
        discovery_images: images per set from which filters are discovered; None is all.
        discovery_crop: side of their central crop in HR pixels; None is the whole image.
        evaluation_images: images per set on which masking is measured; None is all.
        evaluation_crop: side of their central crop in HR pixels; None is the whole image.
        percents: proportions of masked filters in the tables.
        curve_percents: proportions in the masking curves.
        curve_images: images per set for the curves.
        retraining_images: training images of a re-training; None is all.
        retraining_iterations: steps of a re-training.
        retraining_batch: patches per step.
        retraining_patch: side of a patch in HR pixels.
        interpolation_images: images of the test set on which λ is swept; None is all.
        ablation_images: images from which baselines and variants of FAIG are compared; None is all.
        ablation_crop: side of their central crop in HR pixels; None is the whole image.
        convergence_images: images whose path integrals are computed by every rule.
        convergence_crop: side of their central crop in HR pixels; None is the whole image.
        most_nodes: rules with up to so many nodes are tried, and two of a hundred steps, which others are held against.
        reference_nodes: Gauss-Legendre nodes of the integral that those are compared with.
        sampling_images: images among which it is measured how many are needed.
        sampling_crops: sides of their central crops in HR pixels, ascending, among which the same is measured.
        prediction_images: images per set whose degradation is predicted; None is all.
        prediction_crop: side of their central crop in HR pixels; None is the whole image.
        prediction_rule: quadrature rule of the path integral of a single image.
        prediction_nodes: its gradient evaluations.
        prediction_check_images: images on which more nodes are tried.
        exchanged_percents: proportions of filters that are deleted and inserted, from 0.1 to 100.
        control_draws: matched controls that a set of filters is held against.
        control_images: images on which that is done; None is all.
        control_trainings: the same for re-training.
        mask_steps: steps of each stage of a learned mask, and of a waypoint.
        seeds: how many of the shipped seeds are used; None is all.
        networks: of which; None is all.
    """

    name: str
    image_sets: tuple[str, ...]
    other_sets: tuple[str, ...]
    rule: Rule
    nodes: int
    discovery_images: int | None
    discovery_crop: int | None
    evaluation_images: int | None
    evaluation_crop: int | None
    percents: tuple[float, ...]
    curve_percents: tuple[float, ...]
    curve_images: int | None
    retraining_images: int | None
    retraining_iterations: int
    retraining_batch: int
    retraining_patch: int
    interpolation_images: int | None
    ablation_images: int | None
    ablation_crop: int | None
    convergence_images: int
    convergence_crop: int | None
    most_nodes: int
    reference_nodes: int
    sampling_images: int
    sampling_crops: tuple[int, ...]
    prediction_images: int | None
    prediction_crop: int | None
    prediction_rule: Rule
    prediction_nodes: int
    prediction_check_images: int
    exchanged_percents: tuple[float, ...]
    control_draws: int
    control_images: int | None
    control_trainings: int
    mask_steps: int
    seeds: int | None
    networks: tuple[str, ...] | None


_SWEEP = (0, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100)

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="quick",
            image_sets=("skimage", "set14"),
            other_sets=(),
            rule="midpoint",
            nodes=4,
            discovery_images=2,
            discovery_crop=48,
            evaluation_images=2,
            evaluation_crop=48,
            percents=(1, 5),
            curve_percents=(0, 1, 5, 20, 100),
            curve_images=1,
            retraining_images=4,
            retraining_iterations=3,
            retraining_batch=2,
            retraining_patch=32,
            interpolation_images=2,
            ablation_images=2,
            ablation_crop=48,
            convergence_images=1,
            convergence_crop=24,
            most_nodes=50,
            reference_nodes=24,
            sampling_images=2,
            sampling_crops=(24, 48),
            prediction_images=3,
            prediction_crop=48,
            prediction_rule="gauss-legendre",
            prediction_nodes=2,
            prediction_check_images=1,
            exchanged_percents=(0.1, 3, 100),
            control_draws=5,
            control_images=1,
            control_trainings=1,
            mask_steps=3,
            seeds=1,
            networks=("srcnn_style", "srresnet"),
        ),
        Profile(
            name="standard",
            image_sets=("set14", "bsd100"),
            other_sets=("bsd400", "kodak24"),
            rule="midpoint",
            nodes=CROP_NODES,
            discovery_images=10,
            discovery_crop=64,
            evaluation_images=10,
            evaluation_crop=80,
            percents=(1, 3, 5, 10),
            curve_percents=_SWEEP,
            curve_images=4,
            retraining_images=60,
            retraining_iterations=50,
            retraining_batch=4,
            retraining_patch=32,
            interpolation_images=10,
            ablation_images=3,
            ablation_crop=64,
            convergence_images=1,
            convergence_crop=36,
            most_nodes=100,
            reference_nodes=96,
            sampling_images=8,
            sampling_crops=(24, 48, 64),
            prediction_images=10,
            prediction_crop=64,
            prediction_rule="gauss-legendre",
            prediction_nodes=3,
            prediction_check_images=2,
            exchanged_percents=(0.1, 0.3, 1, 3, 10, 30, 100),
            control_draws=100,
            control_images=2,
            control_trainings=19,
            mask_steps=40,
            seeds=None,
            networks=None,
        ),
        Profile(
            name="paper",
            image_sets=("set14", "bsd100"),
            other_sets=("bsd400", "kodak24"),
            rule="left",
            nodes=100,
            discovery_images=None,
            discovery_crop=None,
            evaluation_images=None,
            evaluation_crop=None,
            percents=(1, 3, 5, 10),
            curve_percents=tuple(range(101)),
            curve_images=None,
            retraining_images=None,
            retraining_iterations=100_000,
            retraining_batch=16,
            retraining_patch=64,
            interpolation_images=None,
            ablation_images=None,
            ablation_crop=None,
            convergence_images=4,
            convergence_crop=None,
            most_nodes=200,
            reference_nodes=1000,
            sampling_images=14,
            sampling_crops=(48, 96, 192),
            prediction_images=None,
            prediction_crop=None,
            prediction_rule="left",
            prediction_nodes=100,
            prediction_check_images=2,
            exchanged_percents=(0.1, 0.3, 1, 3, 10, 30, 100),
            control_draws=100,
            control_images=None,
            control_trainings=99,
            mask_steps=1000,
            seeds=None,
            networks=None,
        ),
    )
}


def get(name: str) -> Profile:
    """The profile of that name.

    Raises:
        FaiglibError: there is none.
    """
    if name not in PROFILES:
        raise FaiglibError(f"unknown profile {name!r}; known: {', '.join(PROFILES)}")
    return PROFILES[name]
