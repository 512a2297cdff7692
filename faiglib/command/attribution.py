"""The command ``attribute``: scores of folders of images, resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

from faiglib._version import __version__
from faiglib.attribution.averaging import in_image_order
from faiglib.attribution.elimination import Minus, eliminate_each
from faiglib.attribution.parameter_path import DEFAULT_NODES, DEFAULT_RULE, Account, ParameterPath, image_scores
from faiglib.attribution.quadrature import Quadrature, quadrature
from faiglib.command.folders import alone_in, naming
from faiglib.command.scenes import Scene
from faiglib.errors import FaiglibError, WeightsError
from faiglib.filters.index import FilterIndex, Units
from faiglib.filters.scores import FilterScores
from faiglib.images.files import read_image
from faiglib.system.files import sha256_file, write_text_atomic
from faiglib.system.store import fingerprint
from faiglib.system.tensors import read_tensors, save_weights

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PARTIAL = "partial.safetensors"


def attribute(
    target: nn.Module,
    baseline: nn.Module,
    scenes: Sequence[Scene],
    out: Path,
    *,
    rule: str = DEFAULT_RULE,
    nodes: int = DEFAULT_NODES,
    memory_limit: int | None = None,
    units: Units = "filters",
    minus: Minus = "mean",
    fabric: Fabric | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, FilterScores]:
    """FAIG over matched files, resumable: the scores of each degradation less those of the others (paper, eq. 7).

    The sums so far are kept in ``out`` after every image. A run of the same networks, files and rule, on the same kind
    of device, goes on from them and ends in the same bits, with whatever number of processes. The sums of another one
    are not touched.

    Args:
        target: θ.
        baseline: θ̄.
        scenes: from :func:`faiglib.command.scenes.scenes_of`.
        out: folder for the sums, and for NAME_totals.csv: what layers and channels hold of the path integral of an
            input, nothing subtracted.
        rule: quadrature rule.
        nodes: gradient evaluations per image and degradation.
        memory_limit: see :func:`faiglib.attribution.parameter_path`.
        units: what is ranked, see :class:`faiglib.filters.index.FilterIndex`.
        minus: what is subtracted, see :func:`faiglib.attribution.elimination.eliminate_each`.
        fabric: launched; it says where to compute, and the images are shared out over its ranks. The CPU without it.
        overwrite: throw the unfinished sums of another run in ``out`` away.
        say: told what the filters hold of the path integrals and how well these converged, a sentence a degradation.

    Raises:
        FaiglibError: an image, the networks or the rule cannot be used, the sums cannot be written, or ``out`` holds
            the unfinished sums of another run, or one that is going on.
    """
    if rule == "trapezoid" and nodes < 2:
        raise FaiglibError("the trapezoid rule needs at least 2 nodes")
    place = torch.device("cpu") if fabric is None else fabric.device
    path, points = ParameterPath(target, baseline, place, memory_limit, units=units), quadrature(rule, nodes)
    if path.is_a_point:
        raise FaiglibError("baseline and target hold the same weights: there is nothing between them to attribute")
    identity = _identity((target, baseline), scenes, [rule, nodes, units], place)
    first = fabric is None or fabric.is_global_zero
    with alone_in(out) if first else nullcontext():
        sums = _sums(path, points, scenes, out / PARTIAL, identity, fabric, overwrite)
    accounts = {name: Account.of(path, values[:-1] / len(scenes)) for name, values in sums.items()}
    for name, account in accounts.items():
        say(f"Input {name}: {_in_words(account, float(sums[name][-1]) / len(scenes))}.")
        if first:
            _write_totals(out / f"{name}_totals.csv", path.index, account)
    return eliminate_each({name: FilterScores(path.index, one.scores) for name, one in accounts.items()}, minus)


def _identity(
    networks: Sequence[nn.Module], scenes: Sequence[Scene], rule: Sequence[object], place: torch.device
) -> str:
    """Digest of all that the sums of a run depend on."""
    return fingerprint(
        {
            "networks": [dict(network.state_dict()) for network in networks],
            "files": [[sha256_file(file) for file in (one.ground_truth, *one.inputs.values())] for one in scenes],
            "inputs": list(scenes[0].inputs),
            "rule": list(rule),
            "made_by": [__version__, torch.__version__, place.type],
        }
    )


def _sums(
    path: ParameterPath,
    points: Quadrature,
    scenes: Sequence[Scene],
    partial: Path,
    identity: str,
    fabric: Fabric | None,
    overwrite: bool,
) -> dict[str, Tensor]:
    """The work of :func:`attribute`, once the folder is this run's alone: sums over images by name of the input.

    Each of what :class:`faiglib.attribution.parameter_path.Account` takes apart, and the change of the loss between the
    ends.
    """
    first = fabric is None or fabric.is_global_zero
    done, sums = _sums_so_far(
        partial, identity, 2 * path.index.total + len(path.others) + 2, [*scenes[0].inputs], overwrite
    )
    if fabric is not None:
        fabric.barrier()  # nobody writes before everybody has read

    def keep(count: int) -> None:
        if first:
            save_weights(partial, sums, {"identity": identity, "done": json.dumps(count)})

    def scores(number: int) -> Tensor:
        scene = scenes[done + number]
        ground_truth = read_image(scene.ground_truth, warn=False)
        found = []
        for file in scene.inputs.values():
            with naming(file):
                image = read_image(file, warn=False)
                values = image_scores(path, image, ground_truth, points, with_others=True)
                place = path.parameters[0]
                ends = [path.loss(end, image.to(place), ground_truth.to(place)) for end in (0.0, 1.0)]
            found.append(torch.cat([values, values.new_tensor([ends[1] - ends[0]])]))
        return torch.stack(found)

    keep(done)  # so that a folder that cannot be written is noticed at once
    results = in_image_order(len(scenes) - done, scores, fabric)
    with tqdm(results, desc="FAIG", unit="image", initial=done, total=len(scenes), disable=not first) as bar:
        for number, pair in enumerate(bar, start=done + 1):
            for name, values in zip(sums, pair, strict=True):
                sums[name] += values
            keep(number)
    return sums


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


def forget(out: Path) -> None:
    """Remove the sums of a finished :func:`attribute`, once its result is written."""
    (out / PARTIAL).unlink(missing_ok=True)


def _sums_so_far(
    path: Path, identity: str, size: int, names: Sequence[str], overwrite: bool
) -> tuple[int, dict[str, Tensor]]:
    """Number of images done and their sums, from an interrupted run of the same work; zeros where there is none.

    Raises:
        FaiglibError: there is one of other work.
    """
    try:
        tensors, metadata = read_tensors(path)
        done, sums = int(metadata["done"]), {name: tensors[name] for name in names}
        if metadata["identity"] == identity and {tuple(one.shape) for one in sums.values()} == {(size,)}:
            return done, sums
        if done and not overwrite:
            raise FaiglibError(
                f"{path} holds {done} images of an unfinished run of other work (networks, images, rule, nodes or "
                "versions differ); finish that one, choose another folder, or throw it away with --overwrite"
            )
    except (WeightsError, KeyError, TypeError, ValueError):
        pass
    return 0, {name: torch.zeros(size, dtype=torch.float64) for name in names}
