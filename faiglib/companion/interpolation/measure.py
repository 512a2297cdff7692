"""Restorations with filters at θ_λ (supp. Figs. 10 and 11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.companion import paper
from faiglib.companion.discovery import KINDS, Rankings, discover
from faiglib.companion.workbench import Sample, Workbench
from faiglib.filters.substitution import substitute
from faiglib.images.degradations import FUNCTIONS, downsample
from faiglib.images.metrics import gradient_map, gray, psnr
from faiglib.images.restoration import restore, restore_all
from faiglib.networks.zoo import Pair

#: Proportion of filters on a knob, in percent, as in the paper.
PERCENT = 1.0

#: λ of the sweeps: the paper's, then beyond the target.
LAMBDAS = (*paper.LAMBDAS, 1.2, 1.5)

#: λ of either knob in the grid.
GRID = (0.0, 0.4, 0.7, 1.0, 1.2, 1.5)

#: What a knob is meant to change, by function: a column of :func:`sweep`, and the sign of its change with λ.
EFFECTS = {"deblurring": ("sharpness", 1), "denoising": ("noise", -1)}


def sharpness(image: Tensor, border: int = 2) -> float:
    """Mean gradient magnitude of the gray image, in 8-bit levels, with the gradient of the paper's drop.

    Args:
        image: (1, 3, H, W) in [0, 1].
        border: pixels left out on every side.
    """
    inside = gradient_map(gray(image.double()))[..., border:-border, border:-border]
    return 255 * float(inside.mean())


def residual_noise(image: Tensor) -> float:
    """Estimate of the noise in an image without a reference: standard deviation in 8-bit levels.

    The estimator of Donoho and Johnstone (Biometrika 81, 1994) as in scikit-image's ``estimate_sigma``, with the Haar
    wavelet: median of |diagonal details| ÷ 0.6745, mean over R, G and B. It is taken after the 2×2 mean that leads
    back to the input's grid, because noise that a network enlarges is smooth from one HR pixel to the next. Fine
    texture counts as noise, so that the ground truth does not have 0.

    Args:
        image: (1, 3, H, W) in [0, 1], H and W even and at least 4.
    """
    small = downsample(image.double())[0]
    detail = (small[:, :-1, :-1] - small[:, :-1, 1:] - small[:, 1:, :-1] + small[:, 1:, 1:]) / 2
    return 255 * float((detail.abs().flatten(1).median(dim=1).values / 0.6745).mean())


def turned(pair: Pair, rankings: Rankings, knobs: Mapping[str, float], percent: float = PERCENT) -> nn.Module:
    """The target with the filters of some functions at θ_λ.

    Args:
        pair: baseline and target.
        rankings: FAIG's sets are used.
        knobs: λ by function.
        percent: proportion of filters on each knob.
    """
    network = pair.target
    for function, lam in knobs.items():
        network = substitute(network, pair.baseline, rankings.top("faig", function, percent), strength=1 - lam)
    return network


def _measures(image: Tensor, truth: Tensor) -> dict[str, float]:
    return {"psnr": float(psnr(image, truth)), "sharpness": sharpness(image), "noise": residual_noise(image)}


def _references(truth: Tensor) -> dict[str, float]:
    return {"sharpness_truth": sharpness(truth), "noise_truth": residual_noise(truth)}


def sweep(bench: Workbench) -> pd.DataFrame:
    """One knob at a time through :data:`LAMBDAS`, on blurry and on noisy input of the workbench's test set.

    Filters are discovered on that set, too.

    Returns:
        One row per ``network``, ``seed``, ``filters`` (function of the knob), ``lambda``, ``input`` and ``image``:
        ``psnr`` (dB), ``sharpness`` (:func:`sharpness`), ``noise`` (:func:`residual_noise`), the last two of the
        ground truth, ``sharpness_truth`` and ``noise_truth``, and ``distance`` from the target's output (root mean
        square, 8-bit levels).
    """

    def run(pair: Pair, rankings: Rankings, samples: Sequence[Sample], label: str) -> pd.DataFrame:
        rows = []
        references = {sample.name: _references(sample.ground_truth) for sample in samples}
        settings = [(function, lam) for function in FUNCTIONS for lam in LAMBDAS]
        cases = [(sample, kind) for sample in samples for kind in KINDS]
        targets = restore_all(pair.target, [sample.inputs[kind] for sample, kind in cases])
        for function, lam in tqdm(settings, desc=label, unit="λ"):
            network = turned(pair, rankings, {function: lam})
            outputs = restore_all(network, [sample.inputs[kind] for sample, kind in cases])
            rows += [
                {
                    "filters": function,
                    "lambda": lam,
                    "input": kind,
                    "image": sample.name,
                    **_measures(output, sample.ground_truth),
                    **references[sample.name],
                    "distance": 255 * float((output - target).double().square().mean().sqrt()),
                }
                for (sample, kind), output, target in zip(cases, outputs, targets, strict=True)
            ]
        return pd.DataFrame(rows)

    return _over_pairs(bench, "sweep", LAMBDAS, bench.profile.interpolation_images, run)


def grid(bench: Workbench) -> pd.DataFrame:
    """Both knobs at once through :data:`GRID`, on input that is blurry and noisy.

    Returns:
        One row per ``network``, ``seed``, ``image``, ``deblurring`` and ``denoising`` (λ of each knob), with the
        measures of :func:`sweep`.
    """

    def run(pair: Pair, rankings: Rankings, samples: Sequence[Sample], label: str) -> pd.DataFrame:
        rows = []
        references = {sample.name: _references(sample.ground_truth) for sample in samples}
        settings = [{"deblurring": first, "denoising": second} for first in GRID for second in GRID]
        for knobs in tqdm(settings, desc=label, unit="setting"):
            network = turned(pair, rankings, knobs)
            outputs = restore_all(network, [sample.inputs["blurry+noisy"] for sample in samples])
            rows += [
                {
                    **knobs,
                    "image": sample.name,
                    **_measures(output, sample.ground_truth),
                    **references[sample.name],
                }
                for sample, output in zip(samples, outputs, strict=True)
            ]
        return pd.DataFrame(rows)

    return _over_pairs(bench, "grid", GRID, bench.profile.curve_images, run)


def _over_pairs(
    bench: Workbench,
    name: str,
    lambdas: tuple[float, ...],
    limit: int | None,
    run: Callable[[Pair, Rankings, Sequence[Sample], str], pd.DataFrame],
) -> pd.DataFrame:
    crop = bench.profile.discovery_crop

    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        label = f"λ {name}: {pair.title} seed {pair.seed}, {bench.image_set(image_set).title}"
        return run(pair, discover(bench, pair, image_set), bench.samples(image_set, limit, crop), label)

    key = {"lambdas": lambdas, "limit": limit, "crop": crop, "percent": PERCENT}
    return bench.table_per_pair(f"interpolation/{name}", (bench.test_set,), compute, **key)


def strip(bench: Workbench, pair: Pair, function: str, sample: Sample) -> dict[str, Tensor]:
    """Supp. Figs. 10 and 11: the input, the restorations from λ = 0 on, and the ground truth, by title."""
    low = sample.inputs[FUNCTIONS[function][0]]
    rankings = discover(bench, pair, bench.test_set)
    images = {"input": _enlarged(low)}
    for lam in LAMBDAS:
        images[f"λ = {lam:g}"] = restore(turned(pair, rankings, {function: lam}), low).cpu()
    return images | {"ground truth": sample.ground_truth.cpu()}


def contact_sheet(
    bench: Workbench, pair: Pair, sample: Sample, lambdas: tuple[float, ...] = GRID
) -> dict[tuple[float, float], Tensor]:
    """Restorations of a blurry and noisy scene with both knobs, {(λ of deblurring, λ of denoising): (1, 3, H, W)}."""
    rankings = discover(bench, pair, bench.test_set)
    low = sample.inputs["blurry+noisy"]
    return {
        (first, second): restore(turned(pair, rankings, {"deblurring": first, "denoising": second}), low).cpu()
        for first in lambdas
        for second in lambdas
    }


def _enlarged(image: Tensor) -> Tensor:
    return torch.nn.functional.interpolate(image, scale_factor=2.0, mode="nearest").cpu()
