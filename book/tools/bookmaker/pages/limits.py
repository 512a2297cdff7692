"""What a recorded run needs, beside what NeuroLibre gives a book.

The limits are those of https://docs.neurolibre.org: 8 hours on 2 CPUs, 7.5 GB of memory, 5 GB of data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bookmaker.layout import Layout
from bookmaker.pages import drift
from faiglib.companion.page.words import number
from faiglib.companion.profiles import PROFILES
from faiglib.images import registry

CORES, HOURS, MEMORY_GB, DATA_GB = 2, 8.0, 7.5, 5.0


@dataclass(frozen=True)
class Need:
    """Something that a run needs.

    Attributes:
        what: With its unit.
        most: That it may be.
        used: That it was; None where the record does not say.
    """

    what: str
    most: float
    used: float | None


def needs(layout: Layout, profile: str) -> Iterator[Need]:
    """What the recorded run of a profile needs at most, with two notebooks at a time.

    Time is that of all notebooks one after the other; memory that of the two largest at once; data are the images of
    the profile that can be fetched, and the weights.
    """
    known = drift.costs(layout, profile)
    whole = bool(known) and set(layout.notebooks()) <= known.keys()
    memory = [cost.get("memory_gib") for cost in known.values()]
    held = [one for one in memory if one is not None]
    yield Need("hours", HOURS, sum(cost["seconds"] for cost in known.values()) / 3600 if whole else None)
    told = whole and len(held) == len(memory)
    yield Need("memory (GB)", MEMORY_GB, sum(sorted(held)[-CORES:]) * 2**30 / 1e9 if told else None)
    yield Need("data (GB)", DATA_GB, data_bytes(layout, profile) / 1e9)


def data_bytes(layout: Layout, profile: str) -> int:
    """Bytes of the images that a profile fetches, and of the weights."""
    chosen = PROFILES[profile]
    names = dict.fromkeys((*chosen.image_sets, *chosen.other_sets))
    images = sum(file.bytes for name in names for file in registry.registered_files(name))
    return images + sum(path.stat().st_size for path in (layout.root / "models").glob("*.safetensors"))


def table(layout: Layout, profiles: tuple[str, ...] = ("quick", "standard")) -> Iterator[str]:
    """The needs of the profiles beside the limits, in Markdown."""
    yield f"| NeuroLibre’s limit | at most | {' | '.join(f'profile {name}' for name in profiles)} |"
    yield f"| --- | --- | {' | '.join('---' for _ in profiles)} |"
    for rows in zip(*(needs(layout, name) for name in profiles), strict=True):
        cells = ("not recorded" if row.used is None else number(row.used, ".2f") for row in rows)
        yield f"| {rows[0].what} | {rows[0].most:g} | {' | '.join(cells)} |"
