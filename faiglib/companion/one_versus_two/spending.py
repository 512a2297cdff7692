"""What the race and the paper spent, counted in FLOP."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from faiglib.companion import paper
from faiglib.companion.one_versus_two.measure import PRIMARY, TESTS, RecordedRace
from faiglib.images.blind_degradations import SCALE
from faiglib.networks import build
from faiglib.networks.cost import macs, parameters
from faiglib.networks.dan import DAN
from faiglib.networks.dasr import DASR
from faiglib.race import presets
from faiglib.race.presets import CONTESTS, Contest, Entrant

#: Input on which one MAC count of a network stands for all, as in supp. Table 1.
INPUT = (1, 3, 120, 120)


# ---------------------------------------------------------------- what it costs


def contest_of(entrant: Entrant) -> str:
    """The contest that an entrant belongs to."""
    return next(name for name, contest in CONTESTS.items() if entrant.key in vars(contest).values())


def race_budgets(record: RecordedRace) -> pd.DataFrame:
    """Parameters, MACs and PSNR of all entrants.

    Returns:
        One row per entrant: ``entrant``, ``title``, ``contest``, ``role`` (``two``, ``one`` or ``half``),
        ``parameters``, ``gmacs`` (10⁹ true MACs for an input of :data:`INPUT`), ``gflop_step`` (10⁹ FLOP of a training
        step), ``minutes`` (training, mean over seeds, without DASR's first phase), and PSNR on RGB of its contest's
        primary test: ``psnr`` (mean over seeds), ``least``, ``most``.
    """
    rows = []
    seconds = record.description.seconds
    for entrant in record.preset.entrants:
        contest = contest_of(entrant)
        network = build(entrant.network, scale=SCALE, **entrant.options)
        chosen = record.psnr[
            (record.psnr["entrant"] == entrant.key) & record.psnr["width"].isin(TESTS[PRIMARY[contest]])
        ]
        by_seed = chosen.groupby("seed")["rgb"].mean()
        took = [seconds[f"{entrant.key}-seed{seed}-restoration"] for seed in by_seed.index]
        rows.append(
            {
                "entrant": entrant.key,
                "title": entrant.title,
                "contest": contest,
                "role": _role(CONTESTS[contest], entrant.key),
                "parameters": parameters(network),
                "gmacs": macs(network, INPUT) / 1e9,
                "gflop_step": training_flop(entrant, record.preset.batch, record.preset.patch // SCALE) / 1e9,
                "minutes": float(np.mean(took)) / 60,
                "psnr": by_seed.mean(),
                "least": by_seed.min(),
                "most": by_seed.max(),
            }
        )
    return pd.DataFrame(rows)


def _role(contest: Contest, key: str) -> str:
    return next(role for role, name in vars(contest).items() if name == key)


def training_flop(entrant: Entrant, batch: int, patch: int, phase: str = "restoration") -> float:
    """FLOP of one training step: two per MAC, and twice the forward pass for the backward pass.

    DAN's first loops have no backward pass; the key encoder of DASR has none, either.

    Args:
        entrant: the network.
        batch: samples.
        patch: side of the LR patch in pixels.
        phase: ``restoration``, or ``encoder`` for DASR's first.
    """
    return 2 * batch * _macs_of_a_step(entrant.network, tuple(entrant.options.items()), patch, phase)


@lru_cache(maxsize=64)
def _macs_of_a_step(name: str, options: tuple[tuple[str, int], ...], patch: int, phase: str) -> float:
    """MACs of all passes of a training step with one sample."""
    shape = (1, 3, patch, patch)
    network = build(name, scale=SCALE, **dict(options))
    if isinstance(network, DASR):
        encoder = macs(network.encoder, shape)
        return 4 * encoder if phase == "encoder" else 3 * macs(network, shape) + encoder
    forward = macs(network, shape)
    return forward * (network.loops + 2) / network.loops if isinstance(network, DAN) else 3 * forward


def full_cost() -> pd.DataFrame:
    """What the paper's own training of the four networks of supp. Table 1 costs, counted.

    Returns:
        One row per network: ``title``, ``iterations`` (with DASR's first phase), ``batch``, ``patch`` (LR pixels),
        ``pflop`` (10¹⁵ FLOP of one run, all phases).
    """
    preset = presets.get("full")
    rows = []
    for name, contest in CONTESTS.items():
        budget = paper.RACE_TRAINING[name]
        for key in (contest.two, contest.one):
            entrant = preset.entrant(key)
            total = budget.iterations * training_flop(entrant, budget.batch, budget.patch)
            steps = budget.iterations
            if entrant.network == "dasr":
                steps += budget.encoder_iterations
                total += budget.encoder_iterations * training_flop(entrant, budget.batch, budget.patch, "encoder")
            rows.append(
                {
                    "title": entrant.title,
                    "iterations": steps,
                    "batch": budget.batch,
                    "patch": budget.patch,
                    "pflop": total / 1e15,
                }
            )
    return pd.DataFrame(rows)


def race_flop(record: RecordedRace) -> float:
    """FLOP of all training steps of a race."""
    preset, patch = record.preset, record.preset.patch // SCALE
    total = 0.0
    for entrant in preset.entrants:
        total += preset.iterations * training_flop(entrant, preset.batch, patch)
        if entrant.network == "dasr":
            total += preset.encoder_iterations * training_flop(entrant, preset.batch, patch, "encoder")
    return total * len(preset.seeds)


#: FLOP/s that a large GPU sustains on such networks in half precision.
GPU_SPEED = 80e12
#: Training runs of each network in the paper.
PAPER_RUNS = 3


@dataclass(frozen=True)
class Spending:
    """What the race cost, and what the paper's would.

    Attributes:
        race: FLOP of all training steps here.
        minutes: of training here.
        speed: FLOP/s here.
        full: FLOP of the paper's race, three runs of four networks.
        core_years: that at the speed of here.
        gpu_days: that at :data:`GPU_SPEED`.
    """

    race: float
    minutes: float
    speed: float
    full: float
    core_years: float
    gpu_days: float


def spending(record: RecordedRace) -> Spending:
    """Compare the race with the paper's, by counted FLOP."""
    seconds = sum(record.description.seconds.values())
    spent = race_flop(record)
    full = PAPER_RUNS * 1e15 * float(full_cost()["pflop"].sum())
    day = 24 * 3600
    speed = spent / seconds
    return Spending(spent, seconds / 60, speed, full, full / speed / (365.25 * day), full / GPU_SPEED / day)
