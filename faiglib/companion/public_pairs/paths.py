"""Paths of public pairs and of those trained here: how sound they are, and how selective the filters found on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from faiglib.attribution import (
    PathProfile,
    contributions_along,
    corrected_path,
    eliminate,
    low_loss_waypoint,
    path_profile,
    profile_along,
)
from faiglib.companion.public_pairs import pairs
from faiglib.companion.public_pairs.measure import PERCENTS, key, stored
from faiglib.companion.public_pairs.pairs import MAIN, MEASURED, PAIRS, PublicPair
from faiglib.companion.workbench import Workbench
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterSet
from faiglib.filters.substitution import substitute
from faiglib.images.degradations import FUNCTIONS as OWN_FUNCTIONS
from faiglib.images.metrics import gradient_error, levelled, psnr
from faiglib.images.restoration import restore_all
from faiglib.networks import TITLES, zoo
from faiglib.networks.waifu2x import NETWORK

#: Ways from target to baseline: key, and what they are called.
WAYS: Mapping[str, str] = {
    "straight": "straight line",
    "waypoint": "by a low-loss waypoint",
    "corrected": "activations corrected",
}
#: Networks on the corrected way, both ends included.
CORRECTED = 7
#: Role of targets trained here that know noise and JPEG, too: the control for the public pairs' two degradations.
CONTROL_ROLE = "target_jpeg"
#: Steps that a waypoint is trained, times those of the profile's masks.
LONGER = 5

Images = list[tuple[Tensor, Tensor]]


def profiles(bench: Workbench) -> pd.DataFrame:
    """Quality on clean input along the straight line of all public pairs, and along the other ways of the main one.

    Returns:
        One row per ``pair`` (title), ``kind``, ``way`` (key of :data:`WAYS`) and ``alpha``: ``psnr`` and ``level``
        (dB, the second with the means of the channels put right); the same in all rows of a pair and way: ``barrier``
        and ``barrier_level`` (dB), ``verdict``, ``distance`` (‖θ − θ̄‖ ÷ ‖θ̄‖) and ``cosine`` of their weights.
    """

    def of(item: tuple[PublicPair, str]) -> pd.DataFrame:
        pair, way = item
        return stored(bench, "profiles", lambda: _profiled(bench, pair, way), pair=pair.title, way=way)

    wanted = [(pair, "straight") for pair in PAIRS] + [(MAIN, way) for way in WAYS if way != "straight"]
    return pd.concat(bench.in_parallel(of, wanted), ignore_index=True)


def _profiled(bench: Workbench, pair: PublicPair, way: str) -> pd.DataFrame:
    ends = pair.load(bench)
    images = [scene.pair("clean") for scene in _scenes(bench)]
    if way == "straight":
        found = path_profile(*ends, images)
    else:
        found = profile_along(_ways(bench, pair, way), images, points=6 if way == "waypoint" else 3)
    return _table(found).assign(pair=pair.title, kind=pair.kind, way=way, **distance(*ends))


def _table(found: PathProfile) -> pd.DataFrame:
    values = {"alpha": found.alphas, "psnr": found.psnr, "level": found.psnr_level}
    same = {"barrier": found.barrier, "barrier_level": found.barrier_level, "verdict": found.verdict}
    return pd.DataFrame(values).assign(**same)


def distance(target: nn.Module, baseline: nn.Module) -> dict[str, float]:
    """Of the weights of convolutions: ``distance``, ‖θ − θ̄‖ ÷ ‖θ̄‖, and ``cosine``."""
    first, last = (
        torch.cat([one.detach().flatten().double() for one in network.parameters() if one.dim() > 1])
        for network in (target, baseline)
    )
    cosine = float(torch.dot(first, last) / (first.norm() * last.norm()))
    return {"distance": float((first - last).norm() / last.norm()), "cosine": cosine}


def _scenes(bench: Workbench) -> list[pairs.Scene]:
    """The few crops that ways are compared on."""
    return pairs.scenes(bench, bench.profile.curve_images, bench.profile.discovery_crop)


def _ways(bench: Workbench, pair: PublicPair, way: str) -> Sequence[nn.Module]:
    """The networks by which a way leads from target to baseline."""
    ends = pair.load(bench)
    if way == "straight":
        return ends
    found = _scenes(bench)
    if way == "corrected":
        side = min(min(scene.truth.shape[-2:]) for scene in found) // 2
        return corrected_path(*ends, [scene.inputs["clean"][..., :side, :side] for scene in found], CORRECTED)
    steps = LONGER * bench.profile.mask_steps
    return ends[0], _waypoint(bench, pair, steps), ends[1]


def _waypoint(bench: Workbench, pair: PublicPair, steps: int) -> nn.Module:
    """The trained waypoint of a pair, from the store where it is there."""
    ends = pair.load(bench)

    def train() -> dict[str, Tensor]:
        images = [scene.pair(kind) for scene in _scenes(bench) for kind in ("clean", "noisy", "JPEG")]
        middle = low_loss_waypoint(*ends, images, steps=steps, progress=f"waypoint: {pair.title}")
        return {name: value.detach().cpu() for name, value in middle.state_dict().items()}

    whole = key(bench, pair=pair.title, steps=steps)
    state = bench.store.tensors("public_pairs/waypoint", whole, train)
    middle, _ = pair.load(bench)
    middle.load_state_dict(state)
    return middle


@dataclass(frozen=True, eq=False)
class WayAsked:
    """A pair of networks with images, and what is asked of it.

    Attributes:
        waypoints: from the target to the baseline.
        images: by input.
        functions: own and other input by function.
    """

    waypoints: Sequence[nn.Module]
    images: Mapping[str, Images]
    functions: Mapping[str, tuple[str, str]]


def everywhere(bench: Workbench) -> pd.DataFrame:
    """How selective FAIG's top 1 % are, for public pairs and those trained here, by one and the same small budget.

    Returns:
        One row per ``pair`` (title), ``network``, ``place`` (``public``, ``here``, or ``control`` for a pair trained
        here that is asked for the public ones' functions), ``kind``, ``way`` and ``filters`` (function): ``barrier``
        (dB on clean input; of pairs trained here as their manifest has it, NaN where it has none), ``distance`` and
        ``cosine`` as of :func:`profiles`, and for ``own`` and ``other`` input: ``drop_`` (×10³), ``share_`` (of the
        drop when all filters are the baseline's), ``lost_`` (dB of PSNR against the target), ``level_`` (the same with
        the means of the channels put right) and ``gain_`` (dB of PSNR that the target is better than the baseline).
    """
    public = [(pair, "straight") for pair in MEASURED] + [(MAIN, way) for way in WAYS if way != "straight"]

    def of_public(item: tuple[PublicPair, str]) -> pd.DataFrame:
        pair, way = item
        return stored(bench, "everywhere", lambda: _public(bench, pair, way), pair=pair.title, way=way)

    def of_own(item: tuple[str, int]) -> pd.DataFrame:
        entry = zoo.pair_entries(bench.models, *item)["target"]
        return stored(bench, "everywhere", lambda: _own(bench, *item), pair=entry.sha256)

    def of_control(entry: zoo.Entry) -> pd.DataFrame:
        return stored(bench, "everywhere", lambda: _control(bench, entry), pair=entry.sha256)

    controls = [entry for entry in zoo.entries(bench.models) if entry.role == CONTROL_ROLE][:1]
    found = [*bench.in_parallel(of_public, public), *bench.in_parallel(of_own, bench.pair_names)]
    return pd.concat([*found, *map(of_control, controls)], ignore_index=True)


def _public(bench: Workbench, pair: PublicPair, way: str) -> pd.DataFrame:
    found, waypoints = _scenes(bench), _ways(bench, pair, way)
    images = {kind: [scene.pair(kind) for scene in found] for kind, _ in pairs.FUNCTIONS.values()}
    profile = _profiled(bench, pair, way).iloc[0]
    named = {"pair": pair.title, "network": NETWORK, "place": "public", "kind": pair.kind, "way": way}
    measured = {name: float(profile[name]) for name in ("barrier", "distance", "cosine")}
    return costs(bench, WayAsked(waypoints, images, pairs.FUNCTIONS)).assign(**named, **measured)


def _own(bench: Workbench, network: str, seed: int) -> pd.DataFrame:
    pair = bench.pair(network, seed)
    samples = bench.samples(bench.test_set, bench.profile.curve_images, bench.profile.discovery_crop)
    images = {
        kind: [(sample.inputs[kind], sample.ground_truth) for sample in samples] for kind, _ in OWN_FUNCTIONS.values()
    }
    barrier = bench.barriers.get((network, seed), math.nan)
    title = f"{TITLES[network]}, seed {seed}"
    named = {"pair": title, "network": network, "place": "here", "kind": "fine-tuned", "way": "straight"}
    asked = WayAsked((pair.target, pair.baseline), images, OWN_FUNCTIONS)
    return costs(bench, asked).assign(**named, barrier=barrier, **distance(pair.target, pair.baseline))


def _control(bench: Workbench, entry: zoo.Entry) -> pd.DataFrame:
    pair = zoo.load_pair(bench.models, entry.network, entry.seed, bench.device, CONTROL_ROLE)
    images = {kind: [scene.pair(kind) for scene in _scenes(bench)] for kind, _ in pairs.FUNCTIONS.values()}
    barrier = entry.barrier["psnr"] if entry.barrier else math.nan
    title = f"{TITLES[entry.network]}, trained on JPEG as well"
    named = {"pair": title, "network": entry.network, "place": "control", "kind": "fine-tuned", "way": "straight"}
    asked = WayAsked((pair.target, pair.baseline), images, pairs.FUNCTIONS)
    return costs(bench, asked).assign(**named, barrier=barrier, **distance(pair.target, pair.baseline))


def costs(bench: Workbench, asked: WayAsked) -> pd.DataFrame:
    """What masking FAIG's filters for each function costs either input: the measured columns of :func:`everywhere`."""
    nodes = max(1, bench.profile.prediction_nodes)
    found = {
        kind: contributions_along(asked.waypoints, images, nodes=nodes)[0] for kind, images in asked.images.items()
    }
    target, baseline = asked.waypoints[0], asked.waypoints[-1]
    every = FilterSet.every(FilterIndex.of(target))
    rows = []
    for function, (own, other) in asked.functions.items():
        chosen = eliminate(found[own], found[other]).top(PERCENTS[0])
        row: dict[str, object] = {"filters": function}
        for side, kind in (("own", own), ("other", other)):
            lows, truths = zip(*asked.images[kind], strict=True)
            masked, replaced = (substitute(target, baseline, filters) for filters in (chosen, every))
            outputs = [restore_all(network, lows) for network in (target, masked, replaced, baseline)]
            row |= {f"{name}_{side}": value for name, value in _lost(outputs, truths)}
        rows.append(row)
    return pd.DataFrame(rows)


def _lost(outputs: Sequence[Sequence[Tensor]], truths: Sequence[Tensor]) -> Iterator[tuple[str, float]]:
    """What masked outputs have lost, means over images.

    Args:
        outputs: of the target whole, masked, and with all filters replaced, and of the baseline.
        truths: as many as there are outputs of each.
    """
    whole, masked, replaced, first = outputs

    def mean(values: Iterator[Tensor]) -> float:
        found = [float(value) for value in values]
        return sum(found) / len(found)

    drop, most = (
        mean(gradient_error(*both) for both in zip(changed, whole, strict=True)) for changed in (masked, replaced)
    )
    yield "drop", drop
    yield "share", drop / most if most else math.nan
    before, after = ([*zip(one, truths, strict=True)] for one in (whole, masked))
    yield "lost", mean(psnr(*both) for both in before) - mean(psnr(*both) for both in after)
    level = [mean(psnr(levelled(*both), both[1]) for both in one) for one in (before, after)]
    yield "level", level[0] - level[1]
    yield "gain", mean(psnr(*both) for both in before) - mean(psnr(*both) for both in zip(first, truths, strict=True))
