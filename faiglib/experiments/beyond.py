"""What the paper does not ask: has the integral converged, do the released variants matter, is the ranking stable?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor
from tqdm import tqdm

from faiglib import paper
from faiglib.attribution import faig, filter_change, quadrature
from faiglib.attribution.faig import DEFAULT_NODES, DEFAULT_RULE, ParameterPath, squared_error
from faiglib.attribution.paths import Quadrature
from faiglib.experiments.baseline_ablation import image_scores
from faiglib.experiments.discovery import FUNCTIONS, discover, pairs_of
from faiglib.experiments.masking import KINDS, Mask, measure, own_drops
from faiglib.experiments.workbench import Sample, Workbench
from faiglib.filters import FilterIndex, FilterScores
from faiglib.zoo import Pair

#: Proportion of filters (%) whose choice is compared.
PERCENT = 1.0

_EQUIDISTANT = (1, 2, 4, 5, 8, 10, 16, 20, 25, 50, 100, 200)

#: Numbers of nodes by rule. The trapezoid rule has one more than the others for the same steps. Most positions are
#: shared: 273 gradients serve all of them, 177 those of up to 100 nodes.
NODES: dict[str, tuple[int, ...]] = {
    "left": _EQUIDISTANT,
    "right": _EQUIDISTANT,
    "trapezoid": tuple(count + 1 for count in _EQUIDISTANT),
    "midpoint": (1, 2, 4, 5, 8, 10, 16, 25, 50, 100),
    "gauss-legendre": (1, 2, 4, 6, 8, 12, 16),
}

#: (rule, nodes) of the library and of the released code.
DEFAULT = (str(DEFAULT_RULE), DEFAULT_NODES)
RELEASED = ("left", 100)

#: (rule, nodes) of the best resolved equidistant rule.
FINEST = ("trapezoid", 101)

#: Midpoint nodes of the path integrals of :func:`sampling`: their error is small beside that of few images.
SAMPLING_NODES = 8

#: Difference of overlaps that counts as none: three of SRResNet's 1,519 filters.
TOLERANCE = 0.002


@dataclass(frozen=True, eq=False)
class Integrals:
    """∫₀¹ ∂L/∂γ(α) dα of one image by several rules, and ∫₀¹ |∂L/∂γ(α)| dα by one of them.

    Attributes:
        signed: by rule, one tensor per parameter of the path.
        absolute: one tensor per parameter of the path.
        change: L(θ̄, x) − L(θ, x).
    """

    signed: list[list[Tensor]]
    absolute: list[Tensor]
    change: float


def integrate_rules(
    path: ParameterPath,
    inputs: Tensor,
    ground_truth: Tensor,
    rules: Sequence[Quadrature],
    absolute: Quadrature,
    progress: str | None = None,
) -> Integrals:
    """Integrate the gradient of one image by many rules at once; a position that rules share is evaluated once.

    Args:
        path: from target to baseline.
        inputs: (1, 3, h, w).
        ground_truth: (1, 3, H, W).
        rules: for the signed integrals.
        absolute: for the integral of the absolute value.
        progress: label of a progress bar over gradients; none without it.
    """
    uses: dict[float, list[tuple[int, float]]] = {}
    for number, rule in enumerate((*rules, absolute)):
        for alpha, weight in zip(rule.nodes, rule.weights, strict=True):
            uses.setdefault(alpha, []).append((number, weight))
    totals = [[torch.zeros_like(parameter) for parameter in path.parameters] for _ in range(len(rules) + 1)]
    for alpha, users in tqdm(sorted(uses.items()), desc=progress, unit="gradient", disable=progress is None):
        loss = squared_error(path.move_to(alpha)(inputs), ground_truth)
        gradients = torch.autograd.grad(loss, path.parameters, allow_unused=True, materialize_grads=True)
        for number, weight in users:
            values = gradients if number < len(rules) else torch._foreach_abs(gradients)
            torch._foreach_add_(totals[number], values, alpha=weight)
    change = path.loss(1.0, inputs, ground_truth) - path.loss(0.0, inputs, ground_truth)
    return Integrals(totals[:-1], totals[-1], change)


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's rank correlation of two (n,) tensors; equal values share their mean rank."""
    ranks = [rankdata(values.numpy()) for values in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1])


def top_overlap(first: FilterScores, second: FilterScores, percent: float = PERCENT) -> float:
    """Share of the top ``percent`` % that two rankings have in common."""
    return first.top(percent).overlap(second.top(percent))


def convergence(bench: Workbench) -> pd.DataFrame:
    """Every rule and number of nodes of :data:`NODES` against a many-node Gauss-Legendre reference.

    The rankings are FAIG with elimination on the profile's ``convergence_images`` of the test set. With one image
    nothing averages out, which is the hard case.

    Returns:
        One row per ``network``, ``seed``, ``rule``, ``nodes`` and ``filters``: ``overlap`` (of the top 1 % with the
        reference's, 0 to 1), ``spearman`` (of all filters with the reference's ranks), ``error_percent`` (mean over
        images of the absolute completeness error on the function's own input, in percent of the change of the loss),
        ``reference`` (whether the row is the reference itself).
    """
    rows = []
    for pair, stored in bench.over_pairs(lambda pair: (pair, _integrals(bench, pair))):
        for number, (rule, count) in enumerate(_configurations(bench)):
            for column, function in enumerate(FUNCTIONS):
                rows.append(
                    {
                        "network": pair.network,
                        "seed": pair.seed,
                        "rule": rule,
                        "nodes": count,
                        "filters": function,
                        "overlap": float(stored["overlap"][number, column]),
                        "spearman": float(stored["spearman"][number, column]),
                        "error_percent": 100 * float(stored["error"][number, column]),
                        "reference": number == 0,
                    }
                )
    return pd.DataFrame(rows)


def integral_scores(bench: Workbench, pair: Pair) -> dict[tuple[str, str], FilterScores]:
    """FAIG with elimination on the convergence images, integrated in four ways: {(way, function): scores}.

    Ways: ``reference`` (many nodes), ``default`` (the library's rule), ``released`` (left, 100 nodes), ``before`` (the
    library's rule, absolute value of each weight before the integration).
    """
    stored = _integrals(bench, pair)
    index = FilterIndex.of(pair.target)
    return {
        (way, function): FilterScores(index, stored[f"{way}/{own}"] - stored[f"{way}/{other}"])
        for way in ("reference", "default", "released", "before")
        for function, (own, other) in FUNCTIONS.items()
    }


def _configurations(bench: Workbench) -> list[tuple[str, int]]:
    """(rule, nodes) of all integrals; the reference comes first."""
    reference = ("gauss-legendre", bench.profile.reference_nodes)
    most = bench.profile.most_nodes
    return [
        reference,
        *((rule, count) for rule, counts in NODES.items() for count in counts if count <= most + (rule == "trapezoid")),
    ]


def _integrals(bench: Workbench, pair: Pair) -> dict[str, Tensor]:
    """What :func:`convergence` and :func:`integral_scores` need, from the store.

    Returns:
        ``overlap``, ``spearman``, ``error``: (configurations, functions) float64; ``WAY/INPUT``: (filters,) float64.
    """
    profile = bench.profile
    configurations = _configurations(bench)
    limit, crop = profile.convergence_images, profile.convergence_crop

    def compute() -> dict[str, Tensor]:
        path = ParameterPath(pair.target, pair.baseline)
        samples = bench.samples(bench.test_set, limit, crop)
        rules = [quadrature(*configuration) for configuration in configurations]
        scores = {kind: torch.zeros(len(rules) + 1, path.index.total, dtype=torch.float64) for kind in KINDS}
        errors = {kind: torch.zeros(len(rules), dtype=torch.float64) for kind in KINDS}
        for kind in KINDS:
            for sample in samples:
                label = f"all rules: {pair.title} seed {pair.seed}, {sample.name}, {kind}"
                one, missed = _all_scores(path, sample, kind, rules, label)
                scores[kind] += one / len(samples)
                errors[kind] += missed / len(samples)
        result = compare_with_first(path.index, scores, errors)
        places = {
            "reference": 0,
            "default": configurations.index(DEFAULT),
            "released": configurations.index(RELEASED),
            "before": len(rules),
        }
        return result | {f"{way}/{kind}": scores[kind][place] for way, place in places.items() for kind in KINDS}

    key = bench.key(pair, bench.test_set, configurations=configurations, default=DEFAULT, limit=limit, crop=crop)
    return bench.store.tensors("beyond/integrals", key, compute)


def _all_scores(
    path: ParameterPath, sample: Sample, kind: str, rules: Sequence[Quadrature], label: str
) -> tuple[Tensor, Tensor]:
    """FAIG by every rule, then with the absolute value first, (rules + 1, filters); completeness errors (rules,)."""
    integrals = integrate_rules(
        path, sample.inputs[kind], sample.ground_truth, rules, quadrature(*DEFAULT), progress=label
    )
    scores, errors = [], []
    for gradients in (*integrals.signed, integrals.absolute):
        contributions = [gradient * step for gradient, step in zip(gradients, path.direction, strict=True)]
        scores.append(path.index.gather(dict(zip(path.names, contributions, strict=True))).cpu())
        total = sum(float(one.double().sum()) for one in contributions)
        errors.append(abs(total - integrals.change) / abs(integrals.change))
    return torch.stack(scores), torch.tensor(errors[:-1], dtype=torch.float64)


def compare_with_first(
    index: FilterIndex, scores: Mapping[str, Tensor], errors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Overlap, rank correlation and error of every integral for every function, the first being the reference.

    Args:
        index: of the network.
        scores: {input: (at least as many as errors, filters)}.
        errors: {input: (integrals,)}, completeness errors.

    Returns:
        ``overlap``, ``spearman``, ``error``: (integrals, functions) float64.
    """
    table: dict[str, list[list[float]]] = {"overlap": [], "spearman": [], "error": []}
    for number in range(len(errors[KINDS[0]])):
        line: dict[str, list[float]] = {name: [] for name in table}
        for own, other in FUNCTIONS.values():
            reference, values = (scores[own][place] - scores[other][place] for place in (0, number))
            line["overlap"].append(top_overlap(FilterScores(index, values), FilterScores(index, reference)))
            # Scores for the two functions are each other's negative, so that the second correlation is the first.
            line["spearman"].append(line["spearman"][0] if line["spearman"] else rank_correlation(values, reference))
            line["error"].append(float(errors[own][number]))
        for name, values_of_line in line.items():
            table[name].append(values_of_line)
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in table.items()}


def nodes_needed(table: pd.DataFrame) -> pd.DataFrame:
    """For each rule the fewest nodes that choose the top 1 % at least as faithfully as the released rule.

    Args:
        table: from :func:`convergence`.

    Returns:
        One row per rule: ``rule``, ``nodes`` (NaN where none of those tried does), ``overlap`` with the reference (mean
        over networks, seeds and functions), ``spearman``, ``error_percent``.
    """
    tried = table[~table["reference"]]
    means = tried.groupby(["rule", "nodes"], sort=False)[["overlap", "spearman", "error_percent"]].mean()
    least = means.loc[RELEASED, "overlap"] - TOLERANCE
    rows = []
    for rule in NODES:
        enough = means.loc[rule]
        enough = enough[enough["overlap"] >= least].sort_index()
        row = enough.iloc[0].to_dict() if len(enough) else {}
        rows.append({"rule": rule, "nodes": float(enough.index[0]) if len(enough) else float("nan"), **row})
    return pd.DataFrame(rows, columns=["rule", "nodes", "overlap", "spearman", "error_percent"])


@dataclass(frozen=True)
class DefaultVerdict:
    """The library's rule against the released one; a cell is one network, seed and function.

    Attributes:
        cells: how many.
        as_good: cells in which the default's overlap with the reference is at most :data:`TOLERANCE` smaller.
        overlap_default, overlap_released: mean overlaps of the top 1 % with the reference.
        spearman_default, spearman_released: mean rank correlations with the reference.
        error_default, error_released: mean completeness errors, percent of the change of the loss.
        error_reference: that of the reference.
        resolution: share of the top 1 % in which the reference and :data:`FINEST` differ. They are the best resolved
            and have few nodes in common, so that smaller differences say little.
    """

    cells: int
    as_good: int
    overlap_default: float
    overlap_released: float
    spearman_default: float
    spearman_released: float
    error_default: float
    error_released: float
    error_reference: float
    resolution: float

    @property
    def faithful(self) -> bool:
        """Whether the default chooses the top 1 % at least as faithfully as the released rule, in every cell."""
        return self.as_good == self.cells

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        name = f"{DEFAULT_RULE} with {DEFAULT_NODES} nodes"
        if self.faithful:
            start = f"the default ({name}) **is at least as faithful** as the released rule (left, 100 nodes)"
            where = f"in all {self.cells} cells"
        elif self.overlap_default >= self.overlap_released - TOLERANCE:
            start = (
                f"the default ({name}) is, within {TOLERANCE:.1%} of the filters, as faithful as the released rule "
                "(left, 100 nodes) **on average**"
            )
            where = f"and in {self.as_good} of {self.cells} cells"
        else:
            start = f"the default ({name}) is **less faithful** than the released rule (left, 100 nodes)"
            where = f"and as good in {self.as_good} of {self.cells} cells only"
        correlation = "higher" if self.spearman_default >= self.spearman_released else "lower"
        error = "smaller" if self.error_default <= self.error_released else "larger"
        return (
            f"Judged by the choice of filters: {start} {where} (network × seed × function). Its top 1 % agree with the "
            f"reference's to {self.overlap_default:.2%}, the released rule's to {self.overlap_released:.2%}. Over all "
            f"filters its rank correlation is {correlation} ({self.spearman_default:.5f} against "
            f"{self.spearman_released:.5f}), and its completeness error is {error} ({self.error_default:.3f} % against "
            f"{self.error_released:.3f} %). It needs {DEFAULT_NODES} gradients instead of 100. Differences of up to "
            f"{TOLERANCE:.1%} of the set count as none; the two best resolved integrals of this page differ by "
            f"{self.resolution:.2%}."
        )


def default_verdict(table: pd.DataFrame) -> DefaultVerdict:
    """Compare the default with the released rule in :func:`convergence`."""

    def rows(configuration: tuple[str, int]) -> pd.DataFrame:
        rule, count = configuration
        chosen = table[(table["rule"] == rule) & (table["nodes"] == count) & ~table["reference"]]
        return chosen.set_index(["network", "seed", "filters"])

    default, released = rows(DEFAULT), rows(RELEASED)
    return DefaultVerdict(
        cells=len(default),
        as_good=int((default["overlap"] >= released["overlap"] - TOLERANCE).sum()),
        overlap_default=float(default["overlap"].mean()),
        overlap_released=float(released["overlap"].mean()),
        spearman_default=float(default["spearman"].mean()),
        spearman_released=float(released["spearman"].mean()),
        error_default=float(default["error_percent"].mean()),
        error_released=float(released["error_percent"].mean()),
        error_reference=float(table.loc[table["reference"], "error_percent"].mean()),
        resolution=1 - float(rows(FINEST)["overlap"].mean()),
    )


#: Rankings that :func:`variants` masks by, with their names in tables.
VARIANTS = {
    **paper.METHODS,
    "filter_change_released": "|θ − θ̄| ÷ |θ̄| (as released)",
    "faig_default": "FAIG, convergence images, default rule",
    "faig_released": "FAIG, convergence images, left 100 (as released)",
    "faig_before": "FAIG, convergence images, absolute before integration",
}


def variant_scores(bench: Workbench, pair: Pair) -> dict[tuple[str, str], FilterScores]:
    """Scores of every variant and function: {(key of :data:`VARIANTS`, function): scores}.

    The paper's four methods are those of the chapter on masking, the last three come from the convergence images.
    """
    scores = dict(discover(bench, pair, bench.test_set).scores)
    relative = filter_change(pair.target, pair.baseline, "as_released")
    integrals = integral_scores(bench, pair)
    for function in FUNCTIONS:
        scores["filter_change_released", function] = relative
        for way in ("default", "released", "before"):
            scores[f"faig_{way}", function] = integrals[way, function]
    return scores


def variants(bench: Workbench) -> pd.DataFrame:
    """Mask the top 1 % of every variant and measure the drop on gray images and on the blue channel.

    Returns:
        The columns of :func:`faiglib.experiments.masking.measure`
        after ``network``, ``seed`` and ``image_set``; ``method`` is a key
        of :data:`VARIANTS`.
    """

    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        masks = [
            Mask(variant, function, PERCENT, scores.top(PERCENT))
            for (variant, function), scores in variant_scores(bench, pair).items()
        ]
        samples = bench.samples(image_set, bench.profile.ablation_images, bench.profile.evaluation_crop)
        return measure(pair, masks, samples, f"variants: {pair.title} seed {pair.seed}")

    return bench.table_per_pair("beyond/variants", (bench.test_set,), compute)


def variant_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Own-input drops of :func:`variants`, mean over images and seeds.

    Returns:
        One row per ``network``, ``filters`` and ``method``: ``drop`` (gray, as published), ``drop_blue`` (as released),
        ``blue_over_gray``, ``lost`` (dB of PSNR).
    """
    own = own_drops(table)
    own = own.assign(lost=own["psnr_target"] - own["psnr"])
    means = own.groupby(["network", "filters", "method"], sort=False)[["drop", "drop_blue", "lost"]].mean()
    means.insert(2, "blue_over_gray", means["drop_blue"] / means["drop"])
    places = [list(means.index.unique("network")), list(FUNCTIONS), list(VARIANTS)]
    return means.reindex(pd.MultiIndex.from_product(places, names=means.index.names)).dropna(how="all").reset_index()


@dataclass(frozen=True)
class MetricVerdict:
    """Gray against blue for the paper's four methods; a cell is one network and one function.

    Attributes:
        cells: how many.
        same_best: cells in which both metrics put the same method first.
        same_order: cells in which both put all four in the same order.
        faig_best_gray, faig_best_blue: cells in which FAIG comes first.
        least, median, largest: blue drop over gray drop of FAIG.
    """

    cells: int
    same_best: int
    same_order: int
    faig_best_gray: int
    faig_best_blue: int
    least: float
    median: float
    largest: float


def metric_verdict(summary: pd.DataFrame) -> MetricVerdict:
    """Compare the two metrics in :func:`variant_summary`."""
    orders = {
        column: [
            list(rows.set_index("method")[column].loc[list(paper.METHODS)].sort_values(ascending=False).index)
            for _, rows in summary.groupby(["network", "filters"], sort=False)
        ]
        for column in ("drop", "drop_blue")
    }
    both = list(zip(orders["drop"], orders["drop_blue"], strict=True))
    ratio = summary.loc[summary["method"] == "faig", "blue_over_gray"]
    return MetricVerdict(
        cells=len(both),
        same_best=sum(gray[0] == blue[0] for gray, blue in both),
        same_order=sum(gray == blue for gray, blue in both),
        faig_best_gray=sum(gray[0] == "faig" for gray, _ in both),
        faig_best_blue=sum(blue[0] == "faig" for _, blue in both),
        least=float(ratio.min()),
        median=float(ratio.median()),
        largest=float(ratio.max()),
    )


#: Pairs of variants that differ in one detail: the sound one, the other one, what the detail is.
DETAILS = (
    ("filter_change", "filter_change_released", "change of a filter: absolute or relative"),
    ("faig_default", "faig_released", "integral: default rule or left 100"),
    ("faig_default", "faig_before", "absolute value: after or before the integration"),
)


def details(bench: Workbench, summary: pd.DataFrame) -> pd.DataFrame:
    """What each detail of :data:`DETAILS` changes: the choice of filters, and the drop that masking them causes.

    Args:
        bench: where things are.
        summary: from :func:`variant_summary`.

    Returns:
        One row per ``network``, ``detail`` and ``filters``, means over seeds: ``overlap`` (of the two top 1 %),
        ``spearman`` (of the two rankings), ``drop`` and ``drop_other`` (gray, own input, first and second variant).
    """
    rows = []
    for pair in bench.pairs():
        scores = variant_scores(bench, pair)
        for first, second, detail in DETAILS:
            for function in FUNCTIONS:
                one, two = scores[first, function], scores[second, function]
                rows.append(
                    {
                        "network": pair.network,
                        "detail": detail,
                        "filters": function,
                        "overlap": top_overlap(one, two),
                        "spearman": rank_correlation(one.values, two.values),
                    }
                )
    means = pd.DataFrame(rows).groupby(["network", "detail", "filters"], sort=False).mean().reset_index()
    drop = summary.set_index(["network", "filters", "method"])["drop"]
    for column, place in (("drop", 0), ("drop_other", 1)):
        variant = {detail: names[place] for *names, detail in DETAILS}
        means[column] = [drop[row.network, row.filters, variant[row.detail]] for row in means.itertuples()]
    return means


#: What two rankings differ in, in the order of the figure.
COMPARISONS = {
    "noise": "same images, other noise",
    "halves": "two halves of the images",
    "places": "two places in one image",
    "images": "two images",
    "image_sets": "two image sets",
    "fine_tunings": "two fine-tunings of one baseline",
    "seeds": "two training runs from the start",
}
#: Those that compare two networks.
BETWEEN_RUNS = ("fine_tunings", "seeds")


def quarter(sample: Sample, bottom: bool, right: bool) -> Sample:
    """One quarter of an image in all its degradations, cut after degrading.

    Args:
        sample: with LR sides that are even.
        bottom: the lower half instead of the upper one.
        right: the right half instead of the left one.
    """

    def cut(image: Tensor) -> Tensor:
        height, width = (side // 2 for side in image.shape[-2:])
        return image[..., bottom * height :, right * width :][..., :height, :width].contiguous()

    inputs = {kind: cut(image) for kind, image in sample.inputs.items()}
    return Sample(sample.name, cut(sample.ground_truth), inputs)


def stability(bench: Workbench) -> pd.DataFrame:
    """How much of the top 1 % of FAIG two rankings share that should agree (see :data:`COMPARISONS`).

    ``images`` compares single central crops of different images, ``places`` two crops of that size from one image (its
    top left and bottom right), ``halves`` the means over every second image, ``noise`` the means over the same images
    with two draws of noise, ``image_sets`` the rankings that the other chapters use, ``fine_tunings`` those of targets
    that share a baseline, ``seeds`` those of targets with a baseline each. Filter ids of networks from different
    initial weights do not correspond, so that chance, one percent, is the expectation for the last.

    Returns:
        One row per comparison: ``network``, ``seed`` (of the first), ``comparison``, ``which`` (the two), ``filters``,
        ``overlap`` (0 to 1), ``spearman``.
    """
    rows = []
    earlier: dict[str, list[tuple[Pair, str, FilterScores]]] = {}
    compared = bench.over_pairs(lambda pair: (pair, list(_compared(bench, pair))))
    for pair, comparisons in compared:
        for comparison, which, function, first, second in comparisons:
            rows.append(_agreement(pair.network, pair.seed, comparison, which, function, first, second))
        rankings = discover(bench, pair, bench.test_set)
        own = [(pair, function, rankings.scores["faig", function]) for function in FUNCTIONS]
        for (before, asked, first), (_, function, second) in itertools.product(earlier.get(pair.network, []), own):
            if asked == function:
                comparison = "fine_tunings" if _one_baseline(before, pair) else "seeds"
                which = f"seed {before.seed} | seed {pair.seed}"
                rows.append(_agreement(pair.network, before.seed, comparison, which, function, first, second))
        earlier.setdefault(pair.network, []).extend(own)
    return pd.DataFrame(rows)


def _one_baseline(first: Pair, second: Pair) -> bool:
    """Whether two pairs have the same baseline weights."""
    weights = zip(first.baseline.parameters(), second.baseline.parameters(), strict=True)
    return all(torch.equal(one, other) for one, other in weights)


def _agreement(
    network: str, seed: int, comparison: str, which: str, function: str, first: FilterScores, second: FilterScores
) -> dict[str, object]:
    return {
        "network": network,
        "seed": seed,
        "comparison": comparison,
        "which": which,
        "filters": function,
        "overlap": top_overlap(first, second),
        "spearman": rank_correlation(first.values, second.values),
    }


def _compared(bench: Workbench, pair: Pair) -> Iterator[tuple[str, str, str, FilterScores, FilterScores]]:
    """(comparison, which, function, scores, scores) within one pair."""
    whole = image_scores(bench, pair)
    other_noise = image_scores(replace(bench, seed=bench.seed + 1), pair, kinds=("noisy",))
    renoised = replace(whole, values=whole.values | other_noise.values)
    corners = [_corner_scores(bench, pair, place) for place in (False, True)]
    count = len(whole.errors[KINDS[0]])
    sets = {name: discover(bench, pair, name) for name in bench.image_sets}
    for function in FUNCTIONS:
        yield "noise", "seed | next seed", function, whole.of(function), renoised.of(function)
        if count > 1:
            halves = [whole.of(function, torch.arange(start, count, 2)) for start in (0, 1)]
            yield "halves", "even | odd", function, halves[0], halves[1]
        single = [whole.of(function, torch.tensor([number])) for number in range(count)]
        for (one, first), (two, second) in itertools.combinations(enumerate(single), 2):
            yield "images", f"{one} | {two}", function, first, second
        for number, (first, second) in enumerate(zip(*(corner[function] for corner in corners), strict=True)):
            yield "places", f"{number}: top left | bottom right", function, first, second
        for left, right in itertools.combinations(sets, 2):
            scores = [sets[name].scores["faig", function] for name in (left, right)]
            yield "image_sets", f"{left} | {right}", function, scores[0], scores[1]


def _corner_scores(bench: Workbench, pair: Pair, lower_right: bool) -> dict[str, list[FilterScores]]:
    """FAIG with elimination on one corner of every ablation image: {function: scores by image}."""
    profile = bench.profile
    crop = None if profile.ablation_crop is None else 2 * profile.ablation_crop

    def compute() -> dict[str, Tensor]:
        samples = bench.samples(bench.test_set, profile.ablation_images, crop)
        corners = [quarter(sample, lower_right, lower_right) for sample in samples]
        place = "bottom right" if lower_right else "top left"
        result = {}
        for kind in KINDS:
            label = f"FAIG {place}: {pair.title} seed {pair.seed}, {kind}"
            scores = [
                faig(pair.target, pair.baseline, [one], rule=profile.rule, nodes=profile.nodes).values
                for one in tqdm(pairs_of(corners, kind), desc=label, unit="image")
            ]
            result[kind] = torch.stack(scores)
        return result

    key = bench.key(
        pair,
        bench.test_set,
        lower_right=lower_right,
        rule=profile.rule,
        nodes=profile.nodes,
        limit=profile.ablation_images,
        crop=crop,
    )
    stored = bench.store.tensors("beyond/corners", key, compute)
    index = FilterIndex.of(pair.target)
    return {
        function: [FilterScores(index, values) for values in stored[own] - stored[other]]
        for function, (own, other) in FUNCTIONS.items()
    }


def stability_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, least and largest overlap of :func:`stability`, and mean rank correlation.

    Returns:
        One row per ``network``, ``comparison`` and ``filters``, in the order of :data:`COMPARISONS`: ``overlap``,
        ``least``, ``largest`` (0 to 1), ``spearman``, ``comparisons`` (how many).
    """
    grouped = table.groupby(["network", "comparison", "filters"], sort=False)
    means = grouped["overlap"].agg(overlap="mean", least="min", largest="max", comparisons="size")
    means["spearman"] = grouped["spearman"].mean()
    order = list(COMPARISONS)
    return (
        means.reset_index()
        .sort_values("comparison", key=lambda names: names.map(order.index), kind="stable")
        .sort_values("network", kind="stable")
        .reset_index(drop=True)
    )


def sampling(bench: Workbench) -> pd.DataFrame:
    """How many images a ranking needs, and how large: FAIG with elimination from fewer or smaller crops.

    The reference is the mean over ``sampling_images`` of the test set at the largest of the ``sampling_crops``, both of
    the profile. It is compared with the means over disjoint groups of fewer images at that crop, which are part of it,
    and over all images at smaller central crops. One pair of each network.

    Returns:
        One row per ``network``, ``varied`` ("images" or "crop"), ``amount`` (images, HR pixels a side) and ``filters``:
        ``overlap`` (of the top 1 % with the reference's) and ``spearman``, means over the groups.
    """

    def of_pair(name: tuple[str, int]) -> pd.DataFrame:
        pair = bench.pair(*name)
        key = bench.key(pair, bench.test_set, profile=bench.profile, nodes=SAMPLING_NODES)
        part = bench.store.table("beyond/sampling", key, partial(_sampled, bench, pair))
        return part.assign(network=pair.network)

    return pd.concat(bench.in_parallel(of_pair, bench.first_pairs), ignore_index=True)


def _sampled(bench: Workbench, pair: Pair) -> pd.DataFrame:
    index = FilterIndex.of(pair.target)
    crops = bench.profile.sampling_crops
    scores: dict[tuple[int, str], Tensor] = {}
    for crop in crops:
        samples = bench.samples(bench.test_set, bench.profile.sampling_images, crop)
        for kind in KINDS:
            label = f"FAIG of {crop}-pixel crops: {pair.title} seed {pair.seed}, {kind}"
            values = [
                faig(pair.target, pair.baseline, [one], rule="midpoint", nodes=SAMPLING_NODES).values
                for one in tqdm(pairs_of(samples, kind), desc=label, unit="image")
            ]
            scores[crop, kind] = torch.stack(values)
    count = len(scores[crops[0], KINDS[0]])
    rows = []
    for function, (own, other) in FUNCTIONS.items():
        single = {crop: scores[crop, own] - scores[crop, other] for crop in crops}
        largest = single[crops[-1]]
        reference = FilterScores(index, largest.mean(0))
        groups = {("crop", crop): [single[crop]] for crop in crops}
        size = 1
        while size < count:
            groups["images", size] = list(largest[: count // size * size].split(size))
            size *= 2
        groups["images", count] = [largest]
        for (varied, amount), members in groups.items():
            rankings = [FilterScores(index, member.mean(0)) for member in members]
            overlaps = [top_overlap(one, reference) for one in rankings]
            correlations = [rank_correlation(one.values, reference.values) for one in rankings]
            rows.append((varied, amount, function, float(np.mean(overlaps)), float(np.mean(correlations))))
    return pd.DataFrame(rows, columns=["varied", "amount", "filters", "overlap", "spearman"])


@dataclass(frozen=True)
class StabilityVerdict:
    """How much of the top 1 % survives a change that should not matter; means over networks, runs and functions.

    Attributes:
        overlaps: {key of :data:`COMPARISONS`: share in common}; those that could not be made are left out.
    """

    overlaps: dict[str, float]

    @property
    def within(self) -> dict[str, float]:
        """The overlaps of rankings of one network."""
        return {name: share for name, share in self.overlaps.items() if name not in BETWEEN_RUNS}

    @property
    def sentence(self) -> str:
        """What came out, in words."""
        told = ", ".join(f"{share:.0%} ({COMPARISONS[name]})" for name, share in self.overlaps.items())
        parts = [f"On average two rankings share of their top 1 %: {told}."]
        within = self.within
        weakest = min(within, key=lambda name: within[name])
        parts.append(
            f"Within one network the least agreement is {within[weakest]:.0%} ({COMPARISONS[weakest]}), "
            f"{100 * within[weakest] / PERCENT:.0f} times chance."
        )
        if "images" in within and "image_sets" in within:
            gain = within["image_sets"] - within["images"]
            parts.append(
                "Averaging over images steadies the ranking: whole image sets agree better than single images."
                if gain > 0
                else "Averaging over images does not steady the ranking: whole image sets agree no better than single "
                "images."
            )
        if "fine_tunings" in self.overlaps:
            share = self.overlaps["fine_tunings"]
            parts.append(
                f"Between fine-tunings of one baseline it is {share:.0%}, {100 * share / PERCENT:.0f} times chance; "
                f"{1 - share:.0%} of a set depend on the run."
            )
        if "seeds" in self.overlaps:
            times = 100 * self.overlaps["seeds"] / PERCENT
            parts.append(
                f"Between training runs from the start it is {times:.1f} times chance"
                + (
                    ": filter numbers mean little across runs."
                    if times < 5
                    else ", although their filters are numbered independently."
                )
            )
        if not self.overlaps.keys() & set(BETWEEN_RUNS):
            parts.append("There is only one training run per network here, so that runs are not compared.")
        return " ".join(parts)


def stability_verdict(summary: pd.DataFrame) -> StabilityVerdict:
    """Mean overlaps by comparison of :func:`stability_summary`."""
    means = summary.groupby("comparison", sort=False)["overlap"].mean()
    return StabilityVerdict({name: float(means[name]) for name in COMPARISONS if name in means.index})


def in_short(
    default: DefaultVerdict, metric: MetricVerdict, detail_table: pd.DataFrame, ranking: StabilityVerdict
) -> str:
    """The chapter's results as a list in Markdown, worded by the numbers."""
    overlaps = detail_table.groupby("detail", sort=False)["overlap"].mean()
    change, _, absolute = (float(overlaps[detail]) for *_, detail in DETAILS)
    within = ranking.within
    order = (
        "never changes which method comes first"
        if metric.same_best == metric.cells
        else f"changes which method comes first in {metric.cells - metric.same_best} of {metric.cells} cells"
    )
    faithful = "as faithful as" if default.faithful else "not everywhere as faithful as"
    return "\n".join(
        (
            f"- In choosing the top 1 % the default rule ({DEFAULT_NODES} gradients) is {faithful} the released one "
            f"(100): {default.overlap_default:.2%} against {default.overlap_released:.2%} agree with the reference.",
            f"- Measuring on blue instead of gray multiplies FAIG's drop by {metric.median:.2f} in the median cell and "
            f"{order}.",
            f"- Relative instead of absolute change replaces {1 - change:.0%} of the top 1 % of |θ − θ̄|; the absolute "
            f"value before instead of after the integration replaces {1 - absolute:.0%} of FAIG's.",
            f"- Within one network, rankings that should agree share between {min(within.values()):.0%} and "
            f"{max(within.values()):.0%} of their top 1 %, by what was varied.",
        )
    )
