"""Commands that analyse a pair: attribute, mask, interpolate, predict, restore."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from torch import nn

from faiglib.attribution.elimination import Minus
from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE, ParameterPath
from faiglib.attribution.quadrature import RULES
from faiglib.attribution.resamples import CROP_NODES, CROP_SIDE, MOVED_NODES
from faiglib.command import attribution, folders, scenes, sums
from faiglib.command.crops import FIRST_LOOK, Until
from faiglib.command.options import (
    BaselineOption,
    DeviceOption,
    DevicesOption,
    GroundTruthOption,
    InputOption,
    MemoryOption,
    OutputOption,
    PeakOption,
    TargetOption,
    ToldNetworkOption,
    ToldScaleOption,
    UnitsOption,
    bytes_of,
    one_of,
    say,
    several,
)
from faiglib.errors import FaiglibError
from faiglib.filters.index import IN_WORDS, FilterIndex, Units
from faiglib.filters.scores import FilterScores, read_ranking, top_of, write_ranking
from faiglib.filters.substitution import substitute
from faiglib.networks.foreign import load, load_pair
from faiglib.system.devices import choose_device
from faiglib.system.files import write_text_atomic

FiltersOption = Annotated[Path, typer.Option(help="Ranking, such as blur_index.txt.")]
PercentOption = Annotated[float, typer.Option(help="Proportion of filters that are meant, 0 to 100.")]
NamedInputsOption = Annotated[
    list[str] | None,
    typer.Option("--input", help="NAME=FOLDER of network inputs of one degradation, same names; any number of them."),
]
MinusOption = Annotated[
    str, typer.Option(help="What is subtracted of the scores on the other inputs.", **one_of(get_args(Minus)))
]
RuleOption = Annotated[
    str | None,
    typer.Option(
        help=f"Quadrature rule of the path integral; without it {DEFAULT_RULE}, and of crops equidistant nodes that "
        "are moved from one to the next.",
        **one_of(RULES),
    ),
]
NodesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        help=f"Gradient evaluations per image and degradation, by default {DEFAULT_NODES}, per crop {MOVED_NODES} that "
        f"are moved or {CROP_NODES} of a rule.",
    ),
]
UntilOption = Annotated[
    float | None,
    typer.Option(
        help="Take random crops until resamples of them agree in this share (0 to 1) of the best 1 %; an estimate, "
        "a point or two high where it stops."
    ),
]
CropOption = Annotated[int, typer.Option(min=1, help="With --until: side of a crop in pixels of ground truth.")]
MostOption = Annotated[int, typer.Option(min=FIRST_LOOK, help="With --until: crops to take at most.")]


def attribute(
    baseline: BaselineOption,
    target: TargetOption,
    gt: GroundTruthOption,
    out: Annotated[Path, typer.Option(help="Folder for rankings and scores.")],
    input_: NamedInputsOption = None,
    blur: Annotated[Path | None, typer.Option(help="Short for --input blur=FOLDER.")] = None,
    noise: Annotated[Path | None, typer.Option(help="Short for --input noise=FOLDER.")] = None,
    minus: MinusOption = "mean",
    rule: RuleOption = None,
    nodes: NodesOption = None,
    until: UntilOption = None,
    crop: CropOption = CROP_SIDE,
    most: MostOption = 1000,
    units: UnitsOption = "filters",
    network: ToldNetworkOption = None,
    scale: ToldScaleOption = None,
    peak: PeakOption = 1.0,
    device: DeviceOption = "auto",
    devices: DevicesOption = 1,
    memory: MemoryOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Throw an unfinished run of other work away.")] = False,
) -> None:
    """Rank all filters by FAIG for each of some degradations.

    Writes for every input NAME_index.txt (all filter ids, best first, one per line, numbered as released) and the
    scores behind it as NAME_scores.safetensors: those of this input less those of the others. NAME_totals.csv sums
    the contributions to this input by layer and channel (or head), absolute and signed (positive: the target's weights
    lower the loss). An interrupted run goes on where it stopped; one of other work in the same folder is refused. Few
    pixels of many places rank as well as many of few: --until 0.95 takes random crops until their choice is stable. The
    released code is --blur FOLDER --noise FOLDER --rule left --nodes 100.
    """
    enough = _until(until, crop, most)
    inputs = scenes.named_paths(_with_short_forms(input_ or [], blur=blur, noise=noise))
    target_net, baseline_net, factor = load_pair(target, baseline, network, scale, peak)
    matched = scenes.scenes_of(gt, inputs, factor)
    fabric = several(choose_device(device), devices)
    if fabric.is_global_zero:
        profile = scenes.profile_of(target_net, baseline_net, matched, factor)
        say(f"On clean input {profile.in_words()}.")
    found = attribution.attribute(
        target_net,
        baseline_net,
        matched,
        out,
        rule=rule,
        nodes=nodes,
        memory_limit=bytes_of(memory),
        units=cast(Units, units),
        minus=cast(Minus, minus),
        until=enough,
        fabric=fabric,
        overwrite=overwrite,
        say=say if fabric.is_global_zero else lambda _: None,
    )
    if fabric.is_global_zero:
        _write(out, found)
        index = next(iter(found.values())).index
        where = f"{'crops of ' if enough else ''}{_images(len(matched))}"
        say(f"Ranked {index.total:,} {IN_WORDS[index.units]} on {where}; see {out}.")


def _until(agreement: float | None, side: int, most: int) -> Until | None:
    """When crops are enough, or None where whole images are meant.

    Raises:
        FaiglibError: the agreement is no share.
    """
    if agreement is None:
        return None
    if not 0 < agreement < 1:
        raise FaiglibError(f"--until takes a share between 0 and 1, not {agreement:g}")
    return Until(agreement, side, most)


def _images(count: int) -> str:
    """So many images."""
    return f"{count} image{'' if count == 1 else 's'}"


def _with_short_forms(named: list[str], **short: Path | None) -> list[str]:
    """NAME=FOLDER of the options that are short for it, then the others."""
    return [*(f"{name}={folder}" for name, folder in short.items() if folder is not None), *named]


def _write(out: Path, found: Mapping[str, FilterScores]) -> None:
    """Write scores and rankings, and forget the sums that they were made of."""
    for name, scores in found.items():
        scores.save(out / f"{name}_scores.safetensors")
        write_ranking(out / f"{name}_index.txt", scores.ranking())
    sums.forget(out)


def mask(
    baseline: BaselineOption,
    target: TargetOption,
    filters: FiltersOption,
    input_: InputOption,
    output: OutputOption,
    percent: PercentOption = 1.0,
    units: UnitsOption = "filters",
    network: ToldNetworkOption = None,
    scale: ToldScaleOption = None,
    peak: PeakOption = 1.0,
    device: DeviceOption = "auto",
    memory: MemoryOption = None,
) -> None:
    """Restore images with some of the target's filters replaced.

    The best-ranked filters of the target become those of the baseline; what they did is no longer done.
    """
    place = choose_device(device)
    masked, chosen = _moved(target, baseline, filters, percent, units, network, scale, peak, 1.0)
    say(f"Replaced {chosen}.")
    say(f"Wrote {_images(folders.restore(masked.to(place), input_, output, place, bytes_of(memory)))} to {output}.")


def interpolate(
    baseline: BaselineOption,
    target: TargetOption,
    filters: FiltersOption,
    strength: Annotated[
        float, typer.Option("--lambda", help="0 is the baseline's filters, 1 the target's; more goes beyond.")
    ],
    input_: InputOption,
    output: OutputOption,
    percent: PercentOption = 1.0,
    units: UnitsOption = "filters",
    network: ToldNetworkOption = None,
    scale: ToldScaleOption = None,
    peak: PeakOption = 1.0,
    device: DeviceOption = "auto",
    memory: MemoryOption = None,
) -> None:
    """Restore images with filters between the two networks.

    Turns one ability down or up, and leaves the others alone. --lambda 0 is what mask does.
    """
    if not math.isfinite(strength):
        raise FaiglibError(f"--lambda is a number, not {strength}")
    place = choose_device(device)
    between, chosen = _moved(target, baseline, filters, percent, units, network, scale, peak, 1 - strength)
    say(f"Moved {chosen} to λ = {strength:g}.")
    say(f"Wrote {_images(folders.restore(between.to(place), input_, output, place, bytes_of(memory)))} to {output}.")


def _moved(
    target: Path,
    baseline: Path,
    filters: Path,
    percent: float,
    units: str,
    network: str | None,
    scale: int | None,
    peak: float,
    strength: float,
) -> tuple[nn.Module, str]:
    """The target with the best of a ranking moved towards the baseline, and how many these are in words."""
    target_net, baseline_net, _ = load_pair(target, baseline, network, scale, peak)
    index = FilterIndex.of(target_net, cast(Units, units))
    chosen = top_of(index, read_ranking(filters, index), percent)
    if percent and not len(chosen):
        least = f"--percent {math.ceil(10_000 / index.total) / 100:g} is one or more"
        raise FaiglibError(f"{percent:g} % of {index.total} {IN_WORDS[index.units]} are none; {least}")
    told = f"{len(chosen):,} of {index.total:,} {IN_WORDS[index.units]}"
    return substitute(target_net, baseline_net, chosen, strength), told


def predict(
    baseline: BaselineOption,
    target: TargetOption,
    filters: Annotated[
        list[str], typer.Option(help="NAME=FILE of a degradation's ranking, such as blur=blur_index.txt; one or more.")
    ],
    input_: InputOption,
    out: Annotated[Path, typer.Option(help="The CSV file to write: a row per image, a column per degradation.")],
    percent: PercentOption = 1.0,
    nodes: Annotated[int, typer.Option(min=1, help="Gradient evaluations per image.")] = 4,
    units: UnitsOption = "filters",
    network: ToldNetworkOption = None,
    scale: ToldScaleOption = None,
    peak: PeakOption = 1.0,
    device: DeviceOption = "auto",
    memory: MemoryOption = None,
) -> None:
    """Score how degraded each image looks.

    The score is the overlap of its own filters with those found for a degradation (paper, section 4.4), from 0 to 1.
    Nothing but the image is needed: the target's own output stands in for the ground truth. Thresholds are chosen on
    images whose degradation is known.
    """
    target_net, baseline_net, _ = load_pair(target, baseline, network, scale, peak)
    path = ParameterPath(target_net, baseline_net, choose_device(device), bytes_of(memory), units=cast(Units, units))
    found = {
        name: top_of(path.index, read_ranking(file, path.index), percent)
        for name, file in scenes.named_paths(filters, "FILE").items()
    }
    rows = scenes.overlaps(path, found, input_, percent, nodes)
    write_text_atomic(out, rows)
    say(f"Wrote the scores of {rows.count(chr(10)) - 1} images to {out}.")


def restore(
    weights: Annotated[Path, typer.Option(help="Weights (.safetensors or released .pth).")],
    input_: InputOption,
    output: OutputOption,
    network: ToldNetworkOption = None,
    scale: ToldScaleOption = None,
    peak: PeakOption = 1.0,
    device: DeviceOption = "auto",
    memory: MemoryOption = None,
) -> None:
    """Restore and upsample the images of a folder."""
    place = choose_device(device)
    restorer = load(weights, network, scale, peak).network.to(place)
    restored = folders.restore(restorer, input_, output, place, bytes_of(memory))
    say(f"Wrote {_images(restored)} to {output}.")
