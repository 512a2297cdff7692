"""Milestones are what the parts of the library say of a pair when each is asked by itself."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from faiglib.attribution import contributions_along, faig, filter_change
from faiglib.errors import TrainingError, WeightsError
from faiglib.filters.substitution import substitute
from faiglib.images.metrics import gradient_error, psnr
from faiglib.images.restoration import restore
from faiglib.networks import build
from faiglib.system.tensors import State
from faiglib.training import milestones, rows, snapshots, trajectories
from faiglib.training.recipe import Recipe
from faiglib.training.trainer import train

RECIPE = Recipe("tiny", "target", 0, iterations=3, batch=1, patch=16, peak_lr=1e-3)

pytestmark = [
    pytest.mark.usefixtures("_small_crops", "tiny_network"),
    pytest.mark.filterwarnings("ignore:the filters of the convolutions"),
]


@pytest.fixture
def _small_crops(monkeypatch):
    crops = milestones.validation_crops(2, 24)
    for module in (milestones, trajectories):
        monkeypatch.setattr(module, "validation_crops", lambda scale: crops)
        monkeypatch.setattr(module, "PERCENT", 10.0)  # of 76 filters


def moved(state: State, by: float, seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {name: value + by * torch.randn(value.shape, generator=generator) for name, value in state.items()}


@pytest.fixture
def states(tiny_network) -> tuple[State, dict[int, State]]:
    """A baseline, and a target after one and after three steps."""
    torch.manual_seed(0)
    baseline = {name: value.clone() for name, value in build("tiny").state_dict().items()}
    return baseline, {1: moved(baseline, 0.02), 3: moved(baseline, 0.1, 1)}


def network_of(state: State) -> torch.nn.Module:
    network = build("tiny").eval()
    network.load_state_dict(state)
    return network


def test_every_number_is_that_of_its_own_function(states):
    baseline, by_step = states
    rows = milestones.examine(RECIPE, by_step, baseline)
    assert [(row.step, row.function) for row in rows] == [
        (step, function) for step in (1, 3) for function in ("deblurring", "denoising")
    ]
    crops = milestones.validation_crops(2)
    target, start = network_of(by_step[3]), network_of(baseline)
    images = {kind: list(zip(*(part.split(1) for part in crops[kind]), strict=True)) for kind in ("blurry", "noisy")}
    scores = {kind: faig(target, start, pairs) for kind, pairs in images.items()}
    chosen = (scores["noisy"] - scores["blurry"]).top(10)
    last = rows[-1]

    def drop(filters, kind):
        outputs = [restore(one, crops[kind][0]) for one in (substitute(target, start, filters), target)]
        return float(gradient_error(*outputs).mean())

    # With every filter replaced, what is left of the target are its biases.
    mixed = {name: baseline[name] if value.ndim == 4 else value for name, value in by_step[3].items()}
    outputs = [restore(one, crops["noisy"][0]) for one in (network_of(mixed), target)]
    assert last.own == pytest.approx(drop(chosen, "noisy") / float(gradient_error(*outputs).mean()))
    assert last.filter_change * drop(chosen, "noisy") == pytest.approx(
        last.own * drop(filter_change(target, start).top(10), "noisy")
    )
    assert last.psnr == pytest.approx(float(psnr(restore(target, crops["noisy"][0]), crops["noisy"][1]).mean()))
    squares = [sum(float((by_step[3][name] - value).square().sum()) for name, value in baseline.items())]
    squares.append(sum(float(value.square().sum()) for value in baseline.values()))
    assert last.distance == pytest.approx(math.sqrt(squares[0] / squares[1]))
    assert (last.overlap, rows[2].overlap) == (1, 1)
    assert 0 <= rows[0].overlap <= 1


def test_they_come_back_from_a_file(states, tmp_path):
    found = milestones.examine(RECIPE, states[1], states[0])
    (tmp_path / "a.csv").write_text(rows.as_csv(found))
    back = milestones.read(tmp_path / "a.csv")
    assert rows.as_csv(back) == rows.as_csv(found), "to the digits kept"
    assert [row.own for row in back] == pytest.approx([row.own for row in found], rel=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [("step,", "steps,", "step"), ("denoising", "painting", "no function is called 'painting'"), ("0.", "zero.", "")],
)
def test_a_damaged_file_is_one_sentence(states, tmp_path, old, new, reason):
    text = rows.as_csv(milestones.examine(RECIPE, {3: states[1][3]}, states[0]))
    (tmp_path / "a.csv").write_text(text.replace(old, new))
    with pytest.raises(WeightsError, match=f"the table .*a.csv cannot be read: .*{reason}") as info:
        milestones.read(tmp_path / "a.csv")
    assert "\n" not in str(info.value)


def test_a_run_is_examined_at_its_snapshots(states, tmp_path, images):
    recipe = replace(RECIPE, iterations=20)
    result = train(recipe, images, initial=states[0], run_dir=tmp_path, kept_steps=snapshots.steps(20), progress=False)
    found = milestones.of_run(tmp_path, recipe, result.state, states[0])
    assert sorted({row.step for row in found}) == [1, 2, 4, 10, 20]
    along = trajectories.of_run(tmp_path, recipe, result.state, states[0])
    assert [(row.function, row.path) for row in along] == [
        (function, path) for path in ("straight", "trajectory") for function in ("deblurring", "denoising")
    ]
    (tmp_path / "trajectories.csv").write_text(rows.as_csv(along))
    back = rows.read(tmp_path / "trajectories.csv", trajectories.Along)
    assert [row.own for row in back] == pytest.approx([row.own for row in along], rel=1e-5)
    (tmp_path / "snapshots" / "4.safetensors").unlink()
    with pytest.raises(TrainingError, match="has no snapshot of step 4"):
        milestones.of_run(tmp_path, recipe, result.state, states[0])


def test_without_snapshots_there_is_the_result(states, tmp_path):
    found = milestones.of_run(tmp_path, RECIPE, states[1][3], states[0])
    assert [row.step for row in found] == [3, 3]
    assert trajectories.of_run(tmp_path, RECIPE, states[1][3], states[0]) == []


def test_both_paths_are_what_their_parts_say(states):
    baseline, by_step = states
    ways = [by_step[3], by_step[1], baseline]
    straight, _, bent, _ = trajectories.compare(RECIPE, ways)
    crops = milestones.validation_crops(2)
    networks = [network_of(state) for state in ways]
    images = {kind: list(zip(*(part.split(1) for part in crops[kind]), strict=True)) for kind in ("blurry", "noisy")}
    for row, way, nodes in ((straight, networks[::2], 16), (bent, networks, 4)):
        found = {kind: contributions_along(way, pairs, nodes=nodes) for kind, pairs in images.items()}
        chosen = (found["blurry"][0] - found["noisy"][0]).top(10)
        changed = restore(substitute(networks[0], networks[-1], chosen), crops["blurry"][0])
        every = (found["blurry"][0] - found["noisy"][0]).top(100)
        whole, most = (
            restore(network, crops["blurry"][0])
            for network in (networks[0], substitute(networks[0], networks[-1], every))
        )
        expected = gradient_error(changed, whole).mean() / gradient_error(most, whole).mean()
        assert row.own == pytest.approx(float(expected))
        losses = [
            sum(float((network(low) - truth).detach().square().sum()) for low, truth in images["blurry"])
            for network in (networks[0], networks[-1])
        ]
        change = (losses[1] - losses[0]) / len(images["blurry"])
        assert row.missed == pytest.approx((found["blurry"][2] - change) / change, rel=1e-3, abs=1e-4)
    assert straight.shared == 1
    assert 0 <= bent.shared <= 1
