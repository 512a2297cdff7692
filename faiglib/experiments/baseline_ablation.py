"""Which baseline, and why eliminate (supp. Fig. 8 and the ablation): two choices that FAIG rests on, taken away."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib.attribution import path_integral
from faiglib.degradations import INPUTS
from faiglib.experiments.discovery import FUNCTIONS, attributions
from faiglib.experiments.masking import KINDS, OWN_FUNCTION, Mask, measure
from faiglib.experiments.workbench import Workbench
from faiglib.filters import FilterIndex, FilterScores
from faiglib.metrics import mean_luminance, psnr
from faiglib.networks import TITLES, build
from faiglib.restoration import restore
from faiglib.substitution import substitute
from faiglib.zoo import Pair

#: Baselines θ̄ by the paper's subscripts: the trained one, a freshly initialised network, all parameters zero.
BASELINES = ("bilinear", "random", "zero")

#: Proportion of masked filters (%) in the comparison of baselines, as in supp. Fig. 8.
PERCENT = 1.0

#: Proportions of masked filters (%) with and without elimination.
ELIMINATION_PERCENTS = (1.0, 5.0)

#: Mean shift of the gray level (8-bit levels) from which on the brightness counts as broken: one percent of the range,
#: about what an eye notices when two images alternate.
BROKEN_SHIFT = 2.55


def baseline_network(bench: Workbench, pair: Pair, name: str) -> nn.Module:
    """The baseline θ̄ of that name (see :data:`BASELINES`), of the pair's architecture, on its device.

    The random network's seed follows from the workbench's and the pair's.

    Raises:
        ValueError: there is no such baseline.
    """
    if name == "bilinear":
        return pair.baseline
    if name == "random":
        seed = 1000 * bench.seed + 10 * pair.seed + 7
        fresh = build(pair.network, seed=seed, scale=INPUTS["clean"].scale)
        return fresh.to(bench.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if name == "zero":
        empty = copy.deepcopy(pair.baseline)
        with torch.no_grad():
            for parameter in empty.parameters():
                parameter.zero_()
        return empty
    raise ValueError(f"baseline must be one of {', '.join(BASELINES)}, not {name!r}")


@dataclass(frozen=True, eq=False)
class ImageScores:
    """FAIG of single images, nothing eliminated.

    Attributes:
        index: of the network.
        values: {input: (images, filters) float64}.
        errors: {input: (images,) float64}, relative completeness error: (sum of all contributions − change of the
            loss) ÷ change of the loss.
    """

    index: FilterIndex
    values: dict[str, Tensor]
    errors: dict[str, Tensor]

    def of(self, function: str, images: Tensor | None = None) -> FilterScores:
        """Scores of a function after elimination (paper, eq. 7), averaged over some images (default: all).

        Args:
            function: key of :data:`faiglib.experiments.discovery.FUNCTIONS`.
            images: their numbers, (n,) int64.
        """
        own, other = (self.values[kind] for kind in FUNCTIONS[function])
        difference = own - other
        return FilterScores(self.index, (difference if images is None else difference[images]).mean(0))


def image_scores(
    bench: Workbench, pair: Pair, baseline: str = "bilinear", kinds: tuple[str, ...] = KINDS
) -> ImageScores:
    """FAIG of every filter on every ablation image of the test set, one image at a time.

    Args:
        bench: where things are; its profile's ``ablation_images``, ``ablation_crop``, ``rule`` and ``nodes`` are used.
        pair: the target, and the ``bilinear`` baseline.
        baseline: where the path ends.
        kinds: inputs.
    """
    profile = bench.profile
    index = FilterIndex.of(pair.target)
    values, errors = {}, {}
    for kind in kinds:

        def compute(kind: str = kind) -> dict[str, Tensor]:
            samples = bench.samples(bench.test_set, profile.ablation_images, profile.ablation_crop)
            end = baseline_network(bench, pair, baseline)
            label = f"FAIG towards θ̄_{baseline}: {pair.title} seed {pair.seed}, {kind}"
            scores, missed = [], []
            for sample in tqdm(samples, desc=label, unit="image"):
                integral = path_integral(
                    pair.target,
                    end,
                    sample.inputs[kind],
                    sample.ground_truth,
                    rule=profile.rule,
                    nodes=profile.nodes,
                )
                scores.append(index.gather(integral.contributions).cpu())
                missed.append(integral.convergence_delta / (integral.loss_at_baseline - integral.loss_at_target))
            return {"scores": torch.stack(scores), "errors": torch.tensor(missed, dtype=torch.float64)}

        key = bench.key(
            pair,
            bench.test_set,
            baseline=baseline,
            kind=kind,
            rule=profile.rule,
            nodes=profile.nodes,
            limit=profile.ablation_images,
            crop=profile.ablation_crop,
        )
        stored = bench.store.tensors("baseline_ablation/scores", key, compute)
        values[kind], errors[kind] = stored["scores"], stored["errors"]
    return ImageScores(index, values, errors)


def ablation(bench: Workbench) -> pd.DataFrame:
    """Mask 1 % of the filters, found with each baseline and replaced by each baseline (supp. Fig. 8 in numbers).

    Returns:
        The columns of :func:`faiglib.experiments.masking.measure`
        after ``network``, ``seed`` and ``image_set``, with ``found_with``
        in place of ``method``, and ``replaced_by``. ``psnr_baseline`` belongs to the network ``replaced_by``.
    """

    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        masks = [
            Mask(name, function, PERCENT, scores.of(function).top(PERCENT))
            for name in BASELINES
            for scores in (image_scores(bench, pair, name),)
            for function in FUNCTIONS
        ]
        samples = bench.samples(image_set, bench.profile.ablation_images, bench.profile.evaluation_crop)
        parts = []
        for name in BASELINES:
            replaced = dataclasses.replace(pair, baseline=baseline_network(bench, pair, name))
            label = f"masking by θ̄_{name}: {pair.title} seed {pair.seed}"
            part = measure(replaced, masks, samples, label).rename(columns={"method": "found_with"})
            part.insert(1, "replaced_by", name)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    return bench.table_per_pair("baseline_ablation/masking", (bench.test_set,), compute)


def completeness(bench: Workbench) -> pd.DataFrame:
    """How well the path integral towards each baseline converged.

    Returns:
        One row per ``network``, ``seed``, ``found_with`` and ``input``: ``error_percent``, the mean over images of the
        absolute completeness error in percent of the change of the loss.
    """
    rows = []
    for pair in bench.pairs():
        for name in BASELINES:
            errors = image_scores(bench, pair, name).errors
            rows += [
                {
                    "network": pair.network,
                    "seed": pair.seed,
                    "found_with": name,
                    "input": kind,
                    "error_percent": 100 * float(errors[kind].abs().mean()),
                }
                for kind in KINDS
            ]
    return pd.DataFrame(rows)


def elimination(bench: Workbench) -> pd.DataFrame:
    """Mask the filters that FAIG ranks highest with and without subtracting the other degradation.

    The path integrals are those of the chapter on masking, from the test set.

    Returns:
        The columns of :func:`faiglib.experiments.masking.measure`
        after ``network``, ``seed`` and ``image_set``; ``method`` is
        ``with`` or ``without`` (elimination).
    """

    def compute(pair: Pair, image_set: str) -> pd.DataFrame:
        masks = [
            Mask(method, function, percent, scores.top(percent))
            for (method, function), scores in elimination_scores(bench, pair).items()
            for percent in ELIMINATION_PERCENTS
        ]
        samples = bench.samples(image_set, bench.profile.ablation_images, bench.profile.evaluation_crop)
        return measure(pair, masks, samples, f"elimination: {pair.title} seed {pair.seed}")

    return bench.table_per_pair("baseline_ablation/elimination", (bench.test_set,), compute)


def elimination_scores(bench: Workbench, pair: Pair) -> dict[tuple[str, str], FilterScores]:
    """FAIG of the test set with and without elimination: {(``with`` or ``without``, function): scores}."""
    raw = attributions(bench, pair, bench.test_set)
    scores = {}
    for function, (own, other) in FUNCTIONS.items():
        scores["with", function] = raw["faig", own] - raw["faig", other]
        scores["without", function] = raw["faig", own]
    return scores


def common_filters(bench: Workbench) -> pd.DataFrame:
    """Share of filters that are among the best for deblurring and for denoising at once.

    Returns:
        One row per ``network``, ``seed``, ``method`` (``with`` or ``without``) and ``percent``: ``overlap``, 0 to 1.
    """
    rows = []
    for pair in bench.pairs():
        scores = elimination_scores(bench, pair)
        for method in ("with", "without"):
            for percent in ELIMINATION_PERCENTS:
                first, second = (scores[method, function].top(percent) for function in FUNCTIONS)
                rows.append(
                    {
                        "network": pair.network,
                        "seed": pair.seed,
                        "method": method,
                        "percent": percent,
                        "overlap": first.overlap(second),
                    }
                )
    return pd.DataFrame(rows)


def own_and_other(table: pd.DataFrame, cells: list[str]) -> pd.DataFrame:
    """What masking costs on the input that the filters are for and on the other one, mean over images and seeds.

    Args:
        table: from :func:`ablation` or :func:`elimination`.
        cells: columns that tell the rows of the result apart; ``filters`` must be one of them.

    Returns:
        One row per cell: ``drop_own``, ``drop_other`` (gradient-map MSE ×10³), ``lost_own``, ``lost_other`` (dB of
        PSNR against the target), ``shift_own``, ``shift_other`` (mean of the absolute brightness shift of an image,
        8-bit levels), ``signed_own`` (mean brightness shift), ``selectivity`` (``drop_own`` ÷ ``drop_other``).
    """
    side = (table["filters"] == table["input"].map(OWN_FUNCTION)).map({True: "own", False: "other"})
    values = table.assign(
        side=side,
        lost=table["psnr_target"] - table["psnr"],
        shift=table["luminance_shift"].abs(),
        signed=table["luminance_shift"],
    )
    names = ["drop", "lost", "shift", "signed"]
    means = values.groupby([*cells, "side"], sort=False)[names].mean().unstack("side")
    means.columns = [f"{name}_{place}" for name, place in means.columns]
    means["selectivity"] = means["drop_own"] / means["drop_other"]
    order = [f"{name}_{place}" for name in names for place in ("own", "other")]
    return means[[*order, "selectivity"]].drop(columns="signed_other").reset_index()


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """:func:`own_and_other` of :func:`ablation` by ``network``, ``filters``, ``found_with`` and ``replaced_by``."""
    return own_and_other(table, ["network", "filters", "found_with", "replaced_by"])


def elimination_summary(table: pd.DataFrame) -> pd.DataFrame:
    """:func:`own_and_other` of :func:`elimination` by ``network``, ``filters``, ``percent`` and ``method``."""
    return own_and_other(table, ["network", "filters", "percent", "method"])


@dataclass(frozen=True)
class BaselineVerdict:
    """Claim (h) in numbers; a cell is one network and one function.

    Attributes:
        cells: how many.
        finding_won: cells in which the filters found with θ̄_bilinear have the largest drop on their own input, all
            replaced by θ̄_bilinear.
        by_network: {network: (cells won, cells)} of ``finding_won``.
        finding_least, finding_median: that drop over the best of the other two baselines', by cell.
        replacing_won: cells in which replacing by θ̄_bilinear shifts the brightness least, all found with θ̄_bilinear.
        shifts: {replaced by: mean absolute brightness shift on the own input, 8-bit levels}.
        broken: {replaced by: cells in which the shift is at least :data:`BROKEN_SHIFT`}.
        lost_other: {replaced by: mean PSNR in dB lost on the input that should not suffer}.
    """

    cells: int
    finding_won: int
    by_network: dict[str, tuple[int, int]]
    finding_least: float
    finding_median: float
    replacing_won: int
    shifts: dict[str, float]
    broken: dict[str, int]
    lost_other: dict[str, float]

    @property
    def finding_sentence(self) -> str:
        """What came out about finding, in words."""
        if self.finding_won == self.cells:
            start = f"The trained baseline finds the filters that matter most in all {self.cells} cells"
        elif self.finding_won:
            start = (
                f"The trained baseline finds the filters that matter most in {self.finding_won} of {self.cells} cells"
            )
        else:
            start = f"The trained baseline finds the filters that matter most in none of the {self.cells} cells"
        told = ", ".join(f"{TITLES[name]} {won} of {cells}" for name, (won, cells) in self.by_network.items())
        return (
            f"{start} (network × function): {told}. The drop of its filters is {self.finding_median:.1f} times that of "
            f"the better of the other two in the median cell and {self.finding_least:.2g} times in the worst."
        )

    @property
    def replacing_sentence(self) -> str:
        """What came out about replacing, in words."""
        shifts = [f"{self.shifts[name]:.1f}" for name in BASELINES]
        bad = [name for name in ("random", "zero") if self.broken[name] == self.cells]
        some = [name for name in ("random", "zero") if 0 < self.broken[name] < self.cells]
        parts = [
            f"With replacements from θ̄_bilinear the brightness shifts by {shifts[0]} levels on average, from θ̄_random "
            f"by {shifts[1]} and from θ̄_zero by {shifts[2]}; θ̄_bilinear shifts it least in {self.replacing_won} of "
            f"{self.cells} cells."
        ]
        if bad:
            parts.append(f"Every cell is broken by {_names(bad)}.")
        if some:
            counted = _names([f"{name}: {self.broken[name]} of {self.cells}" for name in some], prefix="θ̄_")
            parts.append(f"Some cells are broken ({counted}).")
        if not bad and not some:
            parts.append("In no cell do θ̄_random or θ̄_zero break it.")
        if self.broken["bilinear"]:
            parts.append(f"θ̄_bilinear itself breaks {self.broken['bilinear']} of {self.cells} cells.")
        lost = [f"{self.lost_other[name]:.2f}" for name in BASELINES]
        parts.append(
            f"The input that should not suffer loses {lost[0]}, {lost[1]} and {lost[2]} dB, in the same order."
        )
        parts.append(f"Broken means a mean shift of at least {BROKEN_SHIFT:g} levels, one percent of the range.")
        return " ".join(parts)


def _names(names: list[str], prefix: str = "θ̄_") -> str:
    return " and ".join(f"{prefix}{name}" for name in names)


def baseline_verdict(cells: pd.DataFrame) -> BaselineVerdict:
    """Compare the baselines in :func:`summary`."""

    def wide(fixed: str, varied: str, value: str) -> pd.DataFrame:
        rows = cells[cells[fixed] == "bilinear"]
        return rows.pivot_table(index=["network", "filters"], columns=varied, values=value, sort=False)

    found = wide("replaced_by", "found_with", "drop_own")
    ratio = found["bilinear"] / found.drop(columns="bilinear").max(axis=1)
    shift = wide("found_with", "replaced_by", "shift_own")
    lost = wide("found_with", "replaced_by", "lost_other")
    won = ratio >= 1
    return BaselineVerdict(
        cells=len(found),
        by_network={
            str(name): (int(cells.sum()), len(cells)) for name, cells in won.groupby(level="network", sort=False)
        },
        finding_won=int(won.sum()),
        finding_least=float(ratio.min()),
        finding_median=float(ratio.median()),
        replacing_won=int((shift["bilinear"] <= shift.drop(columns="bilinear").min(axis=1)).sum()),
        shifts={name: float(shift[name].mean()) for name in BASELINES},
        broken={name: int((shift[name] >= BROKEN_SHIFT).sum()) for name in BASELINES},
        lost_other={name: float(lost[name].mean()) for name in BASELINES},
    )


@dataclass(frozen=True)
class EliminationVerdict:
    """Claim (i) in numbers; a cell is one network, function and proportion.

    Attributes:
        cells: how many.
        more_selective: cells in which the own-input drop over the other-input drop is larger with elimination.
        gain: median over cells of that ratio with elimination over the ratio without.
        kept: median over cells of the own-input drop with elimination over the one without.
        selectivity_with, selectivity_without: medians over cells of own-input drop ÷ other-input drop.
        lost_other_with, lost_other_without: mean PSNR in dB lost on the other input.
    """

    cells: int
    more_selective: int
    gain: float
    kept: float
    selectivity_with: float
    selectivity_without: float
    lost_other_with: float
    lost_other_without: float

    @property
    def sentence(self) -> str:
        """What came out, in words."""
        price = (
            f"The drop on the own input is {self.kept:.2f} times what it is without elimination"
            if self.kept < 1
            else f"The drop on the own input does not suffer ({self.kept:.2f} times what it is without elimination)"
        )
        return (
            f"With elimination the filters are more selective in {self.more_selective} of {self.cells} cells "
            f"(network × function × proportion): the ratio of the two drops is {self.selectivity_with:.1f} instead of "
            f"{self.selectivity_without:.1f} in the median cell, and masking costs the other input "
            f"{self.lost_other_with:.2f} dB instead of {self.lost_other_without:.2f} dB on average. {price}, median "
            f"over cells."
        )


def elimination_verdict(cells: pd.DataFrame) -> EliminationVerdict:
    """Compare the two variants in :func:`elimination_summary`."""
    index = ["network", "filters", "percent"]
    values = ["selectivity", "drop_own", "lost_other"]
    wide = cells.pivot_table(index=index, columns="method", values=values, sort=False)
    gain = wide["selectivity", "with"] / wide["selectivity", "without"]
    return EliminationVerdict(
        cells=len(wide),
        more_selective=int((gain > 1).sum()),
        gain=float(gain.median()),
        kept=float((wide["drop_own", "with"] / wide["drop_own", "without"]).median()),
        selectivity_with=float(wide["selectivity", "with"].median()),
        selectivity_without=float(wide["selectivity", "without"].median()),
        lost_other_with=float(wide["lost_other", "with"].mean()),
        lost_other_without=float(wide["lost_other", "without"].mean()),
    )


@dataclass(frozen=True)
class Picture:
    """A restored image with what is wrong with it.

    Attributes:
        image: (1, 3, H, W).
        psnr: dB.
        shift: mean gray level against the target's output, 8-bit levels.
    """

    image: Tensor
    psnr: float
    shift: float


@dataclass(frozen=True, eq=False)
class AblationGallery:
    """One scene for supp. Fig. 8.

    Attributes:
        references: {title: picture}: target, trained baseline, ground truth.
        cells: {(found_with, replaced_by): picture}.
    """

    references: dict[str, Picture]
    cells: dict[tuple[str, str], Picture]


def gallery(
    bench: Workbench, pair: Pair, function: str, image: str = "chelsea", crop: int = 120, image_set: str = "skimage"
) -> AblationGallery:
    """The own input of a function, restored without its filters, for every way of finding and replacing them.

    Args:
        bench: where things are.
        pair: target and trained baseline.
        function: key of :data:`faiglib.experiments.discovery.FUNCTIONS`.
        image: file name without ending.
        crop: side of the central crop in HR pixels.
        image_set: that holds the image.
    """
    sample = next(one for one in bench.samples(image_set, None, crop) if one.name == image)
    low = sample.inputs[FUNCTIONS[function][0]]
    target = restore(pair.target, low)

    def picture(output: Tensor) -> Picture:
        shift = 255 * float(mean_luminance(output) - mean_luminance(target))
        return Picture(output.cpu(), float(psnr(output, sample.ground_truth)), shift)

    networks = {name: baseline_network(bench, pair, name) for name in BASELINES}
    cells = {}
    for found in BASELINES:
        filters = image_scores(bench, pair, found).of(function).top(PERCENT)
        for name, network in networks.items():
            cells[found, name] = picture(restore(substitute(pair.target, network, filters), low))
    references = {
        "target": picture(target),
        "trained baseline": picture(restore(pair.baseline, low)),
        "ground truth": picture(sample.ground_truth),
    }
    return AblationGallery(references, cells)
