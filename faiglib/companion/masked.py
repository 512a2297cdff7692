"""What a masked network loses: the drop, PSNR and brightness of its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from torch import Tensor
from tqdm import tqdm

from faiglib.companion.discovery import KINDS, OWN_FUNCTION
from faiglib.companion.workbench import Sample
from faiglib.filters.scores import FilterSet
from faiglib.filters.substitution import substitute
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
        as released), ``psnr`` and ``psnr_target``, ``psnr_baseline`` (dB), ``luminance_shift`` (mean gray level against
        the target's output, 8-bit levels).
    """
    cases = [(sample, kind) for sample in samples for kind in KINDS]
    inputs = [sample.inputs[kind] for sample, kind in cases]
    targets, baselines = (restore_all(network, inputs) for network in (pair.target, pair.baseline))
    references = [
        (own, float(psnr(own, sample.ground_truth)), float(psnr(base, sample.ground_truth)))
        for (sample, _), own, base in zip(cases, targets, baselines, strict=True)
    ]
    measured: dict[tuple[int, ...], list[dict[str, object]]] = {}
    rows = []
    for mask in tqdm(masked, desc=label, unit="mask"):
        chosen = tuple(mask.filters.ids.tolist())
        if chosen not in measured:
            network = substitute(pair.target, pair.baseline, mask.filters)
            measured[chosen] = [
                _compared(sample, kind, output, own, psnr_target, psnr_baseline)
                for (sample, kind), output, (own, psnr_target, psnr_baseline) in zip(
                    cases, restore_all(network, inputs), references, strict=True
                )
            ]
        where = {"method": mask.method, "filters": mask.function, "percent": float(mask.percent)}
        rows += [where | row for row in measured[chosen]]
    return pd.DataFrame(rows)


def _compared(
    sample: Sample, kind: str, output: Tensor, own: Tensor, psnr_target: float, psnr_baseline: float
) -> dict[str, object]:
    """What :func:`measure` says of one output of a masked network; ``own`` is the target's."""
    return {
        "input": kind,
        "image": sample.name,
        "drop": float(gradient_error(output, own)),
        "drop_blue": float(gradient_error(output, own, "blue")),
        "psnr": float(psnr(output, sample.ground_truth)),
        "psnr_target": psnr_target,
        "psnr_baseline": psnr_baseline,
        "luminance_shift": 255 * float(mean_luminance(output) - mean_luminance(own)),
    }


def own_drops(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the paper's tables: deblurring filters masked for blurry input, denoising filters for noisy input."""
    return table[table["filters"] == table["input"].map(OWN_FUNCTION)]
