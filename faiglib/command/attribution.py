"""The command ``attribute``: scores of folders of images, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib._version import __version__
from faiglib.attribution.averaging import in_image_order
from faiglib.attribution.elimination import Minus, eliminate_each
from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE, Account, ParameterPath, image_scores
from faiglib.attribution.quadrature import Quadrature, moved, quadrature
from faiglib.attribution.resamples import CROP_NODES, MOVED_NODES, Resamples
from faiglib.command.crops import Until, add_crops
from faiglib.command.folders import alone_in, naming
from faiglib.command.pieces import Piece, random_crop, whole
from faiglib.command.scenes import Scene
from faiglib.command.sums import Sums, so_far
from faiglib.errors import FaiglibError
from faiglib.filters.index import FilterIndex, Units
from faiglib.filters.scores import FilterScores
from faiglib.networks.foreign import peak_of
from faiglib.system.files import sha256_file, write_text_atomic
from faiglib.system.store import fingerprint

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def attribute(
    target: nn.Module,
    baseline: nn.Module,
    scenes: Sequence[Scene],
    out: Path,
    *,
    rule: str | None = None,
    nodes: int | None = None,
    memory_limit: int | None = None,
    units: Units = "filters",
    minus: Minus = "mean",
    until: Until | None = None,
    fabric: Fabric | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, FilterScores]:
    """FAIG over matched files, resumable: the scores of each degradation less those of the others (paper, eq. 7).

    The sums so far are kept in ``out`` after every image, of crops at every look and when a run is interrupted. A run
    of the same networks, files and rule, on the same kind of device, goes on from them and ends in the same bits, with
    whatever number of processes. The sums of another one are not touched.

    Args:
        target: θ.
        baseline: θ̄.
        scenes: from :func:`faiglib.command.scenes.scenes_of`.
        out: folder for the sums, and for NAME_totals.csv: what layers and channels hold of the path integral of an
            input, nothing subtracted.
        rule: quadrature rule; without one the default, of crops nodes that are moved from one to the next.
        nodes: gradient evaluations per image and degradation, at least 1; by default as many as the help says.
        memory_limit: see :func:`faiglib.attribution.parameter_path`.
        units: what is ranked, see :class:`faiglib.filters.index.FilterIndex`.
        minus: what is subtracted, see :func:`faiglib.attribution.elimination.eliminate_each`.
        until: average over random crops of the images until their choice is so stable, and not over the images.
        fabric: launched; it says where to compute, and the images are shared out over its ranks. The CPU without it.
        overwrite: throw the unfinished sums of another run in ``out`` away.
        say: told what the filters hold of the path integrals and how well these converged, a sentence a degradation.

    Raises:
        FaiglibError: an image, the networks or the rule cannot be used, the sums cannot be written, ``out`` holds the
            unfinished sums of another run, or one that is going on, or ``until`` allows no more crops (their sums are
            kept for a run that allows more).
    """
    place = torch.device("cpu") if fabric is None else fabric.device
    path, rule_of = ParameterPath(target, baseline, place, memory_limit, units=units), _rules(rule, nodes, until)
    if path.is_a_point:
        raise FaiglibError("baseline and target hold the same weights: there is nothing between them to attribute")
    identity = _identity((target, baseline), scenes, [*_named(rule_of(0)), units, until and until.side], place)
    first = fabric is None or fabric.is_global_zero
    with alone_in(out) if first else nullcontext():
        sums = _summed(path, rule_of, scenes, out, identity, minus, until, fabric, overwrite, say)
    names = [*scenes[0].inputs]
    accounts = {name: Account.of(path, sums.tensors[name][:-1] / sums.done) for name in names}
    for name, account in accounts.items():
        say(f"Input {name}: {_in_words(account, float(sums.tensors[name][-1]) / sums.done)}.")
        if first:
            _write_totals(out / f"{name}_totals.csv", path.index, account)
    return eliminate_each({name: FilterScores(path.index, one.scores) for name, one in accounts.items()}, minus)


def _summed(
    path: ParameterPath,
    rule_of: Callable[[int], Quadrature],
    scenes: Sequence[Scene],
    out: Path,
    identity: str,
    minus: Minus,
    until: Until | None,
    fabric: Fabric | None,
    overwrite: bool,
    say: Callable[[str], None],
) -> Sums:
    """The sums of :func:`attribute`, once the folder is this run's alone."""
    names = [*scenes[0].inputs]

    def values(number: int, piece: Piece) -> Tensor:
        return _values(path, rule_of(number), piece)

    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(names, (2 * path.index.total + len(path.others) + 2,))
    resamples = Resamples(names, path.index) if until else None
    sums = so_far(out, identity, shapes | (resamples.shapes if resamples else {}), overwrite)
    sums.written = fabric is None or fabric.is_global_zero
    if fabric is not None:
        fabric.barrier()  # nobody writes before everybody has read
    sums.save()  # so that a folder that cannot be written is noticed at once
    if until and resamples:
        side = until.side
        say(
            add_crops(
                sums,
                names,
                lambda number: values(number, random_crop(scenes, number, side)),
                resamples,
                until,
                minus,
                fabric,
            )
        )
    else:
        _add_images(sums, scenes, lambda number: values(number, whole(scenes[number])), fabric)
    return sums


def _rules(rule: str | None, nodes: int | None, until: Until | None) -> Callable[[int], Quadrature]:
    """From the number of an image or crop to the rule of its integrals.

    Raises:
        FaiglibError: there are too few nodes.
    """
    if nodes is not None and nodes < (least := 2 if rule == "trapezoid" else 1):
        what = f"the {rule} rule" if rule else "an integral"
        raise FaiglibError(f"{what} needs at least {least} node{'s' if least > 1 else ''}, not {nodes}")
    if until and rule is None:
        return partial(moved, MOVED_NODES if nodes is None else nodes)
    enough = CROP_NODES if until else DEFAULT_NODES
    fixed = quadrature(rule or DEFAULT_RULE, enough if nodes is None else nodes)
    return lambda _: fixed


def _named(rule: Quadrature) -> tuple[str, int]:
    """What a rule is known by, without the last bits of its positions, which differ from machine to machine."""
    return rule.rule, len(rule.nodes)


def _identity(
    networks: Sequence[nn.Module], scenes: Sequence[Scene], rule: Sequence[object], place: torch.device
) -> str:
    """Digest of all that the sums of a run depend on."""
    return fingerprint(
        {
            "networks": [dict(network.state_dict()) for network in networks],
            "peaks": [peak_of(network) for network in networks],
            "files": [[sha256_file(file) for file in (one.ground_truth, *one.inputs.values())] for one in scenes],
            "inputs": list(scenes[0].inputs),
            "rule": list(rule),
            "made_by": [__version__, torch.__version__, place.type],
        }
    )


def _add_images(sums: Sums, scenes: Sequence[Scene], values: Callable[[int], Tensor], fabric: Fabric | None) -> None:
    """Add every image that is not yet among the sums, and keep them after each."""
    start, names = sums.done, [*scenes[0].inputs]
    results = in_image_order(len(scenes) - start, lambda number: values(start + number), fabric)
    with tqdm(results, desc="FAIG", unit="image", initial=start, total=len(scenes), disable=not sums.written) as bar:
        for found in bar:
            for name, one in zip(names, found, strict=True):
                sums.tensors[name] += one
            sums.done += 1
            sums.save()


def _values(path: ParameterPath, points: Quadrature, piece: Piece) -> Tensor:
    """For every input of a piece what :class:`Account` takes apart, and the change of the loss: (inputs, values)."""
    found = []
    for file, image in piece.inputs.items():
        with naming(file):
            values = image_scores(path, image, piece.ground_truth, points, with_others=True)
            place = path.parameters[0]
            ends = [path.loss(end, image.to(place), piece.ground_truth.to(place)) for end in (0.0, 1.0)]
        found.append(torch.cat([values, values.new_tensor([ends[1] - ends[0]])]))
    return torch.stack(found)


def _in_words(account: Account, change: float) -> str:
    """What the filters hold of a path integral, and how far the integral is from the change of the loss."""
    gap = f"{abs(account.whole - change) / abs(change):.1%}" if change else "an unknown share"
    return f"{account.coverage.in_words()}; the integral misses the change of the loss by {gap} (completeness)"


def _write_totals(path: Path, index: FilterIndex, account: Account) -> None:
    """Write what each layer, and each of its output channels, holds of a path integral (of attention, each head)."""
    rows = ["layer,channel,absolute,signed"]
    for (layer, absolute), (_, signed) in zip(index.split(account.scores), index.split(account.signed), strict=True):
        name = layer.name.removesuffix(".weight")
        rows.append(f"{name},,{float(absolute.sum()):.9g},{float(signed.sum()):.9g}")
        sums = zip(absolute.sum(1).tolist(), signed.sum(1).tolist(), strict=True)
        rows += [f"{name},{number},{one:.9g},{other:.9g}" for number, (one, other) in enumerate(sums)]
    write_text_atomic(path, "\n".join(rows) + "\n")
