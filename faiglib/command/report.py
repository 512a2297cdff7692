"""The command that makes a page about a pair."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from faiglib.command import scenes
from faiglib.command.options import (
    BaselineOption,
    DeviceOption,
    GroundTruthOption,
    PeakOption,
    TargetOption,
    ToldNetworkOption,
    ToldScaleOption,
    UnitsOption,
    say,
)
from faiglib.errors import FaiglibError
from faiglib.images.folders import images_by_stem
from faiglib.networks.foreign import load_pair

#: What makes the page, in a process of its own since it needs the extra `book`.
MAKER = "faiglib.companion.pair"
#: What that extra brings.
NEEDED = ("papermill", "jupytext", "myst_nb", "sphinx_book_theme", "pandas", "seaborn")


def report(
    baseline: BaselineOption,
    target: TargetOption,
    gt: GroundTruthOption,
    out: Annotated[Path, typer.Option(help="Folder for the page, the notebook and what was computed.")],
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="NAME=FOLDER of network inputs of one degradation, same names; by default blur and noise are made.",
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="At most so many images, evenly spaced.")] = 10,
    crop: Annotated[int, typer.Option(min=16, help="Side of their central crops in ground-truth pixels.")] = 96,
    units: UnitsOption = "filters",
    network: ToldNetworkOption = None,
    scale: ToldScaleOption = None,
    peak: PeakOption = 1.0,
    device: DeviceOption = "auto",
) -> None:
    """Make a page about a pair of networks.

    Path, layers, masking with controls, selectivity, stability, pictures and what to do next, from a few crops. The
    page is OUT/html/index.html; OUT/report.ipynb, which opens in JupyterLab, has the code as well. An interrupted run
    goes on where it stopped. Needs the extra faiglib[book].
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise FaiglibError(f"the page needs {missing[0]}, which is not installed: pip install 'faiglib[book]'")
    inputs = scenes.named_paths(input_ or [])
    load_pair(target, baseline, network, scale, peak)  # what is wrong with them is told before anything starts
    for folder in (gt, *inputs.values()):
        images_by_stem(folder)
    paths = {"target": target, "baseline": baseline, "gt": gt}
    arguments = {name: str(path.resolve()) for name, path in paths.items()}
    options = {
        "network": network,
        "scale": scale,
        "peak": peak,
        "units": units,
        "images": images,
        "crop": crop,
        "device": device,
    }
    folders = {name: str(folder.resolve()) for name, folder in inputs.items()}
    with tempfile.TemporaryDirectory() as temporary:
        described = Path(temporary) / "arguments.json"
        described.write_text(json.dumps({**arguments, **options, "inputs": folders}), encoding="utf-8")
        command = [sys.executable, "-m", MAKER, str(described), str(out.resolve())]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise typer.Exit(done.returncode)
    say(f"The page is {done.stdout.strip().splitlines()[-1]}.")
