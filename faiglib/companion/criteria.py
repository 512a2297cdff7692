"""The claims of the paper, what decides each, and what a verdict is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from faiglib.companion.one_versus_two import report as one_versus_two_report

Grade = Literal["held", "partly", "did not hold", "not tested"]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        statement: in our words.
        criterion: what counts as held and as partly held, and why.
        page: of the book that tests it, without suffix.
    """

    statement: str
    criterion: str
    page: str


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes:
        claim: its letter.
        grade: the verdict.
        measured: the numbers that decide it, in a few words.
    """

    claim: str
    grade: Grade
    measured: str


#: Share of the target's advantage over the baseline (PSNR) that masking must remove from its own input: half is the
#: least that "removes" can mean.
REMOVED = 0.5
#: The same share that masking may remove from the other input: a tenth of an advantage of 3 to 5 dB is not visible.
SPILLED = 0.1
#: dB. A smaller change of PSNR is not visible in a photograph.
INVISIBLE = 0.1
#: Share of right predictions on an image set that the thresholds were not chosen on: nearer to the paper's 96 % than to
#: the half that guessing gets, and far enough below for the few images of a laptop's budget.
PREDICTED = 0.9
#: What the parts of claim (f) say, by column of :func:`faiglib.companion.distribution.report.verdict`.
PARTS: Mapping[str, str] = {
    "back": "deblurring filters behind an even spread",
    "behind": "deblurring filters behind denoising filters",
    "even": "denoising filters even",
    "cluster": "denoising filters clustered at the end",
}
#: Share of the paper's iterations below which a race compares how fast networks learn, not how good they become.
FULL_SHARE = 0.1

CLAIMS: Mapping[str, Claim] = {
    "a": Claim(
        "One branch matches two at equal budget.",
        f"Held if the one-branch network is not inferior (margin {one_versus_two_report.MARGIN:.2f} dB, 95 % interval "
        f"over seeds and images) in both contests, in a race of at least {FULL_SHARE:.0%} of the paper's iterations; "
        "partly if in a shorter race, or in one contest of two; not tested if the race has one seed or is not"
        " complete, or if half of the one-branch network does as well as the whole, or if the race is inconclusive in "
        "both contests.",
        "notebooks/01_one_vs_two_branch",
    ),
    "b": Claim(
        "Masking 1 % deblurring filters removes deblurring and keeps denoising, and the reverse.",
        f"Held if in every network and image set at least {REMOVED:.0%} of the target's PSNR advantage goes on the "
        f"own input and at most {SPILLED:.0%} on the other; partly if the own input loses three times the other's.",
        "notebooks/03_masking",
    ),
    "c": Claim(
        "Masking 1 % random filters changes nothing visible.",
        f"Held if PSNR changes by at most {INVISIBLE} dB in every network, image set and input; partly if by at most "
        f"{3 * INVISIBLE:.1f} dB.",
        "notebooks/03_masking",
    ),
    "d": Claim(
        "FAIG's filters cause a larger drop than those of IG, |θ − θ̄| and chance, everywhere.",
        "Held if FAIG leads in every cell of the tables; partly if in three quarters of them.",
        "notebooks/03_masking",
    ),
    "e": Claim(
        "Re-training FAIG's locations brings back more of their own function than re-training any others.",
        "Held if FAIG leads for both functions in every network; partly if in half of these cases.",
        "notebooks/04_retraining",
    ),
    "f": Claim(
        "Deblurring filters sit towards the back of the network; denoising filters spread evenly with a cluster in the "
        "last layers.",
        "Held if all four parts (at the back, behind the denoising filters, even, clustered; limits in "
        "faiglib.companion.distribution.report) hold in every network; partly if half of them do.",
        "notebooks/05_distribution",
    ),
    "g": Claim(
        "Blur and noise can be predicted from the overlap of filters, without a label for the image.",
        f"Held if, blind and with thresholds from another image set, at least {PREDICTED:.0%} of blurry and noisy "
        "inputs are decided rightly for both degradations in every network and test set; partly if the 95 % interval "
        "of every AUC lies above chance.",
        "notebooks/06_prediction",
    ),
    "h": Claim(
        "The trained baseline is the right end of the path: random and zero weights find worse filters, and replacing "
        "by them breaks the brightness.",
        "Held if it finds the filters with the largest drop and shifts brightness least in every network and function, "
        "and random and zero weights break the brightness in at least half of them; partly if it finds the best "
        "filters in half.",
        "notebooks/07_baseline_ablation",
    ),
    "i": Claim(
        "Eliminating the attribution of the other degradation helps.",
        "Held if the filters are more selective with elimination for every network, function and proportion; partly if "
        "for half of them.",
        "notebooks/07_baseline_ablation",
    ),
    "j": Claim(
        "Interpolating the discovered filters gives continuous control.",
        "Held if the control is continuous (limits in faiglib.companion.interpolation.report) for every network and "
        "function; partly if for half of them.",
        "notebooks/08_interpolation",
    ),
}
