"""What a masked network loses: the drop, PSNR, SSIM and brightness of its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from skimage.metrics import structural_similarity
from torch import Tensor
from tqdm import tqdm

from faiglib.attribution import random_scores
from faiglib.companion.discovery import KINDS, OWN_FUNCTION
from faiglib.companion.workbench import Sample
from faiglib.filters.controls import MatchedControls
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores, FilterSet
from faiglib.filters.substitution import Substitutions
from faiglib.images.metrics import gradient_error, mean_luminance, psnr
from faiglib.images.restoration import restore_all
from faiglib.networks.zoo import Pair


@dataclass(frozen=True, eq=False)
class Mask:
    """Filters to be masked, and where they come from."""

    method: str
    function: str
    percent: float
    filters: FilterSet


def measure(pair: Pair, masked: Sequence[Mask], samples: Sequence[Sample], label: str) -> pd.DataFrame:
    """Restore every sample with the target, the baseline and each masked network, and compare.

    The target's outputs are computed once, and so are those of equal masks (|θ − θ̄| has one ranking for both
    functions); a masked network differs only in the substituted weights.

    Args:
        pair: baseline and target.
        masked: what to mask.
        samples: images in all degradations, on the pair's device.
        label: of the progress bar.

    Returns:
        One row per mask, input and image: ``method``, ``filters`` (function), ``percent``, ``input``, ``image``,
        ``drop`` (gradient-map MSE ×10³ against the target's output, gray), ``drop_blue`` (the same on the blue channel,
        as released), ``drop_all`` (``drop`` of the target with all filters replaced), ``psnr`` (dB) and ``ssim`` with
        ``psnr_target``, ``psnr_baseline``, ``ssim_target``, ``ssim_baseline``, and ``luminance_shift`` (mean gray level
        against the target's output, 8-bit levels).
    """
    cases = [(sample, kind) for sample in samples for kind in KINDS]
    inputs = [sample.inputs[kind] for sample, kind in cases]
    masks = Substitutions(pair.target, pair.baseline)
    networks = (pair.target, pair.baseline, masks.of(FilterSet.every(FilterIndex.of(pair.target))))
    outputs = [restore_all(network, inputs) for network in networks]
    references = [
        {
            "drop_all": float(gradient_error(replaced, own)),
            **_quality(own, sample.ground_truth, "_target"),
            **_quality(base, sample.ground_truth, "_baseline"),
        }
        for (sample, _), own, base, replaced in zip(cases, *outputs, strict=True)
    ]
    measured: dict[tuple[int, ...], list[dict[str, object]]] = {}
    rows = []
    for mask in tqdm(masked, desc=label, unit="mask"):
        chosen = tuple(mask.filters.ids.tolist())
        if chosen not in measured:
            measured[chosen] = [
                {"input": kind, "image": sample.name, **_compared(sample, output, own), **reference}
                for (sample, kind), output, own, reference in zip(
                    cases, restore_all(masks.of(mask.filters), inputs), outputs[0], references, strict=True
                )
            ]
        where = {"method": mask.method, "filters": mask.function, "percent": float(mask.percent)}
        rows += [where | row for row in measured[chosen]]
    return pd.DataFrame(rows)


def with_controls(
    chosen: FilterSet, change: FilterScores, matched: int, random: int
) -> Iterator[tuple[str, int, FilterSet]]:
    """A set of filters, and sets of as many others that it is held against: kind, number of the draw, filters.

    Args:
        chosen: the set, of the kind ``faig``.
        change: of every filter, |θ − θ̄|.
        matched: draws of :class:`faiglib.filters.controls.MatchedControls`, which the changes match.
        random: draws of filters at random.
    """
    yield "faig", 0, chosen
    controls = MatchedControls(chosen, change)
    for draw in range(matched):
        yield "matched", draw, controls.draw(draw)
    for draw in range(random):
        yield "random", draw, FilterSet(chosen.index, random_scores(chosen.index, draw).ranking()[: len(chosen)])


def mean_drop(outputs: Sequence[Tensor], own: Sequence[Tensor]) -> float:
    """Mean drop ×10³ (gray) of outputs against those of the target."""
    return sum(float(gradient_error(*both)) for both in zip(outputs, own, strict=True)) / len(own)


def mean_psnr(outputs: Sequence[Tensor], truths: Sequence[Tensor]) -> float:
    """Mean PSNR of outputs in dB."""
    return sum(float(psnr(*both)) for both in zip(outputs, truths, strict=True)) / len(truths)


def _quality(output: Tensor, truth: Tensor, suffix: str = "") -> dict[str, float]:
    """PSNR in dB, and SSIM as its authors compute it, on RGB, of an image against its ground truth."""
    pixels = [image[0].permute(1, 2, 0).cpu().numpy() for image in (output, truth)]
    ssim = structural_similarity(
        *pixels, channel_axis=2, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return {f"psnr{suffix}": float(psnr(output, truth)), f"ssim{suffix}": float(ssim)}


def _compared(sample: Sample, output: Tensor, own: Tensor) -> dict[str, float]:
    """What :func:`measure` says of one output of a masked network; ``own`` is the target's."""
    return {
        "drop": float(gradient_error(output, own)),
        "drop_blue": float(gradient_error(output, own, "blue")),
        **_quality(output, sample.ground_truth),
        "luminance_shift": 255 * float(mean_luminance(output) - mean_luminance(own)),
    }


def side(table: pd.DataFrame) -> pd.Series:
    """Of each row ``own`` where its input is the one that its masked ``filters`` are there for, else ``other``."""
    return (table["filters"] == table["input"].map(OWN_FUNCTION)).map({True: "own", False: "other"})


def own_drops(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the paper's tables: deblurring filters masked for blurry input, denoising filters for noisy input."""
    return table[side(table) == "own"]
