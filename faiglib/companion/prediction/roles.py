"""Which image set gives filters, which thresholds, and which tests the prediction."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pandas as pd

from faiglib.companion.workbench import Workbench
from faiglib.images import registry

#: Sets in the order of their parts: filters on the first, thresholds on the second, accuracy on the others.
SETS = ("set14", "bsd100", "kodak24", "div2k_valid")


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

    @property
    def alone(self) -> bool:
        """Whether there is one set only, so that the threshold for an image comes from the other images of it."""
        return self.thresholds in self.tests


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
    missing = tuple(registry.title(name) for name in SETS if name not in found)
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
