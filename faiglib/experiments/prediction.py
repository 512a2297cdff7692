"""Degradation prediction (paper, section 4.4; supp. Fig. 9): which degradation an image shows, from its filters.

The filters of the degradations are discovered on one image set, the thresholds are chosen on a second and the accuracy
is measured on the others, so that no image serves twice as long as there are three sets.

Words of the columns:
    ``degradation`` is ``blur`` or ``noise``. ``predictor`` is ``pseudo`` (overlap score, filter^x with the target's own
    output as ground truth: blind), ``oracle`` (overlap score with the true one) or ``plain`` (a rule on pixels, without
    a network). ``inputs`` is ``two`` (blurry and noisy, as in the paper) or ``four`` (clean and blurry+noisy as well).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from faiglib import datasets, paper
from faiglib.attribution.faig import ParameterPath
from faiglib.degradations import INPUTS
from faiglib.experiments.discovery import discover
from faiglib.experiments.workbench import Sample, Workbench
from faiglib.filters import FilterSet
from faiglib.networks import TITLES
from faiglib.prediction import (
    Roc,
    accuracy_curve,
    auc_interval,
    choose_threshold,
    filters_of_image,
    laplacian_energy,
    noise_level,
    overlap_scores,
    roc,
    wilson_interval,
)
from faiglib.zoo import Pair

#: Function whose filters speak for a degradation.
DEGRADATIONS = {"blur": "deblurring", "noise": "denoising"}

#: Inputs that show a degradation.
PRESENT = {"blur": ("blurry", "blurry+noisy"), "noise": ("noisy", "blurry+noisy")}

#: Inputs that thresholds are chosen from or tested with.
CASES = {"two": ("blurry", "noisy"), "four": tuple(INPUTS)}

#: Predictors as printed.
PREDICTORS = {"pseudo": "overlap, blind", "oracle": "overlap, oracle", "plain": "plain rule"}

#: Proportion of filters in filter^D and filter^x, in %, as in the paper.
PERCENT = 1

#: Sets in the order of their parts: filters on the first, thresholds on the second, accuracy on the others.
SETS = ("set14", "bsd100", "kodak24", "div2k_valid")

#: Network and seed in the rows of the plain rule, which has neither.
NO_NETWORK = "none"

_RUN = ["network", "seed", "predictor", "degradation"]


@dataclass(frozen=True)
class Roles:
    """Which image set does what.

    Attributes:
        discovery: filters of the degradations are discovered on it.
        thresholds: thresholds are chosen on it.
        tests: accuracy is measured on these.
        missing: titles of the sets that are not on this machine.
    """

    discovery: str
    thresholds: str
    tests: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def scored(self) -> tuple[str, ...]:
        """The sets whose images are predicted."""
        return tuple(dict.fromkeys((self.thresholds, *self.tests)))

    @property
    def independent(self) -> bool:
        """Whether no set has two parts."""
        return len({self.discovery, self.thresholds, *self.tests}) == 2 + len(self.tests)


def widen(bench: Workbench) -> Workbench:
    """The workbench with all sets of :data:`SETS`, whatever the profile uses in other chapters.

    Where fewer than two of them are on the machine, scikit-image's photographs come with them.
    """

    def using(image_sets: tuple[str, ...]) -> Workbench:
        return dataclasses.replace(bench, profile=dataclasses.replace(bench.profile, image_sets=image_sets))

    wide = using(SETS)
    return wide if len(wide.image_sets) > 1 else using(("skimage", *SETS))


def roles(bench: Workbench) -> Roles:
    """Share out the sets that are on the machine.

    With two sets the first serves filters and thresholds; with one, scikit-image's photographs are the test; with none,
    those photographs are everything, and thresholds are chosen for each photograph on the others.
    """
    found = [name for name in SETS if name in bench.image_sets]
    missing = tuple(datasets.title(name) for name in SETS if name not in found)
    if len(found) >= 3:
        return Roles(found[0], found[1], tuple(found[2:]), missing)
    if found:
        return Roles(found[0], found[0], tuple(found[1:]) or ("skimage",), missing)
    return Roles("skimage", "skimage", ("skimage",), missing)


def roles_table(bench: Workbench) -> pd.DataFrame:
    """The parts of :func:`roles` as a table to be shown: ``used for``, ``image set``, ``images``, ``crop``."""
    parts, profile = roles(bench), bench.profile
    discovery = (profile.discovery_images, profile.discovery_crop)
    predicted = (profile.prediction_images, profile.prediction_crop)
    rows = []
    for use, image_set, (limit, crop) in (
        ("filters of the degradations", parts.discovery, discovery),
        ("thresholds", parts.thresholds, predicted),
        *(("accuracy", name, predicted) for name in parts.tests),
    ):
        chosen = bench.image_set(image_set)
        side = "whole" if crop is None else f"central {crop}×{crop} pixels"
        rows.append({"used for": use, "image set": chosen.title, "images": len(chosen.select(limit)), "crop": side})
    return pd.DataFrame(rows)


def roles_sentence(parts: Roles) -> str:
    """What the sharing out of the sets means for the numbers, and which sets are missing."""
    if parts.independent:
        text = "No image serves twice."
    elif parts.discovery != parts.tests[0]:
        text = (
            "Filters and thresholds come from one set, for want of a third; the accuracy is measured on other images."
        )
    else:
        text = (
            "Only scikit-image's photographs are on this machine. Filters are discovered on them too, and the "
            "threshold for each photograph is chosen on the others: read the numbers as a trial of the code, not as a "
            "measurement."
        )
    return text + (f" Not on this machine: {', '.join(parts.missing)}." if parts.missing else "")


def scores(bench: Workbench) -> pd.DataFrame:
    """Overlap scores of every trained pair, and the plain rule's, on the sets that have a part.

    Args:
        bench: from :func:`widen`.

    Returns:
        One row per ``network``, ``seed``, ``predictor``, ``degradation``, ``image_set``, ``image`` and ``input``:
        ``score`` (overlap in [0, 1]; for the plain rule the noise level on the [0, 1] scale and the negative decadic
        logarithm of the Laplacian's variance), and ``present``, whether the input shows the degradation. The plain rule
        has network ``none`` and seed 0.
    """
    parts = roles(bench)
    tables = [_plain_scores(bench, image_set) for image_set in parts.scored]

    def of_pair(pair: Pair) -> pd.DataFrame:
        rankings = discover(bench, pair, parts.discovery)
        filters = {name: rankings.top("faig", function, PERCENT) for name, function in DEGRADATIONS.items()}
        return pd.concat([_pair_scores(bench, pair, filters, image_set) for image_set in parts.scored])

    return pd.concat([*tables, *bench.over_pairs(of_pair)], ignore_index=True)


def _pair_scores(bench: Workbench, pair: Pair, filters: dict[str, FilterSet], image_set: str) -> pd.DataFrame:
    profile = bench.profile

    def compute() -> pd.DataFrame:
        samples = bench.samples(image_set, profile.prediction_images, profile.prediction_crop)
        label = f"prediction: {pair.title} seed {pair.seed}, {bench.image_set(image_set).title}"
        path = ParameterPath(pair.target, pair.baseline)
        rows = []
        for sample in tqdm(samples, desc=label, unit="image"):
            for kind, image in sample.inputs.items():
                for predictor, truth in (("pseudo", None), ("oracle", sample.ground_truth)):
                    own = filters_of_image(
                        path,
                        image,
                        truth,
                        percent=PERCENT,
                        rule=profile.prediction_rule,
                        nodes=profile.prediction_nodes,
                    )
                    rows += _rows(sample, kind, predictor, overlap_scores(own, filters))
        return pd.DataFrame(rows)

    key = bench.key(
        pair,
        image_set,
        percent=PERCENT,
        filters={name: one.ids for name, one in filters.items()},
        rule=profile.prediction_rule,
        nodes=profile.prediction_nodes,
        limit=profile.prediction_images,
        crop=profile.prediction_crop,
    )
    table = bench.store.table("prediction/scores", key, compute)
    return table.assign(network=pair.network, seed=pair.seed, image_set=image_set)


def _plain_scores(bench: Workbench, image_set: str) -> pd.DataFrame:
    rows = []
    for sample in bench.samples(image_set, bench.profile.prediction_images, bench.profile.prediction_crop):
        for kind, image in sample.inputs.items():
            rows += _rows(sample, kind, "plain", {"blur": -laplacian_energy(image), "noise": noise_level(image)})
    return pd.DataFrame(rows).assign(network=NO_NETWORK, seed=0, image_set=image_set)


def _rows(sample: Sample, kind: str, predictor: str, values: dict[str, float]) -> list[dict[str, object]]:
    return [
        {
            "predictor": predictor,
            "degradation": degradation,
            "image": sample.name,
            "input": kind,
            "score": value,
            "present": kind in PRESENT[degradation],
        }
        for degradation, value in values.items()
    ]


def stability(bench: Workbench, factor: int = 4) -> pd.DataFrame:
    """How much filter^x and its scores move when the integral gets ``factor`` times as many nodes.

    On the main pair and a few images of the thresholds' set.

    Args:
        bench: from :func:`widen`.
        factor: of refinement.

    Returns:
        One row per ``image``, ``input`` (blurry and noisy), ``predictor``: ``common``, the share of filter^x that
        stays, and ``blur`` and ``noise``, the change of the overlap scores.
    """
    profile, parts = bench.profile, roles(bench)
    pair = bench.pair(*bench.main_pair)
    rankings = discover(bench, pair, parts.discovery)
    filters = {name: rankings.top("faig", function, PERCENT) for name, function in DEGRADATIONS.items()}

    def compute() -> pd.DataFrame:
        path = ParameterPath(pair.target, pair.baseline)
        samples = bench.samples(parts.thresholds, profile.prediction_check_images, profile.prediction_crop)
        rows = []
        for sample in tqdm(samples, desc=f"prediction, more nodes: {pair.title} seed {pair.seed}", unit="image"):
            for kind in CASES["two"]:
                for predictor, truth in (("pseudo", None), ("oracle", sample.ground_truth)):
                    coarse, fine = (
                        filters_of_image(
                            path,
                            sample.inputs[kind],
                            truth,
                            percent=PERCENT,
                            rule=profile.prediction_rule,
                            nodes=nodes,
                        )
                        for nodes in (profile.prediction_nodes, factor * profile.prediction_nodes)
                    )
                    before, after = (overlap_scores(own, filters) for own in (coarse, fine))
                    change = {name: after[name] - before[name] for name in before}
                    row = {"image": sample.name, "input": kind, "predictor": predictor}
                    rows.append({**row, "common": fine.overlap(coarse), **change})
        return pd.DataFrame(rows)

    key = bench.key(
        pair,
        parts.thresholds,
        percent=PERCENT,
        filters={name: one.ids for name, one in filters.items()},
        rule=profile.prediction_rule,
        nodes=profile.prediction_nodes,
        factor=factor,
        limit=profile.prediction_check_images,
        crop=profile.prediction_crop,
    )
    return bench.store.table("prediction/stability", key, compute)


def thresholds(table: pd.DataFrame) -> pd.DataFrame:
    """The best threshold of every trained pair, predictor and degradation, on each set by itself.

    Args:
        table: from :func:`scores`.

    Returns:
        One row per ``network``, ``seed``, ``predictor``, ``degradation``, ``image_set`` and ``inputs``: ``threshold``,
        ``low`` and ``high`` (the range that does as well), ``accuracy`` (share of right decisions on this very set).
    """
    rows = []
    for case, kinds in CASES.items():
        chosen = table[table["input"].isin(kinds)]
        for group, images in chosen.groupby([*_RUN, "image_set"], sort=False):
            best = choose_threshold(images["score"], images["present"])
            row = dict(zip([*_RUN, "image_set"], group, strict=True))
            found = {"threshold": best.value, "low": best.low, "high": best.high, "accuracy": best.accuracy}
            rows.append({**row, "inputs": case, **found})
    return pd.DataFrame(rows)


def decisions(table: pd.DataFrame) -> pd.DataFrame:
    """What is predicted for every image, with thresholds from every other set and with the paper's.

    Where there is one set only, the threshold for an image is chosen on the other images of that set.

    Args:
        table: from :func:`scores`.

    Returns:
        The rows of ``table`` once per ``thresholds_on`` (image set, or ``paper``) and ``chosen_from`` (``two`` or
        ``four`` inputs), with ``threshold``, ``predicted`` and ``right``.
    """
    best = thresholds(table).drop(columns=["low", "high", "accuracy"])
    best = best.rename(columns={"image_set": "thresholds_on", "inputs": "chosen_from"})
    merged = table.merge(best, on=_RUN)
    merged = merged[merged["image_set"] != merged["thresholds_on"]]
    if table["image_set"].nunique() == 1:
        merged = _leave_one_out(table)
    own = table[table["predictor"] != "plain"]
    published = own.assign(
        thresholds_on="paper",
        chosen_from="two",
        threshold=own["degradation"].map({name: one.threshold for name, one in paper.PREDICTION.items()}),
    )
    result = pd.concat([merged, published], ignore_index=True)
    result["predicted"] = result["score"] > result["threshold"]
    return result.assign(right=result["predicted"] == result["present"])


def _leave_one_out(table: pd.DataFrame) -> pd.DataFrame:
    """Each image with the thresholds that are best on the others."""
    parts = []
    for image in table["image"].unique():
        is_image = table["image"] == image
        best = thresholds(table[~is_image]).drop(columns=["low", "high", "accuracy"])
        best = best.rename(columns={"image_set": "thresholds_on", "inputs": "chosen_from"})
        parts.append(table[is_image].merge(best, on=_RUN))
    return pd.concat(parts, ignore_index=True)


def accuracy(decided: pd.DataFrame) -> pd.DataFrame:
    """Share of right decisions: per training run, then mean and standard deviation over runs.

    Args:
        decided: from :func:`decisions`.

    Returns:
        One row per ``network``, ``predictor``, ``degradation``, ``thresholds_on``, ``image_set``, ``chosen_from`` and
        ``inputs`` (tested with): ``accuracy``, ``spread`` (over seeds; NaN for one), ``seeds``, ``decisions`` (of one
        seed), ``low`` and ``high`` (95 % interval of Wilson for so many decisions as those of one seed), ``threshold``
        (mean over seeds).
    """
    cells = ["network", "predictor", "degradation", "thresholds_on", "image_set", "chosen_from", "inputs"]
    tested = pd.concat([decided[decided["input"].isin(kinds)].assign(inputs=case) for case, kinds in CASES.items()])
    runs = tested.groupby([*cells, "seed"], sort=False).agg(
        accuracy=("right", "mean"), decisions=("right", "size"), threshold=("threshold", "mean")
    )
    grouped = runs.groupby(cells, sort=False)
    result = grouped.mean()
    result["decisions"] = grouped["decisions"].first()
    result["spread"], result["seeds"] = grouped["accuracy"].std(), grouped.size()
    bounds = [wilson_interval(row.accuracy * row.decisions, row.decisions) for row in result.itertuples()]
    result["low"], result["high"] = np.transpose(bounds)
    return result.reset_index()


def rates(decided: pd.DataFrame) -> pd.DataFrame:
    """How often each kind of input is said to be blurry, and noisy.

    Args:
        decided: from :func:`decisions`.

    Returns:
        One row per ``network``, ``predictor``, ``thresholds_on``, ``chosen_from``, ``image_set``, ``input`` and
        ``degradation``: ``rate``, the share of images (all seeds) predicted to show the degradation, and ``present``.
    """
    cells = ["network", "predictor", "thresholds_on", "chosen_from", "image_set", "input", "degradation"]
    grouped = decided.groupby(cells, sort=False)
    return grouped.agg(rate=("predicted", "mean"), present=("present", "first")).reset_index()


def blind_rates(table: pd.DataFrame, parts: Roles) -> dict[str, float]:
    """What the blind predictor says of clean and of blurry+noisy inputs, mean over networks and tested sets.

    Args:
        table: from :func:`rates`.
        parts: from :func:`roles`.

    Returns:
        Shares ``clean_blur``, ``clean_noise``, ``both_blur``, ``both_noise``, with thresholds from blurry and noisy
        inputs of ``parts.thresholds``.
    """
    chosen = table[
        (table["predictor"] == "pseudo")
        & (table["thresholds_on"] == parts.thresholds)
        & (table["chosen_from"] == "two")
        & table["image_set"].isin(parts.tests)
    ]
    means = chosen.groupby(["input", "degradation"])["rate"].mean()
    names = {"clean": "clean", "blurry+noisy": "both"}
    return {f"{name}_{one}": float(means[kind, one]) for kind, name in names.items() for one in DEGRADATIONS}


def both_right(decided: pd.DataFrame) -> pd.DataFrame:
    """Share of inputs of all four kinds for which blur and noise are both decided rightly; chance is a quarter.

    Returns:
        One row per ``network``, ``predictor``, ``thresholds_on``, ``image_set`` and ``chosen_from``: ``accuracy``, the
        mean over images and seeds.
    """
    cells = ["network", "predictor", "thresholds_on", "image_set", "chosen_from"]
    whole = decided.groupby([*cells, "seed", "image", "input"], sort=False)["right"].all()
    return whole.groupby(cells, sort=False).mean().rename("accuracy").reset_index()


def curves(table: pd.DataFrame, points: int = 101) -> pd.DataFrame:
    """Accuracy against the threshold on the overlap score (supp. Fig. 9).

    Args:
        table: from :func:`scores`.
        points: thresholds from 0 to 1.

    Returns:
        One row per ``network``, ``predictor``, ``degradation``, ``image_set``, ``inputs``, ``seed`` and ``threshold``:
        ``accuracy``.
    """
    grid = np.linspace(0, 1, points)
    parts = []
    for case, kinds in CASES.items():
        chosen = table[table["input"].isin(kinds) & (table["predictor"] != "plain")]
        for group, images in chosen.groupby([*_RUN, "image_set"], sort=False):
            values = accuracy_curve(images["score"], images["present"], grid)
            row = dict(zip([*_RUN, "image_set"], group, strict=True))
            parts.append(pd.DataFrame({**row, "inputs": case, "threshold": grid, "accuracy": values}))
    return pd.concat(parts, ignore_index=True)


def rocs(table: pd.DataFrame) -> dict[tuple[str, str, str, str, str, int], Roc]:
    """The ROC of every training run: {(network, predictor, degradation, image set, inputs, seed): curve}."""
    found = {}
    for case, kinds in CASES.items():
        chosen = table[table["input"].isin(kinds)]
        for (network, seed, *rest), images in chosen.groupby([*_RUN, "image_set"], sort=False):
            found[network, *rest, case, seed] = roc(images["score"], images["present"])
    return found


def areas(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Area under the ROC with a bootstrap interval over images.

    Args:
        table: from :func:`scores`.
        level: of the interval.

    Returns:
        One row per ``network``, ``predictor``, ``degradation``, ``image_set`` and ``inputs``: ``auc`` (mean over
        seeds), ``low`` and ``high``, ``seeds``, ``images``.
    """
    cells = ["network", "predictor", "degradation", "image_set"]
    rows = []
    for case, kinds in CASES.items():
        chosen = table[table["input"].isin(kinds)]
        for group, images in chosen.groupby(cells, sort=False):
            wide = images.pivot(index=["image", "input", "present"], columns="seed", values="score")
            names, present = wide.index.get_level_values("image"), wide.index.get_level_values("present")
            runs = wide.to_numpy().T
            low, high = auc_interval(runs, present, names, level=level)
            row = dict(zip(cells, group, strict=True))
            found = {
                "auc": float(np.mean([roc(run, present).auc for run in runs])),
                "low": low,
                "high": high,
                "seeds": len(runs),
                "images": names.nunique(),
            }
            rows.append({**row, "inputs": case, **found})
    return pd.DataFrame(rows)


def candidates(table: pd.DataFrame) -> pd.DataFrame:
    """The two ways to get a filter^x, compared image by image.

    Returns:
        One row per ``network``, ``degradation`` and ``input``: mean scores ``pseudo`` and ``oracle`` over images, sets
        and seeds, and ``difference``, the mean absolute difference of the two.
    """
    own = table[table["predictor"] != "plain"]
    keys = ["network", "seed", "degradation", "input", "image_set", "image"]
    wide = own.pivot(index=keys, columns="predictor", values="score").reset_index()
    wide["difference"] = (wide["pseudo"] - wide["oracle"]).abs()
    cells = ["network", "degradation", "input"]
    return wide.groupby(cells, sort=False)[["pseudo", "oracle", "difference"]].mean().reset_index()


def headline(cells: pd.DataFrame, parts: Roles) -> pd.DataFrame:
    """The cells of :func:`accuracy` that compare with the paper: thresholds of the set that is meant for them.

    Returns:
        Rows with thresholds from ``parts.thresholds`` on the sets of ``parts.tests``, chosen from and tested with
        blurry and noisy inputs, and the paper's ``paper`` accuracy for the overlap scores.
    """
    chosen = cells[
        (cells["thresholds_on"] == parts.thresholds)
        & cells["image_set"].isin(parts.tests)
        & (cells["chosen_from"] == "two")
        & (cells["inputs"] == "two")
    ]
    published = chosen["degradation"].map({name: one.accuracy for name, one in paper.PREDICTION.items()})
    return chosen.assign(paper=published.where(chosen["predictor"] != "plain")).reset_index(drop=True)


@dataclass(frozen=True)
class PredictionVerdict:
    """What the claim is judged by: the blind predictor on blurry and noisy input, thresholds from another set.

    Attributes:
        mean: {degradation: accuracy}, mean over networks and test sets.
        least: {degradation: accuracy} of the worst network and test set.
        least_auc: lowest lower bound of the AUC's interval.
        plain: {degradation: accuracy} of the plain rule, mean over test sets.
        four: share of clean, blurry, noisy and blurry+noisy inputs for which both are decided rightly, thresholds
            chosen from the four; mean over networks and test sets.
        four_plain: the same for the plain rule.
    """

    mean: dict[str, float]
    least: dict[str, float]
    least_auc: float
    plain: dict[str, float]
    four: float
    four_plain: float


def verdict(table: pd.DataFrame, parts: Roles) -> PredictionVerdict:
    """Condense the scores to the numbers that decide the claim.

    Args:
        table: from :func:`scores`.
        parts: from :func:`roles`.
    """
    decided = decisions(table)
    cells = headline(accuracy(decided), parts)
    whole = both_right(decided)
    whole = whole[
        (whole["thresholds_on"] == parts.thresholds)
        & whole["image_set"].isin(parts.tests)
        & (whole["chosen_from"] == "four")
    ]
    area = areas(table[table["image_set"].isin(parts.tests) & (table["predictor"] == "pseudo")])
    blind = cells[cells["predictor"] == "pseudo"].groupby("degradation")["accuracy"]
    plain = cells[cells["predictor"] == "plain"].groupby("degradation")["accuracy"]
    by_predictor = whole.groupby("predictor")["accuracy"].mean()
    return PredictionVerdict(
        mean=blind.mean().to_dict(),
        least=blind.min().to_dict(),
        least_auc=float(area.loc[area["inputs"] == "two", "low"].min()),
        plain=plain.mean().to_dict(),
        four=float(by_predictor["pseudo"]),
        four_plain=float(by_predictor["plain"]),
    )


def transfer(cells: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on blurry and noisy inputs with thresholds from every other set and with the paper's.

    Args:
        cells: from :func:`accuracy`.

    Returns:
        One row per ``predictor``, ``network``, ``thresholds_on`` and ``image_set``, with columns ``blur`` and
        ``noise``.
    """
    chosen = cells[(cells["chosen_from"] == "two") & (cells["inputs"] == "two")]
    rows = ["predictor", "network", "thresholds_on", "image_set"]
    wide = chosen.pivot_table(index=rows, columns="degradation", values="accuracy", sort=False)
    return wide.reset_index().rename_axis(columns=None)


def comparison(overlap: Mapping[str, float], plain: Mapping[str, float], margin: float = 0.02) -> str:
    """Which of overlap score and plain rule decides more inputs rightly, in words.

    Args:
        overlap: accuracy by degradation.
        plain: of the plain rule, same keys.
        margin: accuracies that differ by no more count as equal.
    """
    gains = [overlap[name] - plain[name] for name in overlap]
    if max(map(abs, gains)) <= margin:
        return "the overlap score and the plain rule do equally well"
    if min(gains) >= -margin:
        return "the overlap score does better than the plain rule"
    if max(gains) <= margin:
        return "the plain rule does better than the overlap score"
    return "the overlap score does better for one degradation and the plain rule for the other"


def difficulty(plain: Mapping[str, float], trivial: float = 0.95) -> str:
    """What the plain rule's accuracy says about the paper's task, in words.

    Args:
        plain: accuracy of the plain rule by degradation.
        trivial: at least this for both means that the task needs no network.
    """
    if min(plain.values()) >= trivial:
        return (
            "a rule on pixels decides nearly all of these inputs, so a high accuracy shows that the filters carry the "
            "information, not that it takes filters to get it"
        )
    return "a rule on pixels leaves a notable part of these inputs undecided, so the task is not a trivial one"


def weakest(cells: pd.DataFrame) -> str:
    """The blind cell of :func:`headline` with the least accuracy, in words."""
    blind = cells[cells["predictor"] == "pseudo"]
    row = blind.loc[blind["accuracy"].idxmin()]
    return (
        f"{row['degradation']} with {TITLES[row['network']]} on {datasets.title(row['image_set'])}, "
        f"{row['accuracy']:.0%} right"
    )


def paper_thresholds(table: pd.DataFrame) -> str:
    """How the paper's thresholds lie to the blind scores of blurry and noisy inputs here, in words by network.

    Args:
        table: from :func:`scores`.
    """
    blind = table[(table["predictor"] == "pseudo") & table["input"].isin(CASES["two"]) & table["present"]]
    parts = []
    for network, rows in blind.groupby("network", sort=False):
        told = []
        for degradation, published in paper.PREDICTION.items():
            values = rows.loc[rows["degradation"] == degradation, "score"]
            told.append(f"{(values > published.threshold).mean():.0%} for {degradation} (mean {values.mean():.2f})")
        parts.append(f"{TITLES[str(network)]} {' and '.join(told)}")
    return "; ".join(parts)
