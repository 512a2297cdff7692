"""What the page about a pair tells: quality, layers, masking with controls, stability."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from faiglib.attribution import filter_change
from faiglib.companion.distribution.measure import layer_shares
from faiglib.companion.masked import mean_drop, mean_psnr, with_controls
from faiglib.companion.pair.study import Study
from faiglib.filters.scores import FilterSet, write_ranking
from faiglib.images.restoration import restore_all

#: Proportions that are masked, in percent, and the one that is looked at closely.
PERCENTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
PERCENT = 1.0
#: Controls of each kind that a proportion is masked with.
DRAWS = 5
#: Proportion in percent up to which there are enough other units to draw controls from.
MOST_CONTROLLED = 10.0


def quality(study: Study) -> pd.DataFrame:
    """PSNR of both networks by ``input``: ``baseline``, ``target`` and ``gain``, dB, means over images."""
    rows = []
    for kind in ("clean", *study.kinds):
        lows, truths = zip(*study.pairs(kind), strict=True)
        base, own = (mean_psnr(restore_all(network, lows), truths) for network in (study.baseline, study.target))
        rows.append((kind, base, own, own - base))
    return pd.DataFrame(rows, columns=["input", "baseline", "target", "gain"])


def layers(study: Study) -> pd.DataFrame:
    """How far each layer moved, and what of the path integrals lies in it.

    Returns:
        One row per ``layer``: ``units``, ``changed`` (‖θ − θ̄‖ ÷ ‖θ̄‖), and for every input INPUT the layer's share of
        all absolute contributions, and as ``INPUT, signed`` the sum of those with their signs, as a share of the same.
    """
    new, old = dict(study.target.named_parameters()), dict(study.baseline.named_parameters())
    columns: dict[str, list[object]] = {"layer": [], "units": [], "changed": []}
    for layer in study.index.layers:
        first, last = (torch.cat([one[name].detach().flatten() for name in layer.weights]) for one in (new, old))
        columns["layer"].append(layer.name.removesuffix(".weight"))
        columns["units"].append(layer.filters)
        columns["changed"].append(float((first - last).norm() / last.norm()))
    for kind in study.kinds:
        whole = study.by_image[kind].mean(0)
        signed = study.by_image[f"signed/{kind}"].mean(0)
        for name, values in ((kind, whole), (f"{kind}, signed", signed)):
            columns[name] = [float(part.sum() / whole.sum()) for _, part in study.index.split(values)]
    return pd.DataFrame(columns)


def found(study: Study) -> pd.DataFrame:
    """How the top :data:`PERCENT` % divide among the layers.

    Returns:
        One row per ``filters`` (degradation) and ``layer``: ``share`` of the set, ``uniform`` that of an even one.
    """
    sets = {kind: scores.top(PERCENT) for kind, scores in study.scores().items()}
    tables = [layer_shares(chosen).assign(filters=kind) for kind, chosen in sets.items()]
    return pd.concat(tables, ignore_index=True)[["filters", "layer", "share", "uniform"]]


def write_rankings(study: Study, out: str) -> None:
    """Write ``NAME_index.txt`` and ``NAME_scores.safetensors`` as ``faiglib attribute`` does, from the study's crops.

    Raises:
        StoreError: a file cannot be written.
    """
    for kind, scores in study.scores().items():
        scores.save(Path(out) / f"{kind}_scores.safetensors")
        write_ranking(Path(out) / f"{kind}_index.txt", scores.ranking())


def masking(study: Study) -> pd.DataFrame:
    """What masking the units for each degradation, and controls of them, takes from the inputs.

    Returns:
        One row per ``filters`` (degradation), ``kind`` (``faig``, ``matched`` or ``random``), ``draw``, ``percent`` and
        ``input`` (of controls the own one alone): ``drop``, a share of the drop when all units are the baseline's.
    """
    change = filter_change(study.target, study.baseline, units=study.units)
    lows = {kind: [low for low, _ in study.pairs(kind)] for kind in study.kinds}
    whole = {kind: restore_all(study.target, inputs) for kind, inputs in lows.items()}
    every = study.without(FilterSet.every(study.index))
    most = {kind: mean_drop(restore_all(every, lows[kind]), whole[kind]) for kind in study.kinds}
    rows = []
    sets = [
        (name, percent, kind, draw, filters)
        for name, scores in study.scores().items()
        for percent in PERCENTS
        for draws in (DRAWS if percent <= MOST_CONTROLLED else 0,)
        for kind, draw, filters in with_controls(scores.top(percent), change, draws, draws)
    ]
    for name, percent, kind, draw, filters in tqdm(sets, "masking", unit="set"):
        if len(filters):
            network = study.without(filters)
            for other in study.kinds if kind == "faig" else [name]:
                drop = mean_drop(restore_all(network, lows[other]), whole[other]) / most[other] if most[other] else 0.0
                rows.append((name, kind, draw, percent, other, drop))
    return pd.DataFrame(rows, columns=["filters", "kind", "draw", "percent", "input", "drop"])


def stability(study: Study) -> pd.DataFrame:
    """By ``filters`` (degradation) ``shared``, what two halves of the images have in common of the top 1 %."""
    if len(study.scenes) < 2:
        return pd.DataFrame(columns=["filters", "shared"])
    halves = [study.scores(slice(start, None, 2)) for start in (0, 1)]
    return pd.DataFrame(
        [(kind, halves[0][kind].top(PERCENT).overlap(halves[1][kind].top(PERCENT))) for kind in study.kinds],
        columns=["filters", "shared"],
    )
