"""The claims of the paper and questions of this book, what decides each, when that was set, and what a verdict is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from faiglib.attribution.path_profile import SOUND
from faiglib.companion import paper
from faiglib.companion.baseline_ablation.report import BROKEN_SHIFT
from faiglib.companion.distribution.report import CLUSTER, EVEN
from faiglib.companion.interpolation.report import LEAST_GAIN, MONOTONE, STEEPEST
from faiglib.companion.one_versus_two.report import MARGIN
from faiglib.companion.page.words import begun

Grade = Literal["held", "partly", "did not hold", "not tested"]
GRADES: tuple[Grade, ...] = get_args(Grade)

#: Share that masking must remove from its own input: half is the least that "removes" can mean.
REMOVED = 0.5
#: The same share that masking may remove from the other input: of an advantage of 3 to 5 dB a few tenths of a dB.
SPILLED = 0.1
#: Own input's share over the other's from which on filters are selective at all.
SELECTIVE = 3.0
#: dB. A smaller change of PSNR is not visible in a photograph.
INVISIBLE = 0.1
#: Drop of random filters as a share of FAIG's; twice the largest of the paper's own cells, rounded.
CHANCE = 0.05
#: The largest of them.
PAPERS_CHANCE = max(
    chance.mean / cell.mean
    for cell in paper.drops()
    for chance in paper.drops()
    if (cell.method, chance.method, cell.percent) == ("faig", "random", 1)
    and (chance.table, chance.input, chance.percent) == (cell.table, cell.input, 1)
)
#: Share of the paper's cells in which FAIG has to be ahead; the others must be ties.
AHEAD = 0.75
#: Share of right predictions on an image set that the thresholds were not chosen on: nearer to the paper's 96 % than to
#: the half that guessing gets, and far enough below for the few images of a laptop's budget.
PREDICTED = 0.9
#: What the parts of claim (f) say, by column of :func:`faiglib.companion.distribution.report.verdict`.
PARTS: Mapping[str, str] = {
    "back": "deblurring filters behind an even spread",
    "behind": "deblurring filters behind denoising filters",
    "evener": "denoising filters more even than deblurring filters",
    "cluster": "denoising filters clustered at the end",
}
#: Matched controls that FAIG's filters are held against, and the share of them that may do as well: the usual 5 %.
CONTROLS, RARE = 100, 0.05
#: Share of what a learned mask reaches that FAIG should reach at least.
NEAR_BOUND = 0.8
#: Share of it below which FAIG cannot be said to come near.
FAR_FROM_BOUND = 0.5
#: Rank correlation of the depth of paths with selectivity, and share of pairs that the limit of sound paths sorts
#: rightly, from which on the path tells something: a strong relation by the usual names, and one error in five.
RELATED, SORTED = -0.5, 0.8
#: Share of the paper's iterations below which training compares how fast networks learn, not how good they become.
FULL_SHARE = 0.1


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, or a question of this book.

    Attributes:
        short: in our words, for a row of a table.
        statement: the same in full.
        paper: what counts as held and as partly held in the paper's own setup, in every network; empty where the paper
            does not ask.
        beyond: the same for what this book looks at besides.
        reason: for the limits.
        declared: when they were set.
        page: of the book that tests it, without suffix.
    """

    short: str
    statement: str
    paper: str
    beyond: str
    reason: str
    declared: str
    page: str


@dataclass(frozen=True)
class Part:
    """What became of a claim in one setup.

    Attributes:
        grades: verdict by network, as printed; empty where nothing was tested.
        measured: the numbers that decide it, in a few words.
        why: why it was not tested, where it was not.
    """

    grades: dict[str, Grade] = field(default_factory=dict)
    measured: str = ""
    why: str = ""

    @property
    def grade(self) -> Grade:
        """The verdict over all networks that were tested: partly where they differ."""
        tested = {one for one in self.grades.values() if one != "not tested"}
        if not tested:
            return "not tested"
        return tested.pop() if len(tested) == 1 else "partly"

    @property
    def in_words(self) -> str:
        """The grade with what decides it."""
        return f"{self.grade} ({'; '.join(one for one in (self.why, self.measured) if one)})"


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes:
        claim: its letter.
        paper: in the paper's own setup.
        beyond: in what this book looks at besides.
    """

    claim: str
    paper: Part
    beyond: Part


#: Why there is no verdict in the paper's setup where none of its images are on the machine.
NOT_THEIRS = "not the paper’s images"

_OLD = "before any trained pair was looked at"
_TRIALS = "with trial runs of the chapters known"
_NOW = "on 26 November 2026, with the recorded run known"
_FIRST = "on 27 November 2026, before anything of it was computed"

CLAIMS: Mapping[str, Claim] = {
    "a": Claim(
        "One branch matches two at equal budget.",
        "One branch matches two at equal budget.",
        f"Contests with DAN and with DASR on blur, PSNR on RGB. Held if the one-branch network is not inferior (margin "
        f"{MARGIN:.2f} dB, 95 % interval over seeds and images) in a race of at least {100 * FULL_SHARE:.0f} % of the "
        "paper's iterations; partly if in a shorter race; not tested if the race has one seed or is not complete, if "
        "it is inconclusive, or if half of the one-branch network does not come out worse than the whole.",
        "The same on the other widths of blur and on the Y channel; held if in all of them.",
        "The margin is nearly twice the largest difference in the paper's table, and no eye sees it.",
        f"Margin {_OLD}; that an equivalent control does not count, {_NOW}; that an interval over few seeds is as wide "
        "as Student's t, on 28 November 2026: without it those over three seeds covered 77 %.",
        "notebooks/01_one_vs_two_branch",
    ),
    "b": Claim(
        "Masking 1 % takes one ability and keeps the other.",
        "Masking 1 % deblurring filters removes deblurring and keeps denoising, and the reverse.",
        f"By the drop, as a share of the drop when all filters are masked, on Set14 and BSD100. Held if at least "
        f"{100 * REMOVED:.0f} % is reached on the own input and at most {100 * SPILLED:.0f} % on the other; partly if "
        f"the own input loses {SELECTIVE:g} times the other's share.",
        "The same limits for shares of the target's advantage over the baseline in PSNR, in PSNR with the brightness "
        "put right, and in SSIM, and for the drop, on every network and image set here. A gain of the other input is "
        "no loss.",
        "The paper compares gradient maps in order to leave out brightness and contrast, so its claim is about the "
        "drop. Half is the least that “removes” can mean; a tenth of an advantage of 3 to 5 dB is some tenths of one.",
        f"Limits {_OLD}; the drop as what decides, {_NOW}.",
        "notebooks/03_masking",
    ),
    "c": Claim(
        "Masking 1 % random filters changes nothing visible.",
        "Masking 1 % random filters changes nothing visible.",
        f"Held if the drop of random filters is at most {100 * CHANCE:.0f} % of FAIG's on each of Set14 and BSD100 and "
        f"each input; partly if at most {300 * CHANCE:.0f} %.",
        f"Held if PSNR changes by at most {INVISIBLE} dB in every network, image set and input; partly if by at most "
        f"{3 * INVISIBLE:.1f} dB.",
        f"The paper's own tables have up to {100 * PAPERS_CHANCE:.1f} %; a tenth of a dB is not visible in a "
        "photograph.",
        f"PSNR {_OLD}; the drop {_NOW}.",
        "notebooks/03_masking",
    ),
    "d": Claim(
        "FAIG finds filters that matter more than three other methods.",
        "FAIG's filters cause a larger drop than those of IG, |θ − θ̄| and chance, everywhere.",
        f"Cells of the paper's tables: 1 and 5 %, both inputs, Set14 and BSD100, against IG, both variants of |θ − θ̄| "
        "and chance. A cell counts as ahead or behind where the 95 % interval of the ratio, over images and, where "
        "three or more pairs share nothing, over these, lies on one side of 1, else as a tie. "
        f"Held if ahead in {100 * AHEAD:.0f} % and behind in none; partly if ahead in half.",
        "The same for every proportion, network and image set here.",
        "An interval that spans 1 tells nothing; three quarters leave room for ties of few images.",
        f"{begun(_NOW)}; before, every proportion counted, and a mean that was larger.",
        "notebooks/03_masking",
    ),
    "e": Claim(
        "Re-training FAIG's filters restores more than re-training others.",
        "Re-training FAIG's locations brings back more of their own function than re-training any others.",
        f"SRCNN-style, which alone the released program re-trains. Held if FAIG's locations end above those of every "
        f"other method and above FAIG's locations for the other function, for both functions, after at least "
        f"{100 * FULL_SHARE:.0f} % of the training; partly if after less, or for one function.",
        "The same for the other networks.",
        "The paper's table compares both ways. Its claim is about the end of a full training.",
        f"{begun(_NOW)}; before, only other methods counted, without regard to the budget.",
        "notebooks/04_retraining",
    ),
    "f": Claim(
        "Deblurring sits late; denoising spreads, clustered at the end.",
        "Deblurring filters sit towards the back of the network; denoising filters spread more evenly, with a cluster "
        "in the last layers.",
        f"Four parts: {'; '.join(PARTS.values())} ({CLUSTER:g} times an even spread). Held if all four hold; partly if "
        "two.",
        f"The same parts, but denoising filters even in themselves (at most {100 * EVEN:.0f} % would have to move), in "
        "every network here.",
        "“More uniformly” is a comparison in the paper, not a limit.",
        f"Back, behind and cluster {_TRIALS}; the comparison {_NOW}.",
        "notebooks/05_distribution",
    ),
    "g": Claim(
        "The overlap of filters tells blurry from noisy.",
        "Blur and noise can be predicted from the overlap of filters, without a label for the image.",
        f"Filters from Set14, thresholds from BSD100, tested on DIV2K. Held if at least {100 * PREDICTED:.0f} % of "
        "blurry and noisy inputs are decided rightly for both degradations; partly if the 95 % interval of every AUC "
        "lies above chance.",
        "The same with the sets that are here, every test set by itself.",
        "Nearer to the paper's 96 % than to the half that guessing gets, for the few images of a laptop's budget.",
        f"Limits {_TRIALS}; that another test set is beyond the paper, {_NOW}.",
        "notebooks/06_prediction",
    ),
    "h": Claim(
        "The trained baseline is the right end of the path.",
        "The trained baseline is the right end of the path: random and zero weights find worse filters, and replacing "
        "by them breaks the brightness.",
        f"SRCNN-style, 1 %, as supplementary Fig. 8. Held if, for both functions, the trained baseline finds the "
        f"filters with the largest drop and shifts brightness least, and random and zero weights shift it by "
        f"{BROKEN_SHIFT:g} levels or more; partly if half of these statements hold.",
        "The same for the other networks.",
        "One per cent of the range is about what an eye notices when two images alternate.",
        f"Limits {_TRIALS}; by network {_NOW}.",
        "notebooks/07_baseline_ablation",
    ),
    "i": Claim(
        "Eliminating the other degradation helps.",
        "Eliminating the attribution of the other degradation helps.",
        "Held if 1 % of the filters are more selective with elimination, for both functions; partly if for one.",
        "The same for every proportion and network here.",
        "The paper's proportion is 1 %; selectivity is the drop on the own input over that on the other.",
        f"Selectivity {_TRIALS}; the split {_NOW}.",
        "notebooks/07_baseline_ablation",
    ),
    "j": Claim(
        "Interpolating the found filters gives continuous control.",
        "Interpolating the discovered filters gives continuous control.",
        f"Held if the output comes nearer to the target's at every step of λ in the mean over images, and in "
        f"{100 * MONOTONE:.0f} % of the steps of single images, for both functions; partly if for one.",
        f"The knob's own effect instead: noise falls or sharpness rises in {100 * MONOTONE:.0f} % of the steps, none "
        f"steeper than {STEEPEST:g} times an even slope, and the knob gains at least {LEAST_GAIN} dB.",
        "The paper shows strips of pictures that change step by step. An effect may turn back where it reaches the "
        "truth; the way to the target's output may not.",
        f"Effects {_TRIALS}; the distance {_NOW}.",
        "notebooks/08_interpolation",
    ),
}

#: What this book asks beyond the paper; :attr:`Verdict.paper` of these has no grades.
QUESTIONS: Mapping[str, Claim] = {
    "k": Claim(
        "The straight path is sound.",
        "The networks on the straight line between target and baseline are about as good as its ends.",
        "",
        f"Held if the PSNR on clean input falls at most {SOUND:g} dB below the line between the ends for every pair of "
        "a network; partly if for half of the pairs.",
        "FAIG adds up gradients of the networks on the way. Where these are worse than both ends, it says what repairs "
        "them, not what removes blur or noise.",
        f"Limit on 26 November 2026, before it was held against how selective filters are; the question {_FIRST}.",
        "notebooks/13_faithfulness",
    ),
    "l": Claim(
        "FAIG's filters beat matched controls.",
        "FAIG's filters cause a larger drop than other filters of the same layers that training changed as much.",
        "",
        f"{CONTROLS} controls for 1 % of the filters: for each chosen filter an unchosen one of the same layer and the "
        "same tenth of |θ − θ̄| in it. Held if, on the own input, so few of the controls cause as large a mean drop as "
        f"FAIG's filters that a one-sided rank test gives p ≤ {RARE:g}, for both functions in every pair of a network; "
        "partly if in half of these cases.",
        "Filters at random lie in other layers and have changed less, so that they are easily beaten.",
        f"{begun(_FIRST)}.",
        "notebooks/13_faithfulness",
    ),
    "m": Claim(
        "FAIG comes near to what a learned mask reaches.",
        "Grafted onto the baseline, FAIG's filters bring back nearly as much of an ability as those of a mask that was "
        "trained for it.",
        "",
        f"The share of the target's advantage that grafted filters bring back on the own input, PSNR with the means of "
        f"the channels put right, averaged over the logarithm of their proportion from 0.1 to 100 %. Held if FAIG's is "
        f"at least {100 * NEAR_BOUND:.0f} % of the learned masks' (of several sparsities, for every proportion the one "
        "that brings most) for both functions; partly if at least "
        f"{100 * FAR_FROM_BOUND:.0f} %.",
        "The mask is trained on the very aim, with many times FAIG's gradients, so that it is an upper bound in "
        "practice. Four fifths of it by a method that trains nothing would be near.",
        f"Limits {_FIRST}; that the best of several masks counts, after a trial with one pair had shown that a single "
        "one bounds nothing at most proportions.",
        "notebooks/13_faithfulness",
    ),
    "n": Claim(
        "The path tells beforehand where FAIG is selective.",
        "How deep the straight path is on clean input tells, before anything is attributed, whether the filters that "
        "FAIG finds are selective.",
        "",
        "Over the pairs trained here and the public ones of waifu2x, straight lines alone; selectivity is the drop on "
        "the own input over that on the other when 1 % is masked, the geometric mean of both functions. Held if its "
        f"rank correlation with the depth is at most {RELATED:g} (p < 0.05), and the limit of {SOUND:g} dB sorts at "
        f"least {100 * SORTED:.0f} % of the pairs as selective ({SELECTIVE:g} times) or not; partly if one of both; "
        "not tested if all paths are sound, or none is.",
        "A path profile costs a few images and no gradient. The pairs of one network are not independent, so that a "
        "correlation is no proof, but one that is missing is a refutation.",
        f"{begun(_FIRST)} but trials with one pair, whose path was known to be broken.",
        "notebooks/14_public_pairs",
    ),
}
