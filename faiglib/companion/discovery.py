"""Ranking the filters of a trained pair by the four methods of the paper, for both degradations at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from faiglib.attribution import (
    contributions_along,
    faig,
    filter_change,
    intinf,
    path_integral,
    per_image,
    random_scores,
)
from faiglib.attribution.elimination import eliminate
from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE
from faiglib.attribution.quadrature import Rule
from faiglib.companion import paper
from faiglib.companion.workbench import Sample, Workbench
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores, FilterSet, top_of
from faiglib.images.degradations import FUNCTIONS, INPUTS
from faiglib.networks import build
from faiglib.networks.zoo import Pair


@dataclass(frozen=True)
class Rankings:
    """Scores by method and function.

    Attributes:
        scores: {(method, function): scores}; method is a key of :data:`faiglib.companion.paper.MASKED`, function of
            :data:`faiglib.images.degradations.FUNCTIONS`.
    """

    scores: Mapping[tuple[str, str], FilterScores]
    _orders: dict[tuple[str, str], Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def top(self, method: str, function: str, percent: float) -> FilterSet:
        """The ``percent`` % filters that a method ranks highest for a function, which are ranked once."""
        scores = self.scores[method, function]
        if (method, function) not in self._orders:
            self._orders[method, function] = scores.ranking()
        return top_of(scores.index, self._orders[method, function], percent)


def discover(bench: Workbench, pair: Pair, image_set: str) -> Rankings:
    """Rank all filters of a pair on an image set by FAIG, IG, |θ − θ̄| (absolute and relative) and at random.

    FAIG of blurry and of noisy inputs are computed once each and subtracted both ways (paper, eq. 7); IG ranks each
    degradation by itself; the other two do not look at images. Path integrals are taken from the store when they are
    there.
    """
    raw = attributions(bench, pair, image_set)
    index = FilterIndex.of(pair.target)
    change, relative = (filter_change(pair.target, pair.baseline, one) for one in ("as_published", "as_released"))
    chance = {
        function: random_scores(index, 1000 * bench.seed + 10 * pair.seed + number)
        for number, function in enumerate(FUNCTIONS)
    }
    scores: dict[tuple[str, str], FilterScores] = {}
    for function, (own, other) in FUNCTIONS.items():
        scores["faig", function] = eliminate(raw["faig", own], raw["faig", other])
        scores["intinf", function] = raw["intinf", own]
        scores["filter_change", function] = change
        scores[paper.RELATIVE_CHANGE, function] = relative
        scores["random", function] = chance[function]
    return Rankings(scores)


def attributions(bench: Workbench, pair: Pair, image_set: str) -> dict[tuple[str, str], FilterScores]:
    """FAIG and IG of every filter by input, before any elimination: {(method, input): scores}.

    ``signed`` are the contributions that FAIG adds up the sizes of, with their signs: positive where the target's
    filter lowers the loss.
    """
    profile = bench.profile
    limit, crop = profile.discovery_images, profile.discovery_crop
    kinds = [own for own, _ in FUNCTIONS.values()]

    def compute() -> dict[str, FilterScores]:
        samples = bench.samples(image_set, limit, crop)
        results = {}
        for kind in kinds:
            label = f"{pair.title} seed {pair.seed}, {bench.image_set(image_set).title}, {kind}"
            results[f"faig/{kind}"], results[f"signed/{kind}"], _ = contributions_along(
                (pair.target, pair.baseline),
                pairs_of(samples, kind),
                rule=profile.rule,
                nodes=profile.nodes,
                progress=f"FAIG: {label}",
            )
            results[f"intinf/{kind}"] = intinf(
                pair.target,
                [(sample.inputs["clean"], sample.inputs[kind]) for sample in samples],
                rule=profile.rule,
                nodes=profile.nodes,
                progress=f"IG: {label}",
            )
        return results

    key = bench.key(pair, image_set, rule=profile.rule, nodes=profile.nodes, limit=limit, crop=crop, kinds=kinds)
    stored = bench.store.tensors(
        "attributions", key, lambda: {name: scores.values for name, scores in compute().items()}
    )
    index = FilterIndex.of(pair.target)
    return {
        (method, kind): FilterScores(index, stored[f"{method}/{kind}"])
        for method in ("faig", "signed", "intinf")
        for kind in kinds
    }


def pairs_of(samples: Sequence[Sample], kind: str) -> list[tuple[Tensor, Tensor]]:
    """(network input, ground truth) of every sample for one kind of input."""
    return [(sample.inputs[kind], sample.ground_truth) for sample in samples]


def scores_by_image(
    pair: Pair, scenes: Sequence[tuple[Tensor, Tensor]], rule: Rule, nodes: int, progress: str
) -> Tensor:
    """FAIG of every filter on each image by itself: (images, filters) float64 on the CPU."""

    def values_of(scene: tuple[Tensor, Tensor]) -> Tensor:
        return faig(pair.target, pair.baseline, [scene], rule=rule, nodes=nodes).values

    return torch.stack(list(per_image(scenes, values_of, progress)))


#: Inputs that the masking tables look at, and the function whose filters are masked for each.
OWN_FUNCTION = {own: function for function, (own, _) in FUNCTIONS.items()}
KINDS = tuple(OWN_FUNCTION)

#: Baselines θ̄ by the paper's subscripts: the trained one, a freshly initialised network, all parameters zero.
BASELINES = ("bilinear", "random", "zero")


def baseline_network(bench: Workbench, pair: Pair, name: str) -> nn.Module:
    """The baseline θ̄ of that name (see :data:`BASELINES`), of the pair's architecture, on its device.

    The random network's seed follows from the workbench's and the pair's.

    Raises:
        ValueError: there is no such baseline.
    """
    if name == "bilinear":
        return pair.baseline
    if name == "random":
        seed = 1000 * bench.seed + 10 * pair.seed + 7
        fresh = build(pair.network, seed=seed, scale=INPUTS["clean"].scale)
        return fresh.to(bench.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if name == "zero":
        empty = copy.deepcopy(pair.baseline)
        with torch.no_grad():
            for parameter in empty.parameters():
                parameter.zero_()
        return empty
    raise ValueError(f"baseline must be one of {', '.join(BASELINES)}, not {name!r}")


@dataclass(frozen=True, eq=False)
class ImageScores:
    """FAIG of single images, nothing eliminated.

    Attributes:
        index: of the network.
        values: {input: (images, filters) float64}.
        errors: {input: (images,) float64}, relative completeness error: (sum of all contributions − change of the
            loss) ÷ change of the loss.
    """

    index: FilterIndex
    values: dict[str, Tensor]
    errors: dict[str, Tensor]

    def of(self, function: str, images: Tensor | None = None) -> FilterScores:
        """Scores of a function after elimination (paper, eq. 7), averaged over some images (default: all).

        Args:
            function: key of :data:`faiglib.images.degradations.FUNCTIONS`.
            images: their numbers, (n,) int64.
        """
        difference = eliminate(*(self.values[kind] for kind in FUNCTIONS[function]))
        return FilterScores(self.index, (difference if images is None else difference[images]).mean(0))


def ablation_scores(
    bench: Workbench, pair: Pair, baseline: str = "bilinear", kinds: tuple[str, ...] = KINDS
) -> ImageScores:
    """FAIG of every filter on every ablation image of the test set, one image at a time.

    Args:
        bench: where things are; its profile's ``ablation_images``, ``ablation_crop``, ``rule`` and ``nodes`` are used.
        pair: the target, and the ``bilinear`` baseline.
        baseline: where the path ends.
        kinds: inputs.
    """
    profile = bench.profile
    index = FilterIndex.of(pair.target)
    values, errors = {}, {}
    for kind in kinds:

        def compute(kind: str = kind) -> dict[str, Tensor]:
            samples = bench.samples(bench.test_set, profile.ablation_images, profile.ablation_crop)
            end = baseline_network(bench, pair, baseline)
            label = f"FAIG towards θ̄_{baseline}: {pair.title} seed {pair.seed}, {kind}"

            def values_of(scene: tuple[Tensor, Tensor]) -> Tensor:
                integral = path_integral(pair.target, end, *scene, rule=profile.rule, nodes=profile.nodes)
                missed = integral.convergence_delta / (integral.loss_at_baseline - integral.loss_at_target)
                scores = index.gather(integral.contributions).cpu()
                return torch.cat([scores, scores.new_tensor([missed])])

            found = torch.stack(list(per_image(pairs_of(samples, kind), values_of, label)))
            return {"scores": found[:, :-1].contiguous(), "errors": found[:, -1].contiguous()}

        key = bench.key(
            pair,
            bench.test_set,
            baseline=baseline,
            kind=kind,
            rule=profile.rule,
            nodes=profile.nodes,
            limit=profile.ablation_images,
            crop=profile.ablation_crop,
        )
        stored = bench.store.tensors("baseline_ablation/scores", key, compute)
        values[kind], errors[kind] = stored["scores"], stored["errors"]
    return ImageScores(index, values, errors)


#: (rule, nodes) of the library and of the released code.
DEFAULT = (str(DEFAULT_RULE), DEFAULT_NODES)
RELEASED = ("left", 100)

#: Difference of overlaps that counts as none: three of SRResNet's 1,519 filters.
TOLERANCE = 0.002
