"""What stands at the top of every page of a run without any of the paper's images."""

from __future__ import annotations

from bookmaker import staleness
from bookmaker.layout import Layout

TEXT = """```{{admonition}} {count} photographs, none of the paper's images
:class: warning
This run has measured on the photographs that come with scikit-image, because {missing} are not on the machine. Numbers
of the recorded run, with these sets, stand beside the paper's where they are marked *recorded, not run here*.
```"""


def of(layout: Layout, name: str) -> str:
    """The banner of an executed chapter, or of a page written by hand; empty where images of the paper were measured.

    Args:
        layout: the project.
        name: of the chapter; of any other page, which is judged by the chapters together.
    """
    from faiglib.companion.paper import IMAGE_SETS
    from faiglib.images import datasets, registry

    chapters = [name] if name in layout.notebooks() else layout.notebooks()
    executions = [one for one in (staleness.read_execution(layout, chapter) for chapter in chapters) if one]
    used = {image_set for one in executions for image_set in one["made_with"].get("images", {})}
    if not executions or used & set(IMAGE_SETS):
        return ""
    missing = " and ".join(registry.title(one) for one in IMAGE_SETS)
    return TEXT.format(count=len(datasets.find("skimage")), missing=missing)
