"""Three degradations at once: the filters for blur, for noise and for JPEG in one network that learnt them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
from torch import Tensor

from faiglib.attribution import faig
from faiglib.companion.masked import mean_drop, mean_psnr
from faiglib.companion.page.words import counted, listed, percent, typeset
from faiglib.companion.workbench import Sample, Workbench
from faiglib.filters.scores import FilterScores
from faiglib.filters.substitution import substitute
from faiglib.images.chain import Chain, Downsample, Jpeg
from faiglib.images.degradations import INPUTS, Degradation, noise_generator
from faiglib.images.restoration import restore_all
from faiglib.networks import TITLES, zoo
from faiglib.networks.zoo import Pair

#: Role of the targets that learnt all three.
ROLE = "target_jpeg"
#: Quality of the JPEG files that filters are found and judged on: the middle of what training met.
QUALITY = 60
#: Degradations, each by itself.
DEGRADATIONS: Mapping[str, Degradation | Chain] = {
    "blurry": INPUTS["blurry"],
    "noisy": INPUTS["noisy"],
    "JPEG": Chain((Downsample(2), Jpeg(QUALITY))),
}
#: Proportion of the filters that is masked, in percent.
PERCENT = 1.0


def pair_of(bench: Workbench) -> Pair | None:
    """The first pair of the weights whose target learnt blur, noise and JPEG, or None."""
    for entry in zoo.entries(bench.models):
        if entry.role == ROLE:
            return zoo.load_pair(bench.models, entry.network, entry.seed, bench.device, ROLE)
    return None


def costs(bench: Workbench, pair: Pair) -> pd.DataFrame:
    """What masking the filters for one degradation costs each of the three inputs, and how far the sets overlap.

    Filters are found on the workbench's test set by FAIG less the mean of the other two, with the profile's budget, and
    masked on the images of the masking tables.

    Returns:
        One row per ``filters`` (degradation that they are for) and ``input``: ``drop`` (share of the mean drop when all
        parameters are the baseline's), ``psnr_target``, ``psnr`` (masked) and ``psnr_baseline`` (dB, means over
        images), and ``overlap``, the share of the top 1 % in common with the filters for that input.
    """
    key = bench.key(pair, bench.test_set, profile=bench.profile, quality=QUALITY, percent=PERCENT)
    return bench.store.table("beyond/threefold", key, partial(_costs, bench, pair))


def _costs(bench: Workbench, pair: Pair) -> pd.DataFrame:
    profile = bench.profile
    found = _scores(bench, pair)
    chosen = {name: scores.top(PERCENT) for name, scores in found.items()}
    samples = bench.samples(bench.test_set, profile.evaluation_images, profile.evaluation_crop)
    truths = [sample.ground_truth for sample in samples]
    rows = []
    for kind in DEGRADATIONS:
        inputs = _inputs(bench, samples, kind)
        whole, base = (restore_all(network, inputs) for network in (pair.target, pair.baseline))
        most = mean_drop(base, whole)
        ends = {"psnr_target": mean_psnr(whole, truths), "psnr_baseline": mean_psnr(base, truths)}
        for name, filters in chosen.items():
            masked = restore_all(substitute(pair.target, pair.baseline, filters), inputs)
            drop = mean_drop(masked, whole)
            overlap = filters.overlap(chosen[kind])
            rows.append(
                {"filters": name, "input": kind, "drop": drop / most, "psnr": mean_psnr(masked, truths), **ends}
                | {"overlap": overlap}
            )
    return pd.DataFrame(rows)


def _scores(bench: Workbench, pair: Pair) -> dict[str, FilterScores]:
    """FAIG for each degradation, less the mean of the others."""
    profile = bench.profile
    samples = bench.samples(bench.test_set, profile.discovery_images, profile.discovery_crop)
    truths = [sample.ground_truth for sample in samples]
    pairs = {kind: zip(_inputs(bench, samples, kind), truths, strict=True) for kind in DEGRADATIONS}
    return faig(
        pair.target, pair.baseline, pairs, rule=profile.rule, nodes=profile.nodes, progress=f"FAIG: {pair.title}"
    )


def _inputs(bench: Workbench, samples: Sequence[Sample], kind: str) -> list[Tensor]:
    """The samples with one degradation, on the device."""
    return [
        DEGRADATIONS[kind](sample.ground_truth.cpu(), noise_generator(bench.seed, number)).to(bench.device)
        for number, sample in enumerate(samples)
    ]


@typeset
def in_words(table: pd.DataFrame) -> str:
    """What the matrix says: how much each set of filters takes from its own input, and from the others.

    Args:
        table: from :func:`costs`.
    """
    own = table[table["filters"] == table["input"]].set_index("filters")["drop"]
    others = table[table["filters"] != table["input"]]
    largest = others.loc[others["drop"].idxmax()]
    sole = sum(bool((own[name] > rows["drop"]).all()) for name, rows in others.groupby("filters", sort=False))
    taken = listed(f"{percent(value)} ({name})" for name, value in own.items())
    return (
        f"Masked, the filters for a degradation take {taken} of the drop on their own input, more than on either other "
        f"input for {sole} of {counted(len(own), 'set')}. Most goes astray where the filters for {largest['filters']} "
        f"input are masked: {percent(largest['drop'])} on {largest['input']} input. Two sets share at most "
        f"{percent(others['overlap'].max())} of their filters."
    )


def described(pair: Pair) -> str:
    """The pair in words."""
    return f"{TITLES[pair.network]}, seed {pair.seed}"


@typeset
def caption(pair: Pair, measured_on: str) -> str:
    """What the matrices show.

    Args:
        pair: whose filters they are about.
        measured_on: images in words.
    """
    return (
        f"{described(pair)}: left, what masking {PERCENT:g} % of the filters costs each input, as a share of the drop "
        f"when the baseline takes the target's place (JPEG of quality {QUALITY}; means over {measured_on}). Right, "
        "which share of two sets is the same."
    )
