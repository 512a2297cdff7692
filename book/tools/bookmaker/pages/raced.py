"""How the recorded race of claim (a) differs from the paper's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from faiglib.companion import paper
from faiglib.companion.page.words import counted, percent
from faiglib.companion.setups import RUNS
from faiglib.networks import TITLES, build

SCALE = 4
Cells = tuple[str, str, str, str]


def rows(folder: Path) -> Iterator[Cells]:
    """What is compared, what the paper has, what the record has, and the difference; nothing without a record.

    Args:
        folder: Of the record.

    Raises:
        FaiglibError: It cannot be read.
    """
    from faiglib.companion.one_versus_two.measure import load

    if not (folder / "race.json").is_file():
        return
    preset = load(folder).preset
    for contest, theirs in paper.RACE_TRAINING.items():
        title = TITLES[contest]
        share = preset.iterations / theirs.iterations
        yield (
            f"training against {title}",
            f"{theirs.iterations:,} iterations, {counted(theirs.batch, 'patch', 'patches')}",
            f"{preset.iterations:,} iterations, {counted(preset.batch, 'patch', 'patches')}",
            f"{percent(share, 2)} of the iterations",
        )
        entrant = preset.entrant(contest)
        printed, ours = _parameters(contest, {}), _parameters(entrant.network, entrant.options)
        size = percent(ours / printed) if ours != printed else "none"
        yield f"parameters of {title}", f"{printed:,}", f"{ours:,}", size
    seeds = len(preset.seeds)
    yield "training runs", f"{RUNS} of each", f"{seeds} of each", "none" if seeds == RUNS else f"{seeds - RUNS:+d}"
    crop = "whole" if preset.crop is None else f"central {preset.crop}×{preset.crop} pixels"
    images = "all" if preset.images is None else counted(preset.images, "image")
    yield "test images", "BSD100, whole", f"BSD100, {images}, {crop}", "cut" if preset.crop else "none"


def _parameters(network: str, options: Mapping[str, int]) -> int:
    """Parameters of a network that enlarges four times, as the race does."""
    return sum(one.numel() for one in build(network, scale=SCALE, **options).parameters())
