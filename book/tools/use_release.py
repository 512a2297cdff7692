"""Uses an installed faiglib as someone would who has nothing else; the environment's own Python runs this, with -I.

The arguments are the version that has to be there and, with the extra ``book``, the sdist, whose book is then built
from notebooks that were not executed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.resources import files
from pathlib import Path

SIDE = 48


def main() -> int:
    """Uses it; an error ends this with a traceback."""
    version, *sdist = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        in_python(version)
        by_command(place)
        if sdist:
            report_and_book(place, Path(sdist[0]))
    print(f"use_release: faiglib {version} works from {sys.prefix}")
    return 0


def in_python(version: str) -> None:
    """Attributes with a network of three layers, from Python."""
    import torch
    from torch import nn

    import faiglib

    assert faiglib.__version__ == version, faiglib.__version__
    assert Path(faiglib.__file__).is_relative_to(sys.prefix), faiglib.__file__
    target, baseline = (
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1)) for _ in range(2)
    )
    scores = faiglib.faig(target, baseline, [(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8))])
    assert len(scores.values) == 3 * 8 + 8 * 3
    assert bool((scores.values > 0).all())


def by_command(place: Path) -> None:
    """Degrades a photograph, ranks the filters of a shipped pair with it, and restores without the found ones."""
    from PIL import Image

    photograph = Image.open(str(files("skimage").joinpath("data", "chelsea.png")))
    (place / "gt").mkdir()
    photograph.crop((0, 0, SIDE, SIDE)).save(place / "gt" / "cat.png")
    faiglib(place, "info")
    for kind, option in (("blurry", "--blur=2"), ("noisy", "--noise=0.1")):
        faiglib(place, "degrade", "--input=gt", f"--output={kind}", option)
    pair = pair_of(place)
    faiglib(place, "attribute", *pair, "--gt=gt", "--blur=blurry", "--noise=noisy", "--nodes=2", "--out=found")
    faiglib(place, "mask", *pair, "--filters=found/blur_index.txt", "--percent=1", "--input=blurry", "--output=masked")
    assert Image.open(place / "masked" / "cat.png").size == (SIDE, SIDE)


def report_and_book(place: Path, sdist: Path) -> None:
    """Makes the page about a pair, and the book."""
    faiglib(place, "report", *pair_of(place), "--gt=gt", "--out=report")
    pages = list((place / "report").rglob("*.html"))
    assert pages, "no page about the pair"
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
    project = next(place.glob("faiglib-*"))
    run(project, sys.executable, "book/tools/reproduce.py", "--no-execute", "--offline", "--profile", "quick")
    assert (project / "build" / "html" / "index.html").is_file()


def pair_of(place: Path) -> list[str]:
    """The smallest shipped pair, as arguments."""
    models = Path(str(files("faiglib").joinpath("_models")))
    baseline, target = (models / f"srresnet_s-{role}-seed0.safetensors" for role in ("baseline", "target"))
    return [f"--baseline={baseline}", f"--target={target}"]


def faiglib(place: Path, *arguments: str) -> None:
    """Runs the command of this environment."""
    run(place, str(Path(sys.executable).with_name("faiglib")), *arguments)


def run(place: Path, *command: str) -> None:
    """Runs a program in a folder, without what this environment should not see."""
    hidden = ("PYTHONPATH", "FAIGLIB_DATA", "FAIGLIB_STORE", "FAIGLIB_BUILD")
    clean = {name: value for name, value in os.environ.items() if name not in hidden}
    subprocess.run(command, cwd=place, env={**clean, "FAIGLIB_CACHE": str(place / "cache")}, check=True)


if __name__ == "__main__":
    sys.exit(main())
