"""Who races, under which budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from faiglib.errors import FaiglibError
from faiglib.race.recipes import BlindRecipe


@dataclass(frozen=True)
class Entrant:
    """One network of the race.

    Attributes:
        key: its name in files; the same in all presets.
        title: as printed.
        network: registry name.
        options: of the constructor, besides the scale.
    """

    key: str
    title: str
    network: str
    options: Mapping[str, int]


@dataclass(frozen=True)
class Contest:
    """A two-branch network, the one-branch network of equal budget, and half of that: keys of entrants.

    The half is the control: a race that cannot tell it from the whole could not tell two branches from one, either.
    """

    two: str
    one: str
    half: str


#: By the name of the two-branch network.
CONTESTS = {"dan": Contest("dan", "one_dan", "half_dan"), "dasr": Contest("dasr", "one_dasr", "half_dasr")}


@dataclass(frozen=True)
class Preset:
    """A budget for the race, the same for all its networks.

    Attributes:
        name: the word that chooses it.
        entrants: the networks.
        seeds: of weights and draws.
        iterations: of every network, in the joint phase for DASR.
        encoder_iterations: that DASR's encoder is trained before, in addition.
        batch, patch: samples per step, side of their ground truth in pixels.
        peak_lr: of all networks. encoder_lr: of DASR's first phase.
        queue, momentum: of DASR's contrast.
        precision: of the training, in Fabric's words; measured is in float32.
        training_images: None is all.
        images: test images, None is all.
        crop: side of their central crop in HR pixels, None is the whole image.
    """

    name: str
    entrants: tuple[Entrant, ...]
    seeds: tuple[int, ...]
    iterations: int
    encoder_iterations: int
    batch: int
    patch: int
    peak_lr: float
    encoder_lr: float
    queue: int
    momentum: float
    precision: str
    training_images: int | None
    images: int | None
    crop: int | None

    def entrant(self, key: str) -> Entrant:
        """The entrant of that key."""
        return next(one for one in self.entrants if one.key == key)

    def recipe(self, entrant: Entrant, seed: int, role: str = "restoration") -> BlindRecipe:
        """How an entrant is trained; ``role`` as in :class:`BlindRecipe`."""
        encoder = role == "encoder"
        return BlindRecipe(
            entrant.network,
            role,
            seed,
            self.encoder_iterations if encoder else self.iterations,
            self.batch,
            self.patch,
            self.encoder_lr if encoder else self.peak_lr,
            options=entrant.options,
            queue=self.queue,
            momentum=self.momentum,
        )


def _entrants(dan: dict[str, int], dasr: dict[str, int], features: int, blocks: tuple[int, int]) -> tuple[Entrant, ...]:
    def one(key: str, count: int) -> Entrant:
        return Entrant(
            key, f"SRResNet, {count} block{'s' * (count > 1)}", "srresnet", {"features": features, "blocks": count}
        )

    return (
        Entrant("dan", f"DAN, {dan['blocks']} blocks", "dan", dan),
        one("one_dan", blocks[0]),
        one("half_dan", blocks[0] // 2),
        Entrant("dasr", f"DASR, {dasr['groups']} × {dasr['blocks']} blocks", "dasr", dasr),
        one("one_dasr", blocks[1]),
        one("half_dasr", blocks[1] // 2),
    )


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="cpu",
            entrants=_entrants({"features": 32, "blocks": 10}, {"features": 32, "groups": 3, "blocks": 3}, 32, (19, 6)),
            seeds=(0, 1, 2),
            iterations=1000,
            encoder_iterations=200,
            batch=8,
            patch=96,
            peak_lr=1e-3,
            encoder_lr=1e-3,
            queue=1024,
            momentum=0.99,
            precision="bf16-mixed",
            training_images=None,
            images=100,
            crop=120,
        ),
        Preset(
            name="full",
            entrants=_entrants(
                {"features": 64, "blocks": 40}, {"features": 64, "groups": 5, "blocks": 5}, 64, (54, 27)
            ),
            seeds=(0, 1, 2),
            iterations=10_000,
            encoder_iterations=2_000,
            batch=16,
            patch=128,
            peak_lr=2e-4,
            encoder_lr=1e-3,
            queue=8192,
            momentum=0.999,
            precision="bf16-mixed",
            training_images=None,
            images=None,
            crop=None,
        ),
        Preset(
            name="quick",
            entrants=_entrants(
                {"features": 32, "blocks": 2, "loops": 2}, {"features": 16, "groups": 1, "blocks": 1}, 16, (4, 2)
            ),
            seeds=(0, 1),
            iterations=12,
            encoder_iterations=6,
            batch=4,
            patch=32,
            peak_lr=1e-3,
            encoder_lr=1e-3,
            queue=64,
            momentum=0.9,
            precision="32-true",
            training_images=8,
            images=4,
            crop=48,
        ),
    )
}


def get(name: str) -> Preset:
    """The preset of that name.

    Raises:
        FaiglibError: there is none.
    """
    if name not in PRESETS:
        raise FaiglibError(f"unknown race {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
