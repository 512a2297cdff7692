"""The paper's own numbers, as data: what every measured table is shown beside.

Xie, Wang, Dong, Qi, Shan: "Finding Discriminative Filters for Specific Degradations in Blind Super-Resolution",
NeurIPS 2021. Values are mean and standard deviation over three training runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: Methods in the paper's order: key, name in tables.
METHODS = {"faig": "FAIG", "intinf": "IG", "filter_change": "|θ − θ̄|", "random": "random"}
#: The change of filters in relation to the baseline's, by which the released program ranks.
RELATIVE_CHANGE = "filter_change_relative"
#: All methods whose filters are masked: key, name in tables.
MASKED = METHODS | {RELATIVE_CHANGE: "|θ − θ̄| ÷ |θ̄|"}

#: What the paper's claims are made on: its networks, and the image sets of its tables and figures.
NETWORKS = ("srcnn_style", "srresnet")
IMAGE_SETS = ("set14", "bsd100")


@dataclass(frozen=True)
class Drop:
    """One cell of supp. Tables 3-6: performance drop ×10³.

    Attributes:
        table: number in the supplement.
        network: registry name.
        image_set: name in :mod:`faiglib.images.datasets`.
        input: ``blurry`` (deblurring filters masked) or ``noisy`` (denoising filters masked).
        percent: proportion of masked filters.
        method: key of :data:`METHODS`.
        mean, std: over three runs.
    """

    table: int
    network: str
    image_set: str
    input: str
    percent: float
    method: str
    mean: float
    std: float


# (table, network, image set, input): (mean, std) of FAIG, IG, |θ − θ̄|, random at 1 %, then at 5 %.
_DROPS = {
    (3, "srcnn_style", "set14", "blurry"): (
        (6.42, 0.30), (0.86, 0.41), (0.91, 0.70), (0.07, 0.03), (7.18, 0.18), (3.05, 1.02), (2.81, 0.33), (0.50, 0.02),
    ),
    (3, "srcnn_style", "set14", "noisy"): (
        (1.78, 0.05), (0.45, 0.32), (0.63, 0.31), (0.04, 0.02), (5.35, 0.52), (1.14, 1.21), (2.08, 0.13), (0.11, 0.01),
    ),
    (4, "srcnn_style", "bsd100", "blurry"): (
        (5.02, 0.36), (0.74, 0.42), (0.63, 0.65), (0.05, 0.02), (5.74, 0.29), (2.53, 1.02), (2.18, 0.25), (0.45, 0.07),
    ),
    (4, "srcnn_style", "bsd100", "noisy"): (
        (1.40, 0.37), (0.28, 0.11), (0.63, 0.35), (0.02, 0.00), (4.86, 0.90), (0.93, 1.05), (2.01, 0.12), (0.11, 0.01),
    ),
    (5, "srresnet", "set14", "blurry"): (
        (6.68, 0.63), (4.31, 1.54), (0.18, 0.13), (0.07, 0.01), (7.53, 0.24), (6.41, 0.88), (2.16, 0.61), (0.55, 0.32),
    ),
    (5, "srresnet", "set14", "noisy"): (
        (6.62, 0.54), (4.22, 0.44), (0.49, 0.10), (0.04, 0.01), (16.28, 3.84), (8.01, 1.04), (3.25, 1.85), (0.19, 0.05),
    ),
    (6, "srresnet", "bsd100", "blurry"): (
        (5.35, 0.42), (2.43, 0.79), (0.17, 0.12), (0.04, 0.01), (5.98, 0.12), (4.86, 0.73), (1.60, 0.55), (0.32, 0.01),
    ),
    (6, "srresnet", "bsd100", "noisy"): (
        (5.91, 0.92), (3.82, 0.40), (0.40, 0.09), (0.05, 0.01), (14.06, 2.28), (7.92, 1.17), (3.01, 2.08), (0.47, 0.39),
    ),
}  # fmt: skip


def drops() -> Iterator[Drop]:
    """Every cell of supp. Tables 3-6."""
    for (table, network, image_set, input_), cells in _DROPS.items():
        labels = [(percent, method) for percent in (1, 5) for method in METHODS]
        for (percent, method), (mean, std) in zip(labels, cells, strict=True):
            yield Drop(table, network, image_set, input_, percent, method, mean, std)


@dataclass(frozen=True)
class Retrained:
    """One cell of the re-training table (SRCNN-style, 1 % of the filters): PSNR in dB.

    Attributes:
        network: registry name.
        task: ``deblurring`` (trained and tested on blurry input) or ``denoising``.
        filters: function whose filters may move, or ``all`` for the upper bound.
        method: key of :data:`METHODS`, or ``all``.
        mean, std: over three runs.
    """

    network: str
    task: str
    filters: str
    method: str
    mean: float
    std: float


# {task: (upper bound, deblurring filters by method, denoising filters by method)}, each (mean, std).
_RETRAINED = {
    "deblurring": (
        (29.203, 0.021),
        ((28.047, 0.023), (26.474, 0.295), (26.758, 0.103), (27.028, 0.154)),
        ((27.463, 0.133), (26.656, 0.265), (26.746, 0.139), (27.041, 0.149)),
    ),
    "denoising": (
        (26.712, 0.008),
        ((25.590, 0.071), (25.233, 0.051), (25.444, 0.008), (25.525, 0.037)),
        ((25.793, 0.021), (25.465, 0.014), (25.448, 0.009), (25.526, 0.010)),
    ),
}


def retraining() -> Iterator[Retrained]:
    """Every cell of the re-training table; the released code has it for the SRCNN-style network only."""
    network = "srcnn_style"
    for task, (bound, *by_function) in _RETRAINED.items():
        yield Retrained(network, task, "all", "all", *bound)
        for filters, cells in zip(("deblurring", "denoising"), by_function, strict=True):
            for method, (mean, std) in zip(METHODS, cells, strict=True):
                yield Retrained(network, task, filters, method, mean, std)


#: λ of the interpolated networks in supp. Figs. 10 and 11.
LAMBDAS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Predicted:
    """Degradation prediction for one degradation (section 4.4): thresholds from BSD100, accuracy on DIV2K validation.

    Attributes:
        threshold: on the overlap score.
        accuracy: share of right decisions.
    """

    threshold: float
    accuracy: float


#: By degradation.
PREDICTION = {"blur": Predicted(0.5, 0.96), "noise": Predicted(0.6, 0.98)}


@dataclass(frozen=True)
class Raced:
    """One column of supp. Table 2: PSNR in dB, on RGB as printed, of a two-branch network and its one-branch rival.

    Attributes:
        contest: the two-branch network, ``dan`` or ``dasr``.
        degradation: ``blur`` or ``blur and noise``.
        two, one: mean and standard deviation over three runs.
    """

    contest: str
    degradation: str
    two: tuple[float, float]
    one: tuple[float, float]


RACE = (
    Raced("dan", "blur", (26.168, 0.009), (26.182, 0.011)),
    Raced("dan", "blur and noise", (27.341, 0.072), (27.288, 0.027)),
    Raced("dasr", "blur", (27.518, 0.034), (27.573, 0.010)),
    Raced("dasr", "blur and noise", (25.116, 0.012), (25.143, 0.013)),
)

#: PSNR in dB on the Y channel of BSD100 that the supplement's text gives for its own runs, blur only.
RACE_Y = {"dan": 27.52, "dasr": 27.52}


@dataclass(frozen=True)
class RaceTraining:
    """How the supplement trained a network of the race (Table 1, and the released options).

    Attributes:
        batch: LR patches a step whose restoration is learnt.
        patch: side of the LR patch in pixels.
        iterations: of the optimiser.
        encoder_iterations: that DASR's encoder is trained before, in addition.
    """

    batch: int
    patch: int
    iterations: int
    encoder_iterations: int = 0


#: Steps per epoch are not printed; a thousand is the default of the code that DASR's builds on.
STEPS_PER_EPOCH = 1000

#: By contest, both networks alike but for DASR's encoder.
RACE_TRAINING = {
    "dan": RaceTraining(64, 64, 400_000),
    "dasr": RaceTraining(32, 48, 500 * STEPS_PER_EPOCH, 100 * STEPS_PER_EPOCH),
}
