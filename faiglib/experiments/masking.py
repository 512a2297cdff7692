"""Masking (paper, section 4.1; supp. Tables 3-6, main Figs. 3 and 4): what is lost with the discovered filters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from torch import Tensor, nn
from tqdm import tqdm

from faiglib import datasets, paper
from faiglib.experiments.discovery import FUNCTIONS, Rankings, discover
from faiglib.experiments.workbench import Sample, Workbench
from faiglib.filters import FilterSet
from faiglib.metrics import gradient_error, mean_luminance, psnr
from faiglib.networks import TITLES
from faiglib.restoration import restore, restore_all
from faiglib.substitution import substitute
from faiglib.zoo import Pair

#: Number of the supplementary table of a network and image set.
TABLE_NUMBERS = {(cell.network, cell.image_set): cell.table for cell in paper.drops()}

#: Inputs that the masking tables look at, and the function whose filters are masked for each.
OWN_FUNCTION = {own: function for function, (own, _) in FUNCTIONS.items()}
KINDS = tuple(OWN_FUNCTION)

#: Proportions of masked filters that a reader can choose for one picture, in percent.
CHOICES = (0, 0.5, 1, 2, 3, 5, 10, 20, 50, 100)


@dataclass(frozen=True, eq=False)
class Mask:
    """Filters to be masked, and where they come from."""

    method: str
    function: str
    percent: float
    filters: FilterSet


def masks(rankings: Rankings, methods: Sequence[str], percents: Sequence[float]) -> Iterator[Mask]:
    """Every combination of method, function and proportion."""
    for method in methods:
        for function in FUNCTIONS:
            for percent in percents:
                yield Mask(method, function, percent, rankings.top(method, function, percent))


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


def drops(bench: Workbench) -> pd.DataFrame:
    """Masking results of every trained pair, image set, method, function and proportion of the profile.

    Returns:
        The columns of :func:`measure` after ``network``, ``seed`` and ``image_set``.
    """
    profile = bench.profile
    return _over_pairs(
        bench,
        "drops",
        tuple(paper.METHODS),
        profile.percents,
        profile.evaluation_images,
        profile.evaluation_crop,
        tuple(bench.image_sets),
    )


def curves(bench: Workbench) -> pd.DataFrame:
    """Masking curves (main Fig. 3): FAIG against random over proportions from 0 to 100 %, on one image set.

    The set is the workbench's test set. Columns as for :func:`drops`.
    """
    profile = bench.profile
    return _over_pairs(
        bench,
        "curves",
        ("faig", "random"),
        profile.curve_percents,
        profile.curve_images,
        profile.discovery_crop,
        (bench.test_set,),
    )


def _over_pairs(
    bench: Workbench,
    name: str,
    methods: tuple[str, ...],
    percents: tuple[float, ...],
    limit: int | None,
    crop: int | None,
    image_sets: tuple[str, ...],
) -> pd.DataFrame:
    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        label = f"masking ({name}): {pair.title} seed {pair.seed}, {bench.image_set(image_set).title}"
        chosen = list(masks(discover(bench, pair, image_set), methods, percents))
        return measure(pair, chosen, bench.samples(image_set, limit, crop), label)

    return bench.table_per_pair(
        f"masking/{name}", image_sets, compute, methods=methods, percents=percents, limit=limit, crop=crop
    )


def own_drops(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the paper's tables: deblurring filters masked for blurry input, denoising filters for noisy input."""
    return table[table["filters"] == table["input"].map(OWN_FUNCTION)]


def summary(table: pd.DataFrame, value: str = "drop") -> pd.DataFrame:
    """Mean over images per seed, then mean and standard deviation over seeds, of the paper's cells.

    Returns:
        One row per network, image set, input, percent and method: ``measured``, ``spread`` (over seeds; NaN for one
        seed), ``low`` and ``high`` (95 % bootstrap interval of the mean over images), ``seeds``, ``images``, and the
        paper's ``paper`` and ``paper_std`` where it has that cell.
    """
    cells = ["network", "image_set", "input", "percent", "method"]
    own = own_drops(table)
    per_seed = own.groupby([*cells, "seed"], sort=False)[value].mean().reset_index()
    grouped = per_seed.groupby(cells, sort=False)[value]
    result = pd.DataFrame({"measured": grouped.mean(), "spread": grouped.std(), "seeds": grouped.size()})
    per_image = own.groupby([*cells, "image"], sort=False)[value].mean().reset_index().groupby(cells, sort=False)[value]
    intervals = per_image.apply(lambda values: interval([values.to_numpy()], np.mean))
    result["low"], result["high"] = intervals.str[0], intervals.str[1]
    result["images"] = per_image.size()
    published = pd.DataFrame([vars(cell) for cell in paper.drops()]).set_index(cells)
    result["paper"] = published["mean"].reindex(result.index)
    result["paper_std"] = published["std"].reindex(result.index)
    return result.reset_index()


def interval(samples: Sequence[npt.NDArray[np.float64]], statistic: Callable[..., object]) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles, 2,000 resamples, seeded) of a statistic over images.

    Args:
        samples: one value per image and quantity; images are drawn together for all quantities.
        statistic: of the samples, with the keyword ``axis``.

    Returns:
        Lower and upper end; NaN for fewer than two images.
    """
    if len(samples[0]) < 2:
        return (math.nan, math.nan)
    found = stats.bootstrap(
        samples, statistic, paired=True, vectorized=True, n_resamples=2000, method="percentile", rng=0
    ).confidence_interval
    return (float(found.low), float(found.high))


def leads(table: pd.DataFrame, value: str = "drop") -> pd.DataFrame:
    """How far FAIG is ahead of the best other method in every cell of the paper's tables.

    Returns:
        One row per network, image set, input and percent: ``ratio`` of FAIG's mean to the largest of the other
        methods', with ``low`` and ``high`` (95 % bootstrap interval over images, all methods on the same images).
    """
    cells = ["network", "image_set", "input", "percent"]
    means = own_drops(table).groupby([*cells, "method", "image"], sort=False)[value].mean()
    others = [method for method in paper.METHODS if method != "faig"]

    def ratio(*samples: npt.NDArray[np.float64], axis: int = -1) -> npt.NDArray[np.float64]:
        first, *rest = (np.mean(sample, axis=axis) for sample in samples)
        return np.asarray(first / np.max(rest, axis=0))

    rows = []
    for keys, group in means.groupby(cells, sort=False):
        wide = group.unstack("method")
        samples = [wide[method].to_numpy() for method in ("faig", *others)]
        low, high = interval(samples, ratio)
        rows.append((*keys, float(ratio(*samples)), low, high))
    return pd.DataFrame(rows, columns=[*cells, "ratio", "low", "high"])


def selectivity(table: pd.DataFrame, method: str = "faig") -> pd.DataFrame:
    """Drop and PSNR for all four combinations of input and masked filters, mean over images and seeds.

    A method is selective where masking hurts the input it should and leaves the other alone. The paper shows this as
    curves only.

    Returns:
        One row per ``network``, ``image_set``, ``percent``, ``input`` and ``filters`` (function masked): the means of
        ``drop``, ``psnr``, ``psnr_target``, ``psnr_baseline`` and ``luminance_shift`` as of :func:`measure`, and
        ``psnr_level``, the PSNR without the squared shift of the mean gray level in its error: what would be left if
        the brightness were put right.
    """
    chosen = table[table["method"] == method]
    error = 10 ** (-chosen["psnr"] / 10) - (chosen["luminance_shift"] / 255) ** 2
    chosen = chosen.assign(psnr_level=-10 * np.log10(error.clip(lower=1e-10)))
    cells = ["network", "image_set", "percent", "input", "filters"]
    columns = ["drop", "psnr", "psnr_target", "psnr_baseline", "luminance_shift", "psnr_level"]
    return chosen.groupby(cells, sort=False)[columns].mean().reset_index()


def brightness_part(selectivity_table: pd.DataFrame, percent: float = 1) -> str:
    """Sentences on what masking costs the input that should not suffer, with and without the shift of brightness.

    Args:
        selectivity_table: from :func:`selectivity`.
        percent: of masked filters.
    """
    rows = selectivity_table[selectivity_table["percent"] == percent]
    rows = rows[rows["filters"] != rows["input"].map(OWN_FUNCTION)]
    lost = rows.assign(whole=rows["psnr_target"] - rows["psnr"], rest=rows["psnr_target"] - rows["psnr_level"])
    means = lost.groupby("network", sort=False)[["whole", "rest"]].mean()
    told = "; ".join(
        f"{TITLES[str(name)]} {row.whole:.2f} dB, {row.rest:.2f} dB of which remain when the brightness is put right"
        for name, row in means.iterrows()
    )
    return f"Masking {percent:g} % costs the other input, on average: {told}."


@dataclass(frozen=True)
class RankingVerdict:
    """In how many cells FAIG has the largest drop, and by how much.

    Attributes:
        cells: network × image set × input × proportion.
        won: cells in which no other method has a larger drop.
        least_ratio, median_ratio: FAIG's drop over the largest of the other methods'.
        random_share: median over cells of the random drop over FAIG's.
    """

    cells: int
    won: int
    least_ratio: float
    median_ratio: float
    random_share: float


def ranking_verdict(summary_table: pd.DataFrame) -> RankingVerdict:
    """Compare FAIG with the other methods in every cell of :func:`summary`."""
    wide = summary_table.pivot_table(
        index=["network", "image_set", "input", "percent"], columns="method", values="measured", sort=False
    )
    ratio = wide["faig"] / wide.drop(columns="faig").max(axis=1)
    share = wide["random"] / wide["faig"]
    return RankingVerdict(
        len(ratio), int((ratio >= 1).sum()), float(ratio.min()), float(ratio.median()), float(share.median())
    )


def lost_cells(summary_table: pd.DataFrame) -> str:
    """A sentence on the cells in which another method has a larger drop, and those in which FAIG's drop falls.

    A drop measures distance from the target's output. Masking more filters can bring the output back towards it, for
    instance by taking away a side effect such as a shift of brightness or of contrast, so a curve need not rise.
    """
    index = ["network", "image_set", "input", "percent"]
    wide = summary_table.pivot_table(index=index, columns="method", values="measured", sort=False)
    lost = wide[wide["faig"] < wide.drop(columns="faig").max(axis=1)]
    falling = [
        name
        for name, drop in wide["faig"].groupby(level=[0, 1, 2], sort=False)
        if not drop.sort_index(level="percent").is_monotonic_increasing
    ]

    def places(names: Iterable[tuple]) -> str:
        return "; ".join(
            f"{TITLES[one[0]]}, {datasets.title(one[1])}, {one[2]} input" + (f", {one[3]:g} %" if len(one) > 3 else "")
            for one in names
        )

    first = "No other method is ahead in any cell."
    if len(lost):
        first = f"Another method is ahead in: {places(lost.index)}."
    if not falling:
        return f"{first} The drop of FAIG's filters grows with their number everywhere."
    return (
        f"{first} The drop of FAIG's filters does not grow with their number everywhere; the exceptions: "
        f"{places(falling)}. The drop is a distance from the target's output, not a loss of quality, so masking more "
        "can bring the output nearer again. PSNR, in the table further down, shows what is lost."
    )


def channel_comparison(table: pd.DataFrame, percent: float = 1) -> pd.DataFrame:
    """The drop of FAIG's filters on gray outputs and on the blue channel, mean over images and seeds."""
    own = own_drops(table)
    own = own[(own["method"] == "faig") & (own["percent"] == percent)]
    means = own.groupby(["network", "image_set", "input"], sort=False)[["drop", "drop_blue"]].mean().reset_index()
    means["blue ÷ gray"] = means["drop_blue"] / means["drop"]
    return means.rename(columns={"drop": "gray (as published)", "drop_blue": "blue (as released)"})


@dataclass(frozen=True, eq=False)
class Gallery:
    """Restored images of one scene for the qualitative grid (main Fig. 4).

    Attributes:
        ground_truth: (1, 3, H, W).
        rows: {network and input: {column title: image}}; the columns are the input enlarged, the target, and the masked
            networks.
    """

    ground_truth: Tensor
    rows: dict[str, dict[str, Tensor]]


def galleries(bench: Workbench, image_set: str, image: str, percent: float, crop: int) -> Gallery:
    """Blurry and noisy input restored by every network's first target, whole and without either ability.

    Args:
        bench: where things are.
        image_set: set that holds the image; filters are discovered on the workbench's test set.
        image: its file name without the ending.
        percent: proportion of masked filters.
        crop: side of the central crop in HR pixels.
    """
    sample = next(one for one in bench.samples(image_set, None, crop) if one.name == image)
    rows = {}
    for network, seed in bench.first_pairs:
        pair = bench.pair(network, seed)
        rankings = discover(bench, pair, bench.test_set)
        networks = {"target": pair.target}
        for function in FUNCTIONS:
            filters = rankings.top("faig", function, percent)
            networks[f"without {percent:g} % {function} filters"] = substitute(pair.target, pair.baseline, filters)
        for kind in KINDS:
            low = sample.inputs[kind]
            enlarged = nn.functional.interpolate(low, scale_factor=2.0, mode="nearest")
            rows[f"{pair.title}, {kind}"] = {f"{pair.title}, {kind} input": enlarged.cpu()} | {
                title: restore(one, low).cpu() for title, one in networks.items()
            }
    return Gallery(sample.ground_truth.cpu(), rows)


def choices(bench: Workbench, pair: Pair, image_set: str, image: str, crop: int) -> dict[float, list[list[Tensor]]]:
    """One scene restored with more and more filters masked, for every proportion of :data:`CHOICES`.

    The arguments are those of :func:`galleries`.

    Returns:
        {percent: rows}: a row per input of :data:`KINDS`, in it the restorations, (1, 3, H, W) each, without the
        deblurring, without the denoising and without random filters.
    """
    rankings = discover(bench, pair, bench.test_set)
    sample = next(one for one in bench.samples(image_set, None, crop) if one.name == image)
    sets = [("faig", function) for function in FUNCTIONS] + [("random", next(iter(FUNCTIONS)))]
    result = {}
    for percent in CHOICES:
        networks = [
            substitute(pair.target, pair.baseline, rankings.top(method, function, percent)) for method, function in sets
        ]
        result[float(percent)] = [
            [restore(network, sample.inputs[kind]).cpu() for network in networks] for kind in KINDS
        ]
    return result
