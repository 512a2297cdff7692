"""How many nodes a path integral needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from faiglib.attribution import quadrature
from faiglib.attribution.elimination import eliminate
from faiglib.attribution.many_rules import integrate_rules
from faiglib.attribution.parameter_path import ParameterPath
from faiglib.attribution.quadrature import Quadrature
from faiglib.companion.discovery import DEFAULT, KINDS, RELEASED
from faiglib.companion.statistics import rank_correlation, top_overlap
from faiglib.companion.workbench import Sample, Workbench
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks.zoo import Pair

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

#: (rule, nodes) of the best resolved equidistant rule.
FINEST = ("trapezoid", 101)


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
        (way, function): FilterScores(index, eliminate(stored[f"{way}/{own}"], stored[f"{way}/{other}"]))
        for way in ("reference", "default", "released", "before")
        for function, (own, other) in FUNCTIONS.items()
    }


def _configurations(bench: Workbench) -> list[tuple[str, int]]:
    """(rule, nodes) of all integrals; the reference comes first."""
    reference = ("gauss-legendre", bench.profile.reference_nodes)
    most = bench.profile.most_nodes
    known = [(rule, count) for rule, counts in NODES.items() for count in counts]
    return [
        reference,
        *(one for one in known if one[1] <= most + (one[0] == "trapezoid") or one in (RELEASED, FINEST)),
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
            reference, values = (eliminate(scores[own][place], scores[other][place]) for place in (0, number))
            line["overlap"].append(top_overlap(FilterScores(index, values), FilterScores(index, reference)))
            # Scores for the two functions are each other's negative, so that the second correlation is the first.
            line["spearman"].append(line["spearman"][0] if line["spearman"] else rank_correlation(values, reference))
            line["error"].append(float(errors[own][number]))
        for name, values_of_line in line.items():
            table[name].append(values_of_line)
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in table.items()}
