"""How the paper came to each of its claims, and what would speak against them: beside :mod:`.criteria`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from faiglib.companion import paper
from faiglib.companion.criteria import AHEAD, CHANCE, PARTS, PREDICTED, SELECTIVE
from faiglib.companion.one_versus_two.report import MARGIN
from faiglib.companion.page.words import counted, percent
from faiglib.companion.profiles import Profile


@dataclass(frozen=True)
class Setup:
    """The paper's way to a claim.

    Attributes:
        did: what it did, in our words.
        where: where it says so.
        ours: what this book does for the same claim.
        networks: that the claim is made on, keys of :data:`faiglib.networks.TITLES`.
        image_sets: likewise, names of :mod:`faiglib.images.registry`; the paper finds filters on one or the other of
            several where no table of :attr:`tables` has a column for them.
        amounts: what its numbers cost, keys of :data:`AMOUNTS`.
        falsified: what would have to come out for "did not hold" in the paper's own setup.
        tables: names of recorded tables (see :mod:`faiglib.companion.record`) that decide it.
        code: name of the function that measures it.
    """

    did: str
    where: str
    ours: str
    networks: tuple[str, ...]
    image_sets: tuple[str, ...]
    amounts: tuple[str, ...]
    falsified: str
    tables: tuple[str, ...]
    code: str


def _images(limit: int | None, crop: int | None) -> str:
    side = "whole" if crop is None else f"central {crop}×{crop} pixels"
    number = "all" if limit is None else f"at most {counted(limit, 'image')} a set"
    return f"{number}, {side}"


#: What a profile spends, in words; the profile ``paper`` spends what the paper did.
AMOUNTS: Mapping[str, Callable[[Profile], str]] = {
    "images that filters are found on": lambda one: _images(one.discovery_images, one.discovery_crop),
    "images that masking is measured on": lambda one: _images(one.evaluation_images, one.evaluation_crop),
    "images of the comparison": lambda one: _images(one.ablation_images, one.evaluation_crop),
    "images that λ is swept on": lambda one: _images(one.interpolation_images, one.discovery_crop),
    "images that are predicted": lambda one: _images(one.prediction_images, one.prediction_crop),
    "nodes of a path integral": lambda one: f"{one.nodes}, {one.rule}",
    "nodes for a prediction": lambda one: f"{one.prediction_nodes}, {one.prediction_rule}",
    "re-training": lambda one: (
        f"{one.retraining_iterations:,} iterations, {counted(one.retraining_batch, 'patch', 'patches')} of "
        f"{one.retraining_patch}×{one.retraining_patch} pixels"
    ),
}
FOUND, MASKED, COMPARED, SWEPT, SEEN, NODES, PREDICTED_BY, RETRAINED = AMOUNTS

#: Training runs that all means of the paper are over.
RUNS = 3

_BOTH, _PLAIN = paper.NETWORKS, ("srcnn_style",)

SETUPS: Mapping[str, Setup] = {
    "a": Setup(
        "Trained two networks with two branches, DAN and DASR, and for each a one-branch SRResNet that costs no more, "
        "and compared their PSNR on RGB, for blur and for blur and noise.",
        "supplementary Tables 1 and 2",
        "Counted parameters and operations exactly, and raced smaller versions of the same networks under equal "
        "conditions, each against a control of half its depth as well.",
        tuple(paper.RACE_TRAINING),
        ("bsd100",),
        (),
        f"The one-branch network comes out worse by more than {MARGIN:.2f} dB, in a contest in which half of it "
        "comes out worse than the whole.",
        (),
        "faiglib.companion.one_versus_two.report.verdict",
    ),
    "b": Setup(
        "Replaced 1 % of the target’s filters by the baseline’s at the same places, and looked at curves of the drop "
        "and at pictures.",
        "main Figs. 3 and 4, supplementary Figs. 1 to 7",
        "Measured the same drop as a share of what replacing all filters takes, beside PSNR, SSIM and brightness.",
        _BOTH,
        paper.IMAGE_SETS,
        (FOUND, MASKED, NODES),
        f"In one case or more, the own input loses less than {SELECTIVE:g} times the share that the other input loses.",
        ("masking", "selectivity"),
        "faiglib.companion.masking.measure.drops",
    ),
    "c": Setup(
        "Masked as many filters at random, and compared the drop with that of FAIG’s.",
        "main Fig. 3, supplementary Tables 3 to 6",
        "Did the same with a seeded choice, and measured the change of PSNR besides.",
        _BOTH,
        paper.IMAGE_SETS,
        (FOUND, MASKED, NODES),
        f"The drop of random filters is more than {percent(3 * CHANCE)} of FAIG’s in one cell or more.",
        ("masking",),
        "faiglib.companion.masking.measure.drops",
    ),
    "d": Setup(
        "Masked 1 and 5 % of the filters that FAIG, IG and |θ − θ̄| rank highest, and random ones, and compared the "
        "mean drops.",
        "supplementary Tables 3 to 6",
        f"Did the same with an interval for each ratio, so that a cell can be a tie; {percent(AHEAD)} of them have to "
        "be ahead.",
        _BOTH,
        paper.IMAGE_SETS,
        (FOUND, MASKED, NODES),
        "FAIG is ahead in fewer than half of the cells.",
        ("masking",),
        "faiglib.companion.masking.measure.drops",
    ),
    "e": Setup(
        "Let only 1 % of the baseline’s filters learn, at the places that each method found, and compared the PSNR at "
        "the end.",
        "the table on re-training",
        "Did the same for a small part of the training.",
        _PLAIN,
        paper.IMAGE_SETS,
        (FOUND, NODES, RETRAINED),
        "For neither function do FAIG’s places end above those of every other method and above its own for the other "
        "function.",
        ("retraining",),
        "faiglib.companion.retraining.measure.retraining",
    ),
    "f": Setup(
        "Drew a map of the 1 % found filters of both functions, and described it.",
        "main Fig. 7",
        "Counted the filters of each layer against an even spread, and asked for the description in four parts.",
        _BOTH,
        paper.IMAGE_SETS,
        (FOUND, NODES),
        f"Fewer than half of the {len(PARTS)} parts hold.",
        ("centroids", "layers"),
        "faiglib.companion.distribution.measure.shares",
    ),
    "g": Setup(
        "Took filters from Set14 and one threshold a degradation from BSD100, and counted right decisions on the "
        "validation set of DIV2K.",
        "section 4.4, supplementary Fig. 9",
        f"Did the same with the sets that are here, asked for {percent(PREDICTED)} of right decisions, and held it "
        "against a plain rule on pixels.",
        _BOTH,
        ("set14", "bsd100", "div2k_valid"),
        (FOUND, SEEN, PREDICTED_BY),
        "On a test set, the interval of an AUC reaches down to chance.",
        ("prediction", "areas"),
        "faiglib.companion.prediction.measure.scores",
    ),
    "h": Setup(
        "Let the path end in random and in zero weights instead, and replaced the found filters by these.",
        "supplementary Fig. 8",
        "Did the same, and counted how often the trained baseline is the best end, and how far brightness shifts.",
        _PLAIN,
        paper.IMAGE_SETS,
        (COMPARED, NODES),
        "Fewer than half of the statements about drop and brightness are true.",
        ("baselines",),
        "faiglib.companion.baseline_ablation.measure.ablation",
    ),
    "i": Setup(
        "Ranked filters with and without the attribution of the other degradation taken off.",
        "the ablation of gradient elimination",
        "Did the same, and measured selectivity, the drop on the own input over that on the other.",
        _BOTH,
        paper.IMAGE_SETS,
        (COMPARED, NODES),
        "For neither function are the filters more selective with elimination.",
        ("elimination",),
        "faiglib.companion.baseline_ablation.measure.elimination",
    ),
    "j": Setup(
        f"Moved the found filters from baseline to target in {len(paper.LAMBDAS)} values of λ, and showed pictures.",
        "supplementary Figs. 10 and 11",
        "Measured at every step the distance from the target’s output, noise and sharpness.",
        _BOTH,
        paper.IMAGE_SETS,
        (FOUND, SWEPT, NODES),
        "For neither function does the output come nearer to the target’s with every step.",
        ("control",),
        "faiglib.companion.interpolation.measure.sweep",
    ),
}
"""By the letter of the claim."""
