"""The method made visible (paper, section 3): the loss along the path, who causes its change, the filters found."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from faiglib import paper
from faiglib.attribution.faig import ParameterPath, squared_error
from faiglib.attribution.paths import quadrature
from faiglib.degradations import quantise
from faiglib.experiments.discovery import FUNCTIONS, Rankings, discover
from faiglib.experiments.masking import KINDS
from faiglib.experiments.workbench import Sample, Workbench
from faiglib.zoo import Pair

#: Groups of parameters that the slope of the loss is divided among.
GROUPS = (*(f"1 % {function} filters" for function in FUNCTIONS), "all other filters", "biases")


def scene(bench: Workbench, image_set: str = "skimage", image: str = "chelsea", crop: int = 96) -> Sample:
    """The one image that the chapter follows, in all its degradations."""
    return next(sample for sample in bench.samples(image_set, None, crop) if sample.name == image)


def along_path(bench: Workbench, pair: Pair, sample: Sample, rankings: Rankings, steps: int = 33) -> pd.DataFrame:
    """Loss and its slope between target (α = 0) and baseline (α = 1), and which parameters cause the slope.

    Args:
        bench: where things are.
        pair: baseline and target.
        sample: the image.
        rankings: the 1 % filters of FAIG form two of the groups; a filter in both counts as deblurring.
        steps: equidistant points of the path, both ends included.

    Returns:
        One row per ``input``, ``alpha`` and ``group`` of :data:`GROUPS`: ``slope`` is the group's share of dL/dα per
        pixel value of the output, ``loss`` the whole L(γ(α)) per pixel value (the mean squared error).
    """

    def compute() -> pd.DataFrame:
        path = ParameterPath(pair.target, pair.baseline)
        masks = _group_masks(rankings)
        grid = quadrature("trapezoid", steps).nodes
        values = sample.ground_truth.numel()
        rows = []
        for kind in KINDS:
            for alpha in grid:
                output = path.move_to(alpha)(sample.inputs[kind])
                loss = squared_error(output, sample.ground_truth)
                gradients = torch.autograd.grad(loss, path.parameters)
                slopes = dict.fromkeys(GROUPS, 0.0)
                for name, gradient, step in zip(path.names, gradients, path.direction, strict=True):
                    product = (gradient * step).double().cpu()
                    if name not in path.index.names:
                        slopes["biases"] += float(product.sum())
                        continue
                    for group, mask in masks.items():
                        slopes[group] += float((product * mask[name]).sum())
                rows += [
                    {
                        "input": kind,
                        "alpha": alpha,
                        "group": group,
                        "slope": slope / values,
                        "loss": float(loss.detach()) / values,
                    }
                    for group, slope in slopes.items()
                ]
        return pd.DataFrame(rows)

    profile = bench.profile
    key = bench.key(pair, "skimage", image=sample.name, gt=sample.ground_truth, steps=steps, profile=profile)
    return bench.store.table("method/along_path", key, compute)


def _group_masks(rankings: Rankings) -> dict[str, dict[str, Tensor]]:
    """{group: {weight name: (out, in, 1, 1) bool}} that divide all filters among the first three groups."""
    deblurring, denoising = (rankings.top("faig", function, 1).member() for function in FUNCTIONS)
    members = (deblurring, denoising & ~deblurring, ~(deblurring | denoising))
    index = rankings.scores["faig", "deblurring"].index
    return {
        group: {layer.name: mask[..., None, None] for layer, mask in index.split(member)}
        for group, member in zip(GROUPS, members, strict=False)
    }


def shares(path_table: pd.DataFrame) -> pd.DataFrame:
    """∫ slope dα of each group (trapezoid rule), beside the difference of the losses that the integrals add up to.

    Returns:
        One row per ``input`` and ``group``: ``integral`` (change of the mean squared error) and ``share`` of the total.
    """
    rows = []
    for kind, table in path_table.groupby("input", sort=False):
        wide = table.pivot(index="alpha", columns="group", values="slope")
        alphas = torch.tensor(wide.index.to_numpy())
        integrals = {group: float(torch.trapezoid(torch.tensor(wide[group].to_numpy()), alphas)) for group in GROUPS}
        total = sum(integrals.values())
        losses = table.drop_duplicates("alpha").set_index("alpha")["loss"]
        change = float(losses.iloc[-1] - losses.iloc[0])
        rows += [
            {"input": kind, "group": group, "integral": value, "share": value / total, "loss_change": change}
            for group, value in integrals.items()
        ]
    return pd.DataFrame(rows)


@torch.no_grad()
def frames(pair: Pair, sample: Sample, alphas: tuple[float, ...]) -> dict[str, dict[float, Tensor]]:
    """Outputs of the network along the path, {input: {α: (1, 3, H, W)}}."""
    path = ParameterPath(pair.target, pair.baseline)
    return {
        kind: {alpha: quantise(path.move_to(alpha)(sample.inputs[kind])).cpu() for alpha in alphas} for kind in KINDS
    }


def top_filters(rankings: Rankings, count: int = 10) -> pd.DataFrame:
    """The filters with the highest FAIG score for each function: rank, id, layer, output, input and score."""
    rows = []
    for function in FUNCTIONS:
        scores = rankings.scores["faig", function]
        for rank, filter_id in enumerate(scores.ranking()[:count].tolist(), start=1):
            place = scores.index.locate(filter_id)
            rows.append(
                {
                    "filters": function,
                    "rank": rank,
                    "id": filter_id,
                    "layer": place.layer.removesuffix(".weight"),
                    "output": place.output,
                    "input": place.input,
                    "score": float(scores.values[filter_id]),
                }
            )
    return pd.DataFrame(rows)


def kernels(pair: Pair, table: pd.DataFrame) -> list[dict[str, Tensor]]:
    """For each row of :func:`top_filters` the K×K kernel in baseline and target, and what fine-tuning changed."""
    weights = [dict(network.named_parameters()) for network in (pair.baseline, pair.target)]
    found = []
    for row in table.itertuples():
        old, new = (weight[f"{row.layer}.weight"][row.output, row.input].detach().cpu() for weight in weights)
        found.append({"baseline": old, "target": new, "change": new - old})
    return found


def agreement(rankings: Rankings, percent: float = 1) -> pd.DataFrame:
    """Share of filters that two methods have in common in their top ``percent`` %, for each function.

    Returns:
        Columns ``filters``, ``method``, ``other``, ``overlap`` (0 to 1).
    """
    return pd.DataFrame(
        [
            {
                "filters": function,
                "method": paper.METHODS[method],
                "other": paper.METHODS[other],
                "overlap": rankings.top(method, function, percent).overlap(rankings.top(other, function, percent)),
            }
            for function in FUNCTIONS
            for method in paper.METHODS
            for other in paper.METHODS
        ]
    )


def concentration(rankings: Rankings, points: int = 200) -> pd.DataFrame:
    """How unequal the positive FAIG scores are: share of their sum held by the best p % of all filters.

    Returns:
        Columns ``filters``, ``percent``, ``share``.
    """
    rows = []
    for function in FUNCTIONS:
        scores = rankings.scores["faig", function]
        positive = scores.values[scores.ranking()].clamp(min=0)
        cumulative = positive.cumsum(0) / positive.sum()
        total = scores.index.total
        for step in torch.logspace(-3, 2, points, dtype=torch.float64).tolist():
            count = max(1, min(total, round(total * step / 100)))
            rows.append({"filters": function, "percent": 100 * count / total, "share": float(cumulative[count - 1])})
    return pd.DataFrame(rows).drop_duplicates()


def method_rankings(bench: Workbench, pair: Pair) -> Rankings:
    """Rankings that the chapter uses: discovered on Set14 where it is on the machine, else on scikit-image's photos."""
    return discover(bench, pair, bench.test_set)
