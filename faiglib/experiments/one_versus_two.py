"""One branch against two (supp. Tables 1 and 2): what the networks cost, and who wins the race of equal training.

The rules of the race were declared before any network was trained:

- A one-branch network is *not inferior* if the 95 % interval of its lead lies above -0.10 dB, *inferior* if it lies
  below, *better* if it lies above 0, *equivalent* if the 90 % interval lies within ±0.10 dB (two one-sided tests at
  5 %), and otherwise the race is *inconclusive*.
- What counts is each contest on the test of its own two-branch network, on RGB as in the paper; the rest is shown.
- Half of the one-branch network has to come out worse than the whole, or the contest shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pandas as pd

from faiglib import datasets, paper, provenance, race
from faiglib.checkpoints import load_weights
from faiglib.complexity import macs, parameters
from faiglib.datasets import ImageSet
from faiglib.documents import DocumentError, read_json
from faiglib.errors import DatasetError, FaiglibError
from faiglib.experiments.workbench import Workbench, budget_box
from faiglib.networks import TITLES, build
from faiglib.networks.dan import DAN
from faiglib.networks.dasr import DASR
from faiglib.race import CONTESTS, Contest, Entrant, Preset
from faiglib.store import fingerprint
from faiglib.training import fabric_on
from faiglib.two_branch_degradations import DASR_SIGMA, GAUSSIAN8, SCALE

Outcome = Literal["equivalent", "better", "not inferior", "inferior", "inconclusive"]

#: dB. The differences of the paper's Table 2 are half of it, and no eye sees it.
MARGIN = 0.10
RESAMPLES = 10_000
#: Widths of the blur by test.
TESTS: Mapping[str, tuple[float, ...]] = {"gaussian8": GAUSSIAN8, "sigma1.2": (DASR_SIGMA,)}
#: Names of the tests as printed.
TEST_TITLES = {"gaussian8": f"eight widths, {GAUSSIAN8[0]} to {GAUSSIAN8[-1]}", "sigma1.2": f"width {DASR_SIGMA}"}
#: The test that decides a contest, on RGB.
PRIMARY = {"dan": "gaussian8", "dasr": "sigma1.2"}
#: Input on which one MAC count of a network stands for all, as in supp. Table 1.
INPUT = (1, 3, 120, 120)


@dataclass(frozen=True, eq=False)
class Record:
    """A finished or running race.

    Attributes:
        preset: its budget, by the names of :class:`faiglib.race.Preset`.
        psnr: dB by ``entrant``, ``seed``, ``image`` and ``width``: ``rgb`` and ``y``.
        curves: logs of the training runs.
        description: ``race.json``.
        folder: where it lies.
        fresh: whether it was run for this page rather than recorded before.
    """

    preset: Preset
    psnr: pd.DataFrame
    curves: pd.DataFrame
    description: race.Description
    folder: Path
    fresh: bool


def recorded_race() -> Path:
    """The folder of the recorded race in the checkout."""
    return Path(__file__).resolve().parents[2] / "results" / "race"


def load(folder: Path, fresh: bool = False) -> Record:
    """Read a record that :func:`faiglib.race.run` wrote.

    Raises:
        FaiglibError: there is none, or it cannot be read.
    """
    try:
        description = read_json(folder / "race.json", race.Description)
    except OSError:
        raise FaiglibError(f"{folder} holds no race; `faiglib race` runs it") from None
    except DocumentError as error:
        raise FaiglibError(f"{folder / 'race.json'} does not describe a race: {error}") from None
    psnr, curves = (pd.DataFrame(race.read_csv(folder / f"{name}.csv")) for name in ("psnr", "curves"))
    return Record(description.preset, psnr, curves, description, folder, fresh)


def open_race(bench: Workbench) -> Record:
    """The race that a page shows: the recorded one, or with the profile ``quick`` a tiny one that is run now."""
    if bench.profile.name != "quick":
        return load(recorded_race())
    preset = race.get("quick")
    test_set = bench.image_sets[bench.test_set]
    key = [preset, bench.training_set.digest, test_set.digest, provenance.source_digest(), bench.device.type]
    folder = bench.store.root / "race" / fingerprint(key)[:16]
    fabric = fabric_on(bench.device, precision=preset.precision)
    race.run(preset, bench.training_set, test_set, folder / "runs", folder / "record", fabric, progress=False)
    return load(folder / "record", fresh=True)


def budget(bench: Workbench, record: Record) -> str:
    """HTML that says on a page which race it shows, and what the race was made with."""
    preset, made = record.preset, record.description.made_on
    minutes = sum(record.description.seconds.values()) / 60
    seeds = f"{len(preset.seeds)} seeds" if record.description.complete else "not all seeds yet"
    training, images = record.description.training_set, record.description.test_set
    commit = f", commit {made['commit'][:8]}" if made["commit"] else ""
    return budget_box(
        bench,
        {
            "profile": bench.profile.name,
            "race": f"{'run for this page' if record.fresh else 'recorded before, not run for this page'}, budget "
            f"“{preset.name}”, {seeds}, {preset.iterations:,} iterations of {preset.batch} LR patches of "
            f"{preset.patch // SCALE}×{preset.patch // SCALE} pixels, peak learning rate {preset.peak_lr:g}, "
            f"{preset.precision}; the encoder of DASR {preset.encoder_iterations:,} iterations before",
            "trained on": f"{_title(training[0])}, {training[2]} images",
            "judged on": f"{_title(images[0])}, {images[2]} images, "
            + ("whole" if preset.crop is None else f"central {preset.crop}×{preset.crop} pixels")
            + f", {race.BORDER} pixels of border left out",
            "race made with": f"faiglib {made['faiglib']}{commit}, PyTorch {made['torch']}, "
            f"{made['gpu'] or made['cpu']}, {made['torch_threads']} thread(s), {minutes:.0f} minutes of training, "
            f"{made['time_utc']}",
            "in the paper": "; ".join(
                f"{TITLES[name]} {one.iterations:,} iterations of {one.batch} LR patches of {one.patch}×{one.patch}"
                for name, one in paper.RACE_TRAINING.items()
            )
            + ", DF2K",
        },
    )


def _title(name: str) -> str:
    """Printed name of an image set, which may be the user's own folder."""
    return datasets.title(name) if name in datasets.NAMES else name


# ---------------------------------------------------------------- what is compared


def leads(psnr: pd.DataFrame, first: str, second: str, test: str, channel: str) -> pd.DataFrame:
    """PSNR of one entrant minus another's in dB, mean over the widths of a test: a row a seed, a column an image."""
    chosen = psnr[psnr["width"].isin(TESTS[test])]
    wide = chosen.pivot_table(index=["seed", "image"], columns="entrant", values=channel)
    return (wide[first] - wide[second]).dropna().unstack("image")


def resampled_means(differences: np.ndarray, resamples: int = RESAMPLES) -> np.ndarray:
    """Bootstrap of the mean of (seeds, images) differences: both axes are drawn with replacement.

    Every seed meets the same images, therefore a draw takes one sample of images for all its seeds; drawing them
    anew within every seed would pretend that there were more images.
    """
    generator = np.random.default_rng(0)
    seeds, images = differences.shape
    rows = generator.multinomial(seeds, np.full(seeds, 1 / seeds), resamples) / seeds
    columns = generator.multinomial(images, np.full(images, 1 / images), resamples) / images
    return np.einsum("rs,si,ri->r", rows, differences, columns, optimize=True)


def outcome(ninety: tuple[float, float], ninety_five: tuple[float, float], margin: float = MARGIN) -> Outcome:
    """What the intervals of a lead in dB say, by the rules of this module."""
    if -margin < ninety[0] and ninety[1] < margin:
        return "equivalent"
    if ninety_five[0] > 0:
        return "better"
    if ninety_five[0] > -margin:
        return "not inferior"
    return "inferior" if ninety_five[1] < -margin else "inconclusive"


def comparisons(record: Record) -> pd.DataFrame:
    """All contests and their controls on all tests.

    Returns:
        One row per ``contest``, ``compared`` (``one − two`` or ``whole − half``), ``test`` and ``channel``: PSNR of
        both (``first``, ``second``, dB), ``lead`` (dB), ``low`` and ``high`` (95 % interval), ``low90`` and
        ``high90``, ``least`` and ``most`` (of the seeds), ``seeds``, ``images``, ``outcome``, ``primary``.
    """
    rows = []
    for name, contest in CONTESTS.items():
        for compared, first, second in (
            ("one − two", contest.one, contest.two),
            ("whole − half", contest.one, contest.half),
        ):
            for test in TESTS:
                for channel in ("rgb", "y"):
                    table = leads(record.psnr, first, second, test, channel)
                    means = resampled_means(table.to_numpy())
                    low90, high90 = np.quantile(means, (0.05, 0.95))
                    low, high = np.quantile(means, (0.025, 0.975))
                    rows.append(
                        {
                            "contest": name,
                            "compared": compared,
                            "test": test,
                            "channel": channel,
                            "first": level(record.psnr, first, test, channel),
                            "second": level(record.psnr, second, test, channel),
                            "lead": float(table.to_numpy().mean()),
                            "low": float(low),
                            "high": float(high),
                            "low90": float(low90),
                            "high90": float(high90),
                            "least": float(table.mean(axis=1).min()),
                            "most": float(table.mean(axis=1).max()),
                            "seeds": table.shape[0],
                            "images": table.shape[1],
                            "outcome": outcome((low90, high90), (low, high)),
                            "primary": test == PRIMARY[name] and channel == "rgb",
                        }
                    )
    return pd.DataFrame(rows)


def level(psnr: pd.DataFrame, entrant: str, test: str, channel: str) -> float:
    """Mean PSNR in dB of an entrant over the seeds, images and widths of a test."""
    chosen = psnr[(psnr["entrant"] == entrant) & psnr["width"].isin(TESTS[test])]
    return float(chosen[channel].mean())


@dataclass(frozen=True)
class Verdict:
    """What the race says about the claim that one branch does what two do.

    Attributes:
        outcomes: by contest, on its primary test.
        leads: dB, one branch minus two, on the same.
        sensitive: by contest, whether half of the one-branch network came out worse.
        share: of the paper's iterations, the smallest over the contests.
        complete: whether all runs of the race are in.
        seeds: how many.
    """

    outcomes: dict[str, Outcome]
    leads: dict[str, float]
    sensitive: dict[str, bool]
    share: float
    complete: bool
    seeds: int


def verdict(record: Record, table: pd.DataFrame) -> Verdict:
    """Judge claim (a) of the paper on the table of :func:`comparisons`."""
    primary = table[table["primary"]].set_index(["compared", "contest"])
    one = primary.loc["one − two"]
    half = primary.loc["whole − half"]
    return Verdict(
        {name: cast("Outcome", one.loc[name, "outcome"]) for name in CONTESTS},
        {name: float(one.loc[name, "lead"]) for name in CONTESTS},
        {name: bool(half.loc[name, "low"] > 0) for name in CONTESTS},
        min(record.preset.iterations / one.iterations for one in paper.RACE_TRAINING.values()),
        bool(record.description.complete),
        int(table["seeds"].min()),
    )


# ---------------------------------------------------------------- what it costs


def contest_of(entrant: Entrant) -> str:
    """The contest that an entrant belongs to."""
    return next(name for name, contest in CONTESTS.items() if entrant.key in vars(contest).values())


def budgets(record: Record) -> pd.DataFrame:
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
    preset = race.get("full")
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


def race_flop(record: Record) -> float:
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


def spending(record: Record) -> Spending:
    """Compare the race with the paper's, by counted FLOP."""
    seconds = sum(record.description.seconds.values())
    spent = race_flop(record)
    full = PAPER_RUNS * 1e15 * float(full_cost()["pflop"].sum())
    day = 24 * 3600
    speed = spent / seconds
    return Spending(spent, seconds / 60, speed, full, full / speed / (365.25 * day), full / GPU_SPEED / day)


# ---------------------------------------------------------------- paper beside measured


def beside_the_paper(record: Record) -> pd.DataFrame:
    """Supp. Table 2, blur only, beside the race.

    Returns:
        One row per ``contest`` and ``branches`` (``two``, ``one``, ``half``): ``title``; PSNR in dB here on RGB and Y
        (``rgb``, ``y``: means over seeds, with ``rgb_std`` and ``y_std``), in the paper (``paper``, ``paper_std``).
    """
    printed = {one.contest: one for one in paper.RACE if one.degradation == "blur"}
    rows = []
    for name, contest in CONTESTS.items():
        for role, key in vars(contest).items():
            chosen = record.psnr[(record.psnr["entrant"] == key) & record.psnr["width"].isin(TESTS[PRIMARY[name]])]
            by_seed = chosen.groupby("seed")[["rgb", "y"]].mean()
            mean, std = getattr(printed[name], role, (float("nan"), float("nan")))
            rows.append(
                {
                    "contest": name,
                    "branches": role,
                    "title": record.preset.entrant(key).title,
                    "rgb": by_seed["rgb"].mean(),
                    "rgb_std": by_seed["rgb"].std(),
                    "y": by_seed["y"].mean(),
                    "y_std": by_seed["y"].std(),
                    "paper": mean,
                    "paper_std": std,
                }
            )
    return pd.DataFrame(rows)


def head_start(beside: pd.DataFrame) -> str:
    """How far half of the one-branch network is from the two branches and from the whole, in words.

    Args:
        beside: from :func:`beside_the_paper`.
    """
    rgb = beside.set_index(["contest", "branches"])["rgb"]
    told = "; ".join(
        f"over {TITLES[name]} the half leads by {rgb[name, 'half'] - rgb[name, 'two']:+.2f} dB, the whole by "
        f"{rgb[name, 'one'] - rgb[name, 'two']:+.2f} dB"
        for name in CONTESTS
    )
    start = f"What half of the one-branch network does tells how to read the leads: {told}"
    if all(rgb[name, "half"] - rgb[name, "two"] > rgb[name, "one"] - rgb[name, "half"] for name in CONTESTS):
        return (
            f"{start}. Halving costs less than the half is ahead by, so the leads measure how soon a network starts to "
            "learn more than whether it has a second branch."
        )
    return f"{start}."


def anomalies() -> dict[str, float]:
    """Figures of supp. Table 2 that do not fit together, in dB.

    ``dasr_rgb`` and ``dasr_y`` (DASR's blur, as printed in the table and in the text), ``dan_noise_gain`` (how much
    better DAN does when noise is added), ``largest_gap`` (between one and two branches), ``largest_std``.
    """
    cell = {(one.contest, one.degradation): one for one in paper.RACE}
    return {
        "dasr_rgb": cell["dasr", "blur"].two[0],
        "dasr_y": paper.RACE_Y["dasr"],
        "dan_noise_gain": cell["dan", "blur and noise"].two[0] - cell["dan", "blur"].two[0],
        "largest_gap": max(abs(one.two[0] - one.one[0]) for one in paper.RACE),
        "largest_std": max(max(one.two[1], one.one[1]) for one in paper.RACE),
    }


def remeasured(bench: Workbench, record: Record, images: int = 4) -> pd.DataFrame:
    """Measure the recorded weights again on some of the test images, as far as both are on this machine.

    Returns:
        One row per entrant: ``title``, ``recorded`` and ``now`` (mean PSNR on RGB in dB over the same images and
        widths), ``largest_difference`` (of one image at one width). Empty where the test set is not here.
    """
    test_set = _test_set(bench, record)
    if test_set is None:
        return pd.DataFrame(columns=["title", "recorded", "now", "largest_difference"])
    tests = race.TestImages.of(test_set, images, record.preset.crop)
    rows = []
    for entrant in record.preset.entrants:
        weights = load_weights(record.folder / "weights" / f"{entrant.key}.safetensors")
        now = pd.DataFrame(race.measure(race.restored_network(entrant, weights), tests, bench.device))
        first = record.psnr[(record.psnr["entrant"] == entrant.key) & (record.psnr["seed"] == record.preset.seeds[0])]
        both = now.merge(first, on=["image", "width"], suffixes=("_now", ""))
        rows.append(
            {
                "title": entrant.title,
                "recorded": both["rgb"].mean(),
                "now": both["rgb_now"].mean(),
                "largest_difference": (both["rgb"] - both["rgb_now"]).abs().max(),
            }
        )
    return pd.DataFrame(rows)


def _test_set(bench: Workbench, record: Record) -> ImageSet | None:
    """The images that the race was judged on, if they are on this machine."""
    name, digest, _ = record.description.test_set
    try:
        found = datasets.find(name, bench.data_dir)
    except DatasetError:
        return None
    return found if found.digest == digest else None
