"""The path from target to baseline, point by point, on one image."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from faiglib.attribution import path_profile
from faiglib.attribution.parameter_path import ParameterPath, squared_error
from faiglib.attribution.quadrature import quadrature
from faiglib.companion.discovery import KINDS, Rankings, discover, pairs_of
from faiglib.companion.workbench import Sample, Workbench
from faiglib.images.degradations import FUNCTIONS, quantise
from faiglib.networks.zoo import Pair

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
        losses: list[float] = []

        def kept(output: Tensor, truth: Tensor) -> Tensor:
            loss = squared_error(output, truth)
            losses.append(float(loss.detach()))
            return loss

        rows = []
        for kind in KINDS:
            for alpha in grid:
                path.move_to(alpha)
                gradients = path.gradients(path.parameters, sample.inputs[kind], sample.ground_truth, kept)
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
                        "loss": losses[-1] / values,
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


@torch.no_grad()
def frames(pair: Pair, sample: Sample, alphas: tuple[float, ...]) -> dict[str, dict[float, Tensor]]:
    """Outputs of the network along the path, {input: {α: (1, 3, H, W)}}."""
    path = ParameterPath(pair.target, pair.baseline)
    return {
        kind: {alpha: quantise(path.move_to(alpha)(sample.inputs[kind])).cpu() for alpha in alphas} for kind in KINDS
    }


def method_rankings(bench: Workbench, pair: Pair) -> Rankings:
    """Rankings that the chapter uses: discovered on Set14 where it is on the machine, else on scikit-image's photos."""
    return discover(bench, pair, bench.test_set)


def profiles(bench: Workbench, crop: int = 96) -> pd.DataFrame:
    """The straight path of every trained pair on clean crops of scikit-image's photographs.

    Args:
        bench: where things are.
        crop: side of the crops in HR pixels, as in the manifest of the weights.

    Returns:
        One row per ``network``, ``seed`` and ``alpha``: ``loss``, ``psnr`` and ``psnr_level`` as of
        :class:`faiglib.attribution.path_profile.PathProfile`.
    """

    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        samples = bench.samples(image_set, None, crop)
        found = path_profile(pair.target, pair.baseline, pairs_of(samples, "clean"))
        columns = {"alpha": found.alphas, "loss": found.loss, "psnr": found.psnr, "psnr_level": found.psnr_level}
        return pd.DataFrame(columns)

    return bench.table_per_pair("method/profiles", ["skimage"], compute, crop=crop)
