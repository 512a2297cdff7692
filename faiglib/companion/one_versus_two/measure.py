"""The race: its record, and its weights measured again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from faiglib.companion.places import recorded_results
from faiglib.companion.workbench import Workbench
from faiglib.errors import DatasetError, FaiglibError
from faiglib.images import datasets, registry
from faiglib.images.blind_degradations import DASR_SIGMA, GAUSSIAN8
from faiglib.images.datasets import ImageSet
from faiglib.race import contest, presets
from faiglib.race import record as race_record
from faiglib.race.presets import Preset
from faiglib.system import provenance
from faiglib.system.documents import DocumentError, read_json
from faiglib.system.store import fingerprint
from faiglib.system.tensors import load_weights
from faiglib.training.fabric import fabric_on

#: Widths of the blur by test.
TESTS: Mapping[str, tuple[float, ...]] = {"gaussian8": GAUSSIAN8, "sigma1.2": (DASR_SIGMA,)}
#: Names of the tests as printed.
TEST_TITLES = {"gaussian8": f"eight widths, {GAUSSIAN8[0]} to {GAUSSIAN8[-1]}", "sigma1.2": f"width {DASR_SIGMA}"}
#: The test that decides a contest, on RGB.
PRIMARY = {"dan": "gaussian8", "dasr": "sigma1.2"}


@dataclass(frozen=True, eq=False)
class RecordedRace:
    """A finished or running race.

    Attributes:
        preset: its budget, by the names of :class:`faiglib.race.presets.Preset`.
        psnr: dB by ``entrant``, ``seed``, ``image`` and ``width``: ``rgb`` and ``y``.
        curves: logs of the training runs.
        description: ``race.json``.
        folder: where it lies.
        fresh: whether it was run for this page rather than recorded before.
    """

    preset: Preset
    psnr: pd.DataFrame
    curves: pd.DataFrame
    description: race_record.Description
    folder: Path
    fresh: bool


def recorded_race() -> Path:
    """The folder of the recorded race in the checkout."""
    return recorded_results() / "race"


def load(folder: Path, fresh: bool = False) -> RecordedRace:
    """Read a record that :func:`faiglib.race.contest.run` wrote.

    Raises:
        FaiglibError: there is none, or it cannot be read.
    """
    try:
        description = read_json(folder / "race.json", race_record.Description)
    except OSError:
        raise FaiglibError(f"{folder} holds no race; `faiglib race` runs it") from None
    except DocumentError as error:
        raise FaiglibError(f"{folder / 'race.json'} does not describe a race: {error}") from None
    psnr, curves = (pd.DataFrame(race_record.read_csv(folder / f"{name}.csv")) for name in ("psnr", "curves"))
    return RecordedRace(description.preset, psnr, curves, description, folder, fresh)


def open_race(bench: Workbench) -> RecordedRace:
    """The race that a page shows: the recorded one, or with the profile ``quick`` a tiny one that is run now."""
    if bench.profile.name != "quick":
        return load(recorded_race())
    preset = presets.get("quick")
    test_set = bench.image_sets[bench.test_set]
    key = [preset, bench.training_set.digest, test_set.digest, provenance.source_digest(), bench.device.type]
    folder = bench.store.root / "race" / fingerprint(key)[:16]
    fabric = fabric_on(bench.device, precision=preset.precision)
    contest.run(preset, bench.training_set, test_set, folder / "runs", folder / "record", fabric, progress=False)
    return load(folder / "record", fresh=True)


def printed_title(name: str) -> str:
    """Printed name of an image set, which may be the user's own folder."""
    return registry.title(name) if name in registry.NAMES else name


def remeasured(bench: Workbench, record: RecordedRace, images: int = 4) -> pd.DataFrame:
    """Measure the recorded weights again on some of the test images, as far as both are on this machine.

    Returns:
        One row per entrant: ``title``, ``recorded`` and ``now`` (mean PSNR on RGB in dB over the same images and
        widths), ``largest_difference`` (of one image at one width). Empty where the test set is not here.
    """
    test_set = _test_set(bench, record)
    if test_set is None:
        return pd.DataFrame(columns=["title", "recorded", "now", "largest_difference"])
    tests = contest.TestImages.of(test_set, images, record.preset.crop)
    rows = []
    for entrant in record.preset.entrants:
        weights = load_weights(record.folder / "weights" / f"{entrant.key}.safetensors")
        now = pd.DataFrame(contest.measure(contest.restored_network(entrant, weights), tests, bench.device))
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


def _test_set(bench: Workbench, record: RecordedRace) -> ImageSet | None:
    """The images that the race was judged on, if they are on this machine."""
    name, digest, _ = record.description.test_set
    try:
        found = datasets.find(name, bench.data_dir)
    except DatasetError:
        return None
    return found if found.digest == digest else None
