"""Rankings by FAIG, by what the paper compares it with, and by what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import Tensor

from faiglib.attribution import (
    contributions_along,
    faig,
    fisher,
    learned_masks,
    low_loss_waypoint,
    magnitude,
    taylor,
)
from faiglib.attribution.elimination import eliminate
from faiglib.attribution.learned_mask import SPARSITIES
from faiglib.companion import paper
from faiglib.companion.discovery import KINDS, Rankings, attributions, discover, pairs_of
from faiglib.companion.profiles import Profile
from faiglib.companion.workbench import Sample, Workbench
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks.zoo import Pair

#: Masks that are trained, by the sparsity of their stage; together they are the bound.
BOUND: Mapping[str, float] = {f"mask_{sparsity:g}": sparsity for sparsity in SPARSITIES}
#: Methods that have to train something, by far the most of the chapter's time.
TRAINED = ("detour", *BOUND)
#: All methods of the chapter: key, name in tables. The bound stands for its masks.
METHODS: Mapping[str, str] = {
    **paper.MASKED,
    "target_gradient": "gradient at the target",
    "both_ends": "gradients at both ends",
    "taylor": "Taylor |Σ θ·∂L/∂θ|",
    "fisher": "Fisher diagonal",
    "magnitude": "magnitude |θ|",
    "detour": "FAIG by a low-loss waypoint",
    "helpful": "FAIG, helpful filters alone",
    "bound": "learned masks (bound)",
}
#: Images of either degradation a step, when masks are trained.
MASK_BATCH = 2
#: How the gradients of the two rivals that are FAIG with fewer nodes are taken: rule and number.
FEW: Mapping[str, tuple[str, int]] = {"target_gradient": ("left", 1), "both_ends": ("trapezoid", 2)}


def gradients(profile: Profile, images: int) -> dict[str, float]:
    """Gradients that a method takes per image of either degradation, by method.

    Args:
        profile: the budget.
        images: how many filters are discovered from.
    """
    return {
        **dict.fromkeys((*paper.MASKED, "magnitude"), 0),
        **dict.fromkeys(("faig", "intinf", "helpful"), profile.nodes),
        **{method: nodes for method, (_, nodes) in FEW.items()},
        **dict.fromkeys(("taylor", "fisher"), 1),
        "detour": 2 * profile.nodes + profile.mask_steps / (2 * images),
        "bound": len(FUNCTIONS) * len(SPARSITIES) * profile.mask_steps * MASK_BATCH / images,
    }


def rankings(bench: Workbench, pair: Pair, image_set: str) -> Rankings:
    """Scores of all methods but those of :data:`TRAINED`, for both functions.

    ``signed`` are the contributions to the loss on the function's own input with their signs, nothing eliminated.
    The images and the quadrature are those that FAIG's filters are discovered with.
    """
    made = bench.store.tensors(
        "faithfulness/rankings", bench.key(pair, image_set, **_ways(bench)), partial(_made, bench, pair, image_set)
    )
    return Rankings({**discover(bench, pair, image_set).scores, **_scores(pair, made)})


def trained_rankings(bench: Workbench, pair: Pair, image_set: str) -> Rankings:
    """Scores of the methods of :data:`TRAINED`, for both functions, from the same images."""
    key = bench.key(pair, image_set, **_ways(bench), steps=bench.profile.mask_steps)
    made = bench.store.tensors("faithfulness/trained", key, partial(_trained, bench, pair, image_set))
    return Rankings(_scores(pair, made))


def _ways(bench: Workbench) -> dict[str, object]:
    """What every ranking depends on besides weights, images and seed."""
    profile = bench.profile
    return {
        "rule": profile.rule,
        "nodes": profile.nodes,
        "limit": profile.discovery_images,
        "crop": profile.discovery_crop,
    }


def _scores(pair: Pair, values: Mapping[str, Tensor]) -> dict[tuple[str, str], FilterScores]:
    """Scores by method and function, of values by ``method/function``."""
    index = FilterIndex.of(pair.target)
    found = {}
    for name, one in values.items():
        method, _, function = name.partition("/")
        found[method, function] = FilterScores(index, one)
    return found


def _samples(bench: Workbench, image_set: str) -> list[Sample]:
    return bench.samples(image_set, bench.profile.discovery_images, bench.profile.discovery_crop)


def _eliminated(method: str, by_input: Mapping[str, FilterScores]) -> dict[str, Tensor]:
    """The values of a method that ranks for every input, by ``method/function`` (paper, eq. 7)."""
    return {
        f"{method}/{function}": eliminate(by_input[own], by_input[other]).values
        for function, (own, other) in FUNCTIONS.items()
    }


def _made(bench: Workbench, pair: Pair, image_set: str) -> dict[str, Tensor]:
    """The values of what :func:`faiglib.companion.discovery.discover` does not rank by and nothing is trained for."""
    ends, raw = (pair.target, pair.baseline), attributions(bench, pair, image_set)
    images = {kind: pairs_of(_samples(bench, image_set), kind) for kind in KINDS}
    found: dict[str, Tensor] = {}
    for method, (rule, nodes) in FEW.items():
        few = {kind: faig(*ends, pairs, rule=rule, nodes=nodes) for kind, pairs in images.items()}
        found |= _eliminated(method, few)
    for method, score in (("taylor", taylor), ("fisher", fisher)):
        found |= _eliminated(method, {kind: score(pair.target, pairs) for kind, pairs in images.items()})
    helpful = {kind: _helpful(raw["faig", kind], raw["signed", kind]) for kind in KINDS}
    found |= _eliminated("helpful", helpful)
    for function, (own, _) in FUNCTIONS.items():
        found[f"signed/{function}"] = raw["signed", own].values
        found[f"magnitude/{function}"] = magnitude(pair.target).values
    return found


def _trained(bench: Workbench, pair: Pair, image_set: str) -> dict[str, Tensor]:
    """The values of the methods that train."""
    profile, ends = bench.profile, (pair.target, pair.baseline)
    label = f"{pair.title} seed {pair.seed}"
    images = {kind: pairs_of(_samples(bench, image_set), kind) for kind in KINDS}
    every = [image for kind in KINDS for image in images[kind]]
    middle = low_loss_waypoint(*ends, every, steps=profile.mask_steps, progress=f"waypoint: {label}")
    along = partial(contributions_along, (pair.target, middle, pair.baseline), rule=profile.rule, nodes=profile.nodes)
    detour = {kind: along(pairs, progress=f"detour, {kind}: {label}")[0] for kind, pairs in images.items()}
    found = _eliminated("detour", detour)
    for function, (own, other) in FUNCTIONS.items():
        masks = learned_masks(
            *ends,
            images[own],
            images[other],
            steps=profile.mask_steps,
            batch=MASK_BATCH,
            progress=f"masks for {function}: {label}",
        )
        found |= {f"{name}/{function}": masks[sparsity].values for name, sparsity in BOUND.items()}
    return found


def _helpful(scores: FilterScores, signed: FilterScores) -> FilterScores:
    """The scores of filters that lower the loss as a whole, and 0 for the others."""
    return FilterScores(scores.index, scores.values.where(signed.values > 0, scores.values.new_zeros(())))
