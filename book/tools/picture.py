"""Draws the README's picture, ``book/assets/story.png``: two inputs, restored with and without the found filters."""

from __future__ import annotations

from pathlib import Path

from faiglib.companion.criteria import SPILLED
from faiglib.companion.masking import measure
from faiglib.companion.page import story, style
from faiglib.companion.workbench import open_workbench

TARGET = Path(__file__).resolve().parents[1] / "assets" / "story.png"


def main() -> None:
    """Measure with the profile standard, and draw."""
    style.style()
    bench = open_workbench("standard")
    named = bench.named(*bench.main_pair)
    gallery = measure.galleries(bench, "skimage", "chelsea", 1, 120)
    rows = story.story(gallery.rows, gallery.ground_truth, named, SPILLED)
    story.story_figure(rows).savefig(TARGET, facecolor="white", dpi=110)
    print(f"{TARGET} shows {named}, filters found on {bench.image_sets[bench.test_set].title}.")


if __name__ == "__main__":
    main()
