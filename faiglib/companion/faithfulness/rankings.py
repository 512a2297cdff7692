"""Rankings by FAIG, by what the paper compares it with, and by what it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from faiglib.companion.discovery import KINDS, Rankings, discover, pairs_of
from faiglib.companion.profiles import Profile
from faiglib.companion.workbench import Sample, Workbench
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks.zoo import Pair

#: Masks that are trained, by the sparsity of their stage; together they are the bound.
BOUND: Mapping[str, float] = {f"mask_{sparsity:g}": sparsity for sparsity in SPARSITIES}
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
    """Scores of all methods, and of each mask of the bound, for both functions.

    ``signed`` are the contributions to the loss on the function's own input with their signs, nothing eliminated.
    The images and the quadrature are those that FAIG's filters are discovered with.
    """
    profile = bench.profile
    index = FilterIndex.of(pair.target)
    key = bench.key(
        pair,
        image_set,
        rule=profile.rule,
        nodes=profile.nodes,
        limit=profile.discovery_images,
        crop=profile.discovery_crop,
        steps=profile.mask_steps,
    )
    made = bench.store.tensors("faithfulness/rankings", key, partial(_made, bench, pair, image_set))
    scores = dict(discover(bench, pair, image_set).scores)
    for name, values in made.items():
        method, _, function = name.partition("/")
        scores[method, function] = FilterScores(index, values)
    return Rankings(scores)


def _made(bench: Workbench, pair: Pair, image_set: str) -> dict[str, Tensor]:
    """The values of what :func:`faiglib.companion.discovery.discover` does not rank by: {method/function: scores}."""
    samples = bench.samples(image_set, bench.profile.discovery_images, bench.profile.discovery_crop)
    label = f"{pair.title} seed {pair.seed}"
    by_method = dict(_by_input(bench.profile, pair, samples, label))
    signed = by_method.pop("signed")
    found = {
        f"{method}/{function}": eliminate(by_input[own], by_input[other]).values
        for method, by_input in by_method.items()
        for function, (own, other) in FUNCTIONS.items()
    }
    for function, (own, other) in FUNCTIONS.items():
        found[f"signed/{function}"] = signed[own].values
        masks = learned_masks(
            pair.target,
            pair.baseline,
            pairs_of(samples, own),
            pairs_of(samples, other),
            steps=bench.profile.mask_steps,
            batch=MASK_BATCH,
            progress=f"masks for {function}: {label}",
        )
        found |= {f"{name}/{function}": masks[sparsity].values for name, sparsity in BOUND.items()}
        found[f"magnitude/{function}"] = magnitude(pair.target).values
    return found


def _by_input(
    profile: Profile, pair: Pair, samples: list[Sample], label: str
) -> Iterator[tuple[str, dict[str, FilterScores]]]:
    """Methods that rank for every input, with their scores by input before elimination."""
    ends, images = (pair.target, pair.baseline), {kind: pairs_of(samples, kind) for kind in KINDS}
    for method, (rule, nodes) in FEW.items():
        yield method, {kind: faig(*ends, pairs, rule=rule, nodes=nodes) for kind, pairs in images.items()}
    yield "taylor", {kind: taylor(pair.target, pairs) for kind, pairs in images.items()}
    yield "fisher", {kind: fisher(pair.target, pairs) for kind, pairs in images.items()}
    along = partial(contributions_along, rule=profile.rule, nodes=profile.nodes)
    straight = {kind: along(ends, pairs, progress=f"signs, {kind}: {label}")[:2] for kind, pairs in images.items()}
    yield "signed", {kind: signed for kind, (_, signed) in straight.items()}
    yield "helpful", {kind: _helpful(*scores) for kind, scores in straight.items()}
    every = [image for kind in KINDS for image in images[kind]]
    middle = low_loss_waypoint(*ends, every, steps=profile.mask_steps, progress=f"waypoint: {label}")
    yield (
        "detour",
        {
            kind: along((pair.target, middle, pair.baseline), pairs, progress=f"detour, {kind}: {label}")[0]
            for kind, pairs in images.items()
        },
    )


def _helpful(scores: FilterScores, signed: FilterScores) -> FilterScores:
    """The scores of filters that lower the loss as a whole, and 0 for the others."""
    return FilterScores(scores.index, scores.values.where(signed.values > 0, scores.values.new_zeros(())))
