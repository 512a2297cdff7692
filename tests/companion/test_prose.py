"""The sentences and captions of all chapters, made from small tables of many kinds, and read for contradictions.

A world has image sets, networks and seeds; a mood says how the numbers in it come out.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from faiglib.companion import claims, paper
from faiglib.companion.baseline_ablation import report as ablation_report
from faiglib.companion.beyond import agreement, integration
from faiglib.companion.beyond import measure as beyond_measure
from faiglib.companion.beyond import report as beyond_report
from faiglib.companion.discovery import BASELINES, KINDS, OWN_FUNCTION
from faiglib.companion.distribution import report as distribution_report
from faiglib.companion.interpolation import measure as interpolation_measure
from faiglib.companion.interpolation import report as interpolation_report
from faiglib.companion.masking import captions as masking_captions
from faiglib.companion.masking import report as masking_report
from faiglib.companion.masking import show as masking_show
from faiglib.companion.one_versus_two import report as race_report
from faiglib.companion.page.budget import budget, images_in_words, means_in_words
from faiglib.companion.page.words import printed
from faiglib.companion.prediction import decisions, measure, sets_in_words
from faiglib.companion.prediction import report as prediction_report
from faiglib.companion.prediction.roles import Roles
from faiglib.companion.retraining import report as retraining_report
from faiglib.companion.retraining import show as retraining_show
from faiglib.companion.speed import report as speed_report
from faiglib.companion.weights import milestones
from faiglib.companion.weights import report as weights_report
from faiglib.images import registry
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import TITLES

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ("one", "two")


@dataclass(frozen=True)
class World:
    sets: tuple[str, ...]
    networks: tuple[str, ...]
    seeds: tuple[int, ...]
    mood: str

    def __str__(self):
        return f"{'+'.join(self.sets)}, {'+'.join(self.networks)}, {len(self.seeds)}, {self.mood}"

    def draw(self, *place, low=0.0, high=1.0):
        """A number that depends on the place, the same in every run; none at all in a flat world."""
        if self.mood == "flat":
            return low
        where = zlib.crc32(repr((self.mood, *place)).encode()) / 2**32
        return low + where * (high - low)

    @property
    def pairs(self):
        return list(itertools.product(self.networks, self.seeds))


SETS = (("skimage",), ("set14",), ("skimage", "set14"), ("set14", "bsd100"))
NETWORKS = (("srresnet",), ("srresnet_s",), ("srcnn_style", "srresnet"))
#: Half of all worlds, in which whatever three of the four can be together are together.
WORLDS = [
    World(sets, networks, seeds, mood)
    for (i, sets), (j, networks), (k, seeds), (m, mood) in itertools.product(
        enumerate(SETS), enumerate(NETWORKS), enumerate(((0,), (0, 1, 2))), enumerate(("first", "flat"))
    )
    if (i + j + k + m) % 2 == 0
]


# ---------------------------------------------------------------- what a reader stumbles over

COUNTED = "image|training run|run|seed|network|crop|set|cell|decision|thread|step"
STUMBLES = {
    "a plural in brackets": r"\w\(s\)",
    "a zero with a sign": r"(?<![\w)])[-+−]0(?:\.0+)?(?![\d.]*\d)",
    "a hyphen for a minus": r"(?<![\w)\]./\\-])-\.?\d",
    "a percentage without its space": r"\d%",
    "a straight apostrophe": r"[\w|]'\w",
    "a number that is none": r"\b(?:nan|inf|None)\b",
    "one of several": rf"(?<![\d.,])\b1 (?:{COUNTED})s\b",
    "several of one": rf"\b(?:[02-9]|\d{{2,}}) (?:{COUNTED})\b",
    "a name in code": r"\b[a-z]+_(?!bilinear|random|zero)[a-z_]+\b",
    "a doubled word or stop": r"\b(\w{2,}) \1\b|\.\.| ,| \.|  ",
}
ONE_SET = re.compile(r"\b(?:other|another|second|every|either|both|two) (?:image )?sets?\b", re.IGNORECASE)
ONE_SEED = re.compile(r"±|\bseeds\b|\b(?:the|over|across|of) (?:training |fine-tuning )?runs\b")
ONE_NETWORK = re.compile(r"\b(?:both|two|other) networks?\b")


def stumbles(text):
    return [
        f"{what}: …{text[max(0, one.start() - 30) : one.end() + 20]}…"
        for what, form in STUMBLES.items()
        for one in re.finditer(form, text)
    ]


def contradictions(text, world):
    found = stumbles(text)
    if len(world.sets) == 1 and (one := ONE_SET.search(text)):
        found.append(f"one set, but {one.group()!r}")
    if len(world.seeds) == 1 and (one := ONE_SEED.search(re.sub(r"in the paper \([^)]*\)", "", text))):
        found.append(f"one seed, but {one.group()!r}")
    if len(world.networks) == 1 and (one := ONE_NETWORK.search(text)):
        found.append(f"one network, but {one.group()!r}")
    there = text.replace("an SRCNN-style network", "")
    for name in {"srcnn_style", "srresnet"} - set(world.networks):
        if re.search(rf"{TITLES[name]}(?!-S)", there):
            found.append(f"{TITLES[name]} is not there")
    there = re.sub(r"Not on this machine: .*", "", there)
    absent = {"set14", "bsd100", "kodak24"} - set(world.sets)
    found += [f"{registry.title(name)} is not there" for name in absent if registry.title(name) in there]
    return found


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("2 crop(s) of", "brackets"),
        ("moves by -0.00 dB", "zero"),
        ("moves by −0.0 dB", "zero"),
        ("moves by -1.5 dB", "hyphen"),
        ("48% of them", "space"),
        ("FAIG's filters", "apostrophe"),
        ("in 1 cells", "one of"),
        ("on 4 image of Set14", "several of"),
        ("nan dB", "number"),
        ("the drop_own", "code"),
    ],
)
def test_the_reader_stumbles(text, what):
    assert len(stumbles(text)) >= 1
    assert any(what in one for one in stumbles(text))


def test_the_reader_sees_what_is_not_in_the_world():
    world = World(("skimage",), ("srresnet",), (0,), "first")
    for text in ("chosen on the other set", "1.0 ± 0.1 dB", "SRCNN-style leads", "on Set14", "over seeds"):
        assert contradictions(text, world), text
    assert not contradictions("SRResNet loses −0.10 to 48 % on scikit-image’s photographs, in 2 of 12 cells.", world)


# ---------------------------------------------------------------- tables of a world


def masked(world, methods=tuple(paper.METHODS), percents=(1.0, 5.0), column="method"):
    """Rows as from masking; FAIG is ahead by more or less, the other input and brightness move a little."""
    rows = []
    for (network, seed), image_set, method, function, percent, kind, image in itertools.product(
        world.pairs, world.sets, methods, FUNCTIONS, percents, KINDS, IMAGES
    ):
        place = (network, image_set, method, function, percent, kind)
        lost = world.draw(*place, seed, image, low=-0.001, high=4)
        rows.append(
            {
                "network": network,
                "seed": seed,
                "baseline": 0,
                "image_set": image_set,
                column: method,
                "filters": function,
                "percent": percent,
                "input": kind,
                "image": image,
                "drop": world.draw(*place, seed, image, "drop", low=0.5, high=5),
                "drop_blue": world.draw(*place, seed, image, "blue", low=0.5, high=5),
                "psnr": 28 - lost,
                "psnr_target": 28.0,
                "psnr_baseline": 24.0,
                "drop_all": 6.0,
                "ssim": 0.8 - lost / 20,
                "ssim_target": 0.8,
                "ssim_baseline": 0.5,
                "luminance_shift": world.draw(*place, "shift", low=-0.01, high=3),
            }
        )
    return pd.DataFrame(rows)


def verdicts(*found):
    """Verdicts as pages print them."""
    return [printed(part.in_words) for one in found for part in (one.paper, one.beyond)]


def masking_prose(world):
    table = masked(world)
    summary = masking_report.summary(table)
    yield masking_report.lost_cells(summary)
    yield masking_report.brightness_part(masking_report.selectivity(table))
    yield masking_captions.curves_caption(table, "2 images of that set, whole")
    leads = masking_report.leads(table)
    for image_set in world.sets:
        yield masking_captions.bars_caption(summary, image_set, 1)
        for network in world.networks:
            yield masking_show.drop_table(summary, leads, network, image_set).caption.replace("&#x27;", "'")
    yield from verdicts(*claims.masking(table))


def retraining_prose(world):
    rows = [
        (*pair, task, method, function, step, 20 + step * world.draw(*pair, task, method, function, low=0.0, high=0.1))
        for pair in world.pairs
        for task in FUNCTIONS
        for method, function in [("all", "all"), *itertools.product(paper.METHODS, FUNCTIONS)]
        for step in (0, 10)
    ]
    runs = pd.DataFrame(rows, columns=["network", "seed", "task", "method", "filters", "step", "psnr"])
    final = retraining_report.final(runs.assign(psnr=runs["psnr"] + 0.5 * (runs["method"] == "all") * runs["step"]))
    yield retraining_report.in_words(final)
    yield from (retraining_show.retraining_table(final, network).caption for network in world.networks)


def layers(world):
    held = np.array([10, 40, 34, 14, 6])
    rows = []
    for network, seed in world.pairs:
        for method, function in itertools.product(paper.METHODS, FUNCTIONS):
            found = [1 + round(world.draw(network, seed, method, function, number, high=9)) for number in range(5)]
            for number, (here, all_) in enumerate(zip(found, held, strict=True)):
                rows.append(
                    {
                        "network": network,
                        "seed": seed,
                        "method": method,
                        "filters": function,
                        "layer": f"layer {number}",
                        "number": number,
                        "depth": number / 4,
                        "found": here,
                        "share": here / sum(found),
                        "uniform": all_ / held.sum(),
                        "fraction": here / all_,
                    }
                )
    return pd.DataFrame(rows)


def distribution_prose(world):
    table = layers(world)
    yield distribution_report.in_words(distribution_report.verdict(table))
    yield distribution_report.largest_layer(table)
    yield distribution_report.last_layers(distribution_report.spread(table))


def parts_of(world):
    """The sharing out of the sets of a world as :func:`faiglib.companion.prediction.roles.roles` makes it."""
    found = [name for name in world.sets if name != "skimage"]
    missing = ("DIV2K validation",)
    if not found:
        return Roles("skimage", "skimage", ("skimage",), missing)
    return Roles(found[0], found[0], tuple(found[1:]) or ("skimage",), missing)


def prediction_prose(world):
    parts = parts_of(world)
    rows = []
    sources = [("none", 0, "plain"), *((*pair, name) for pair in world.pairs for name in ("pseudo", "oracle"))]
    for (network, seed, predictor), degradation, image_set, image, kind in itertools.product(
        sources, measure.DEGRADATIONS, parts.scored, IMAGES, measure.CASES["four"]
    ):
        present = kind in measure.PRESENT[degradation]
        score = world.draw(network, seed, predictor, degradation, image_set, image, kind, high=0.6) + 0.3 * present
        rows.append((network, seed, predictor, degradation, image_set, image, kind, score, present))
    columns = ["network", "seed", "predictor", "degradation", "image_set", "image", "input", "score", "present"]
    table = pd.DataFrame(rows, columns=columns)
    yield sets_in_words.roles_sentence(parts)
    yield sets_in_words.application(parts)
    yield sets_in_words.scores_caption(parts, len(world.seeds))
    yield sets_in_words.accuracy_caption(parts)
    yield sets_in_words.transfer_words(parts)
    cells = prediction_report.headline(decisions.accuracy(decisions.decisions(table)), parts)
    yield prediction_report.weakest(cells)
    yield prediction_report.paper_thresholds(table)
    result = prediction_report.verdict(table, parts)
    yield prediction_report.comparison(result.mean, result.plain)
    yield prediction_report.difficulty(result.plain)
    moves = pd.DataFrame(
        [("one", kind, 0.8, world.draw(kind, low=-0.2), 0.01, 0.3, 0.3) for kind in KINDS],
        columns=["image", "input", "common", "blur", "noise", "blur_score", "noise_score"],
    )
    yield prediction_report.nodes_sentence(moves, {"blur": 0.2, "noise": 0.4}, "the pair that is looked at")
    yield from verdicts(claims.prediction(table, parts))


def ablation_prose(world):
    table = masked(world, BASELINES, (1.0,), "found_with")
    both = pd.concat(
        table.assign(replaced_by=name, drop=table["drop"] + number) for number, name in enumerate(BASELINES)
    )
    baselines = ablation_report.summary(both)
    result = ablation_report.baseline_verdict(baselines)
    yield result.finding_sentence
    yield result.replacing_sentence
    eliminated = ablation_report.elimination_summary(masked(world, ("with", "without")))
    yield ablation_report.elimination_verdict(eliminated).sentence
    yield ablation_report.gallery_caption([TITLES[name] for name in world.networks], "blurry", "deblurring")
    ways = (("a", "b"), ("a", "b")) if world.mood == "flat" else (("a", "b"), ("c", "d"))
    costs = [ablation_report.Cost(f"place {n}", 3.456 + n, *way) for n, way in enumerate(ways)]
    yield ablation_report.reconciled(costs, "What masking costs", world.seeds)
    yield from verdicts(claims.baseline(baselines, world.sets[0]), claims.elimination(eliminated, world.sets[0]))


def interpolation_prose(world):
    rows = []
    for (network, seed), function, lam, kind, image in itertools.product(
        world.pairs, FUNCTIONS, interpolation_measure.LAMBDAS, KINDS, IMAGES
    ):
        own = OWN_FUNCTION[kind] == function
        gain = world.draw(network, function, "gain", low=-0.001, high=3)
        effect = (lam if function == "deblurring" else -lam) * world.draw(network, function, low=0.01, high=5)
        row = {"network": network, "seed": seed, "filters": function, "lambda": lam, "input": kind, "image": image}
        truth = {"sharpness_truth": 12.0, "noise_truth": 4.0}
        psnr = 25 + gain * min(lam, 1) if own else 26 - 0.1 * lam
        rows.append(
            row | truth | {"psnr": psnr, "sharpness": 10 + effect, "noise": 8 + effect, "distance": abs(lam - 1)}
        )
    control = interpolation_report.control(pd.DataFrame(rows))
    yield interpolation_report.in_words(control)
    yield from verdicts(claims.interpolation(control, world.sets[0]))


def beyond_prose(world):
    columns = ["network", "seed", "rule", "nodes", "filters", "overlap", "spearman", "error_percent", "reference"]
    counts = [(rule, count, False) for rule, several in integration.NODES.items() for count in several]
    rows = [
        (*pair, rule, count, function, 1 - world.draw(*pair, rule, count, function, high=0.02), 0.99, 0.5, reference)
        for pair in world.pairs
        for rule, count, reference in [*counts, ("gauss-legendre", 96, True)]
        for function in FUNCTIONS
    ]
    default = beyond_report.default_verdict(pd.DataFrame(rows, columns=columns))
    yield default.sentence
    comparisons = ["noise", "halves", "places", "images"]
    comparisons += ["image_sets"] * (len(world.sets) > 1) + ["fine_tunings"] * (len(world.seeds) > 1)
    overlaps = pd.DataFrame(
        [
            (network, comparison, function, world.draw(network, comparison, function, low=0.2), 0.5)
            for network, comparison, function in itertools.product(world.networks, comparisons, FUNCTIONS)
        ],
        columns=["network", "comparison", "filters", "overlap", "spearman"],
    )
    ranking = agreement.stability_verdict(agreement.stability_summary(overlaps))
    yield ranking.sentence
    varied = beyond_report.variant_summary(masked(world, tuple(beyond_measure.VARIANTS), (1.0,)))
    details = pd.DataFrame(
        [(detail, world.draw(detail)) for *_, detail in beyond_measure.DETAILS], columns=["detail", "overlap"]
    )
    yield beyond_report.in_short(default, beyond_report.metric_verdict(varied), details, ranking)


def race_prose(world):
    rows = [
        (contest, role, 25 + world.draw(contest, role, low=-0.001))
        for contest in ("dan", "dasr")
        for role in ("two", "one", "half")
    ]
    yield race_report.head_start(pd.DataFrame(rows, columns=["contest", "branches", "rgb"]))


CHAPTERS = (
    masking_prose,
    retraining_prose,
    distribution_prose,
    prediction_prose,
    ablation_prose,
    interpolation_prose,
    beyond_prose,
    race_prose,
)


@pytest.mark.parametrize("world", WORLDS, ids=str)
@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.__name__)
def test_the_prose_of_a_chapter_does_not_contradict_its_world(chapter, world):
    texts = list(chapter(world))
    assert texts
    assert all(texts)
    if chapter is prediction_prose:  # scikit-image's photographs are the test where there is one set
        world = dataclasses.replace(world, sets=parts_of(world).scored)
    assert [f"{text}\n{found}" for text in texts for found in contradictions(text, world)] == []


# ---------------------------------------------------------------- verdict words against their numbers


def numbers(form, text):
    """All matches of a form, with the groups that are numbers as such."""
    pattern = form.replace("NUMBER", "([−+]?[0-9]+(?:[.][0-9]+)?)")
    return [
        [float(part.replace("−", "-")) if re.fullmatch(r"[−+]?[\d.]+", part) else part for part in found.groups()]
        for found in re.finditer(pattern, text)
    ]


MOODS = [World(("set14",), ("srcnn_style", "srresnet"), (0, 1), f"mood {number}") for number in range(25)]


def test_where_filters_sit_is_judged_by_the_numbers_beside_it():
    text = "".join(one for world in MOODS for one in distribution_prose(world))
    places = numbers(r"depth NUMBER \([^)]*\), (behind|in front of) that of an even spread \(NUMBER\)", text)
    evens = numbers(r"NUMBER % would have to move to lie evenly \((not even|even) by the limit of NUMBER %", text)
    clusters = numbers(r"NUMBER times an even spread: (no cluster|a cluster) by the limit of NUMBER\.", text)
    assert len(places) == len(evens) == len(clusters) == 2 * len(MOODS)
    assert all((here > there) == (word == "behind") for here, word, there in places)
    assert all((share <= limit) == (word == "even") for share, word, limit in evens)
    assert all((ratio >= limit) == (word == "a cluster") for ratio, word, limit in clusters)
    assert {word for _, word, _ in (*evens, *clusters)} == {"even", "not even", "a cluster", "no cluster"}


def test_a_number_just_beyond_a_limit_is_printed_beyond_it():
    row = distribution_report.verdict(layers(MOODS[0])).iloc[[0]]
    close = row.assign(denoising_uneven=0.2504, even=False, denoising_last_ratio=1.96, cluster=False)
    text = distribution_report.in_words(close)
    assert "25.04 % would have to move to lie evenly (not even by the limit of 25 %" in text
    assert "1.96 times an even spread: no cluster by the limit of 2." in text


def knob(world, gain, shares=1.0):
    row = {"network": "srresnet", "filters": "deblurring", "effect": "sharpness", "at_0": 1.0, "at_1": 2.0}
    row |= {"steps": 14, "monotone": shares, "nearer": 0.0, "steepest": 1.5, "started": 0.1, "finished": 0.9}
    return interpolation_report.in_words(pd.DataFrame([row | {"gained": gain, "continuous": shares >= 0.9}]))


def test_a_knob_that_gains_nothing_is_no_control():
    limit = interpolation_report.LEAST_GAIN
    for gain in (-0.5, -0.001, 0.01, 0.0999):
        assert "it is no control" in knob(None, gain)
        assert "this control is" not in knob(None, gain)
        ((told, named),) = numbers(r"changes PSNR by NUMBER dB, less than the gain of NUMBER dB", knob(None, gain))
        assert told < named == limit
    assert "this control is continuous" in knob(None, limit)
    assert "this control is not continuous" in knob(None, 3.0, shares=0.8)
    assert "89.96 % of 14 steps" in knob(None, 3.0, shares=0.8996)


def test_the_default_is_judged_by_the_numbers_beside_it():
    for world in MOODS:
        sentence, ranking, _ = beyond_prose(world)
        ((word, one, other),) = numbers(r"rank correlation is (higher|lower) \(NUMBER against NUMBER\)", sentence)
        assert (one >= other) == (word == "higher")
        ((word, one, other),) = numbers(r"error is (smaller|larger) \(NUMBER % against NUMBER %\)", sentence)
        assert (one <= other) == (word == "smaller")
        ((least, times),) = numbers(r"the least agreement, [^%]*, is NUMBER % [^;]*?, NUMBER times chance", ranking)
        assert least == times
        assert least <= min(share for (share,) in numbers(r"NUMBER % \(", ranking))
        steadied = "steadies the ranking" in ranking
        ((single,),) = numbers(r"NUMBER % \(two images\)", ranking)
        sets = numbers(r"NUMBER % \(two image sets\)", ranking)
        assert not steadied or sets[0][0] >= single


def test_methods_that_are_ahead_are_told_where_there_are_any():
    for world in MOODS[:8]:
        table = masked(world)
        text = masking_report.lost_cells(masking_report.summary(table))
        behind = (masking_report.leads(table)["ratio"] < 1).sum()
        assert ("No other method is ahead" in text) == (behind == 0)
        if behind:
            told = text.split("Another method is ahead in: ")[1].split(". ")[0]
            assert told.count(";") + 1 == behind


def test_few_nodes_are_called_too_few_where_they_move_a_score_far():
    for move, turned in ((0.01, 0), (0.03, 0), (0.06, 0), (0.12, 1)):
        table = pd.DataFrame(
            [("one", "blurry", 0.9, move, 0.0, 0.1, 0.7)],
            columns=["image", "input", "common", "blur", "noise", "blur_score", "noise_score"],
        )
        text = prediction_report.nodes_sentence(table, {"blur": 0.2, "noise": 0.4}, "SRResNet")
        assert ("too few" in text) == (move / 0.2 > prediction_report.SMALL_MOVE)
        assert ("1 of the 2 decisions on these inputs turns" in text) == bool(turned)
        assert ("none of the 2 decisions" in text) == (not turned)


def test_one_quantity_with_several_values_is_explained():
    costs = [ablation_report.Cost("here", 4.0, "a", "b"), ablation_report.Cost("there", 3.0, "a", "c")]
    text = ablation_report.reconciled(costs, "It", (0, 1))
    assert "has 2 values" in text
    assert "4.00 dB in here (filters found on a, measured on b)" in text
    assert "All are for the pairs with seeds 0 and 1." in text
    same = ablation_report.reconciled([costs[0], dataclasses.replace(costs[0], place="there")], "It", (2,))
    assert "comes to 4.00 dB, in here and there alike" in same
    assert "the pair with seed 2" in same


def test_a_table_that_the_paper_does_not_have_does_not_mention_it():
    world = World(("skimage", "set14"), ("srresnet", "srresnet_s"), (0,), "first")
    summary = masking_report.summary(masked(world))
    leads = masking_report.leads(masked(world))
    for network, image_set in itertools.product(world.networks, world.sets):
        table = masking_show.drop_table(summary, leads, network, image_set)
        published = (network, image_set) in masking_report.TABLE_NUMBERS
        assert ("in the paper" in table.caption) == published
        assert ("paper" in table.columns.get_level_values(1)) == published
    assert "hatched" not in masking_captions.bars_caption(summary, "skimage", 1)
    assert "The paper has none for SRResNet-S" in masking_captions.bars_caption(summary, "set14", 1)
    hatched = [
        [bool(bar.get_hatch()) for bar in axis.patches]
        for image_set in world.sets
        for axis in masking_show.drop_bars(summary, image_set, 1).axes
    ]
    assert [any(bars) for bars in hatched] == [False] * 4 + [True, True, False, False]


# ---------------------------------------------------------------- what is recorded, shipped, or said by the box


def test_the_prose_about_what_is_shipped_and_recorded():
    recorded = speed_report.load()
    averaging = pd.DataFrame(recorded.results["attribution"]["averaging"])
    trends = milestones.trends(milestones.rows(ROOT / "models"))
    texts = [
        speed_report.machine(recorded).replace("\\", ""),
        speed_report.accounting(recorded.results).sentence,
        speed_report.averaging_in_words(averaging),
        speed_report.in_short(recorded.results),
        weights_report.shared_baselines(ROOT / "models"),
        weights_report.unequal_budgets(ROOT / "models"),
        weights_report.floor(),
        milestones.headline(trends),
        *(milestones.expectation(trends, claim) for claim in "bcd"),
    ]
    assert [found for text in texts for found in stumbles(text)] == []


def test_the_box_and_the_images_in_words(bench):
    text = re.sub(r"<[^>]*>", " ", budget(bench))
    assert [found for found in stumbles(re.sub(r"\s+", " ", text)) if "name in code" not in found] == []
    assert images_in_words(bench, "skimage", 1, 24) == "1 image of scikit-image's photographs, central 24×24 pixels"
    assert means_in_words(bench, "skimage", 2, None) == "means over 2 images of scikit-image's photographs, whole"
    assert bench.named("srresnet", 0) == "SRResNet"


def test_a_pair_is_named_with_its_seed_where_there_are_several(bench, monkeypatch):
    monkeypatch.setattr(type(bench), "pair_names", [("srresnet", 0), ("srresnet", 2), ("srcnn_style", 1)])
    assert bench.named("srresnet", 2) == "SRResNet, seed 2"
    assert bench.named("srcnn_style", 1) == "SRCNN-style"
    assert means_in_words(bench, "skimage", 1, None).endswith(", whole, and over 2 training runs of a network")


def test_a_set_that_is_wanted_twice_is_missing_once(bench):
    wanted = dataclasses.replace(bench.profile, image_sets=("skimage", "kodak24"), other_sets=("kodak24", "set14"))
    assert dataclasses.replace(bench, profile=wanted).missing == ["Kodak24", "Set14"]
