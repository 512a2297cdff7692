"""FAIG against closed forms, the published algorithm on small networks, and the completeness identity."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.attribution import PathIntegral, faig, path_integral
from faiglib.attribution.parameter_path import ParameterPath
from faiglib.errors import FilterError, NetworkError
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.networks import build
from tests.attribution.test_published import published_scores

# ---------------------------------------------------------------- closed forms


def patches_matrix(image: np.ndarray, kernel: int) -> np.ndarray:
    """One row of kernel² values per output pixel of a zero-padded convolution."""
    reach = kernel // 2
    padded = np.pad(image, reach)
    height, width = image.shape
    return np.array([padded[r : r + kernel, c : c + kernel].ravel() for r in range(height) for c in range(width)])


def one_convolution(kernel: int, seed: int) -> tuple[nn.Module, nn.Module, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    target = nn.Conv2d(1, 1, kernel, padding=kernel // 2, dtype=torch.float64)
    baseline = copy.deepcopy(target)
    ends = generator.normal(size=(2, kernel**2 + 1))
    for network, values in zip((target, baseline), ends, strict=True):
        with torch.no_grad():
            network.weight.copy_(torch.from_numpy(values[:-1].reshape(1, 1, kernel, kernel)))
            network.bias.copy_(torch.from_numpy(values[-1:]))
    return target, baseline, *ends


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize(
    ("rule", "nodes", "where"),
    [
        ("midpoint", 1, 0.5),
        ("midpoint", 7, 0.5),
        ("trapezoid", 2, 0.5),
        ("gauss-legendre", 1, 0.5),
        ("gauss-legendre", 5, 0.5),
        ("left", 4, 0.375),
        ("right", 4, 0.625),
    ],
)
def test_one_convolution_has_the_closed_form(kernel, rule, nodes, where):
    """With one layer L is quadratic in the weights, so its gradient is linear in α, and exact at the mean node."""
    target, baseline, start, end = one_convolution(kernel, seed=kernel)
    generator = np.random.default_rng(9)
    image, truth = generator.random((2, 6, 7))
    design = np.column_stack([patches_matrix(image, kernel), np.ones(image.size)])
    gradient = 2 * design.T @ (design @ (start + where * (end - start)) - truth.ravel())
    expected = gradient * (end - start)

    inputs, ground_truth = (torch.from_numpy(plane)[None, None] for plane in (image, truth))
    result = path_integral(target, baseline, inputs, ground_truth, rule=rule, nodes=nodes)
    assert result.contributions["weight"].numpy().ravel() == pytest.approx(expected[:-1], rel=1e-10)
    assert float(result.contributions["bias"]) == pytest.approx(expected[-1], rel=1e-10)
    scores = faig(target, baseline, [(inputs, ground_truth)], rule=rule, nodes=nodes)
    assert scores.values.numpy() == pytest.approx([np.abs(expected[:-1]).sum()], rel=1e-10)

    losses = [float(np.sum((design @ values - truth.ravel()) ** 2)) for values in (start, end)]
    assert [result.loss_at_target, result.loss_at_baseline] == pytest.approx(losses, rel=1e-12)
    delta = expected.sum() - (losses[1] - losses[0])
    assert result.convergence_delta == pytest.approx(delta, rel=1e-9, abs=1e-9)
    if where == 0.5:
        assert abs(result.convergence_delta) < 1e-9
    else:
        assert abs(result.convergence_delta) > 1


def test_integration_precedes_the_absolute_value():
    """A weight whose gradient changes sign half way has score 0."""
    target, baseline = (nn.Conv2d(1, 1, 1, bias=False, dtype=torch.float64) for _ in range(2))
    with torch.no_grad():
        target.weight.fill_(0)
        baseline.weight.fill_(2)
    image = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    assert faig(target, baseline, [(image, image)]).values.abs().max() < 1e-12


# ---------------------------------------------------------------- completeness


def delta(target, baseline, inputs, truth, rule, nodes) -> float:
    return abs(path_integral(target, baseline, inputs, truth, rule=rule, nodes=nodes).convergence_delta)


@pytest.mark.parametrize(("rule", "order"), [("left", 1), ("right", 1), ("midpoint", 2), ("trapezoid", 2)])
def test_contributions_tend_to_the_difference_of_losses_at_the_order_of_the_rule(
    small, make_pair, random_pairs, rule, order
):
    target, baseline = make_pair(lambda: small(activation=nn.Tanh), step=0.5)
    ((inputs, truth),) = random_pairs()
    counts = np.array([8, 16, 32, 64])
    errors = [delta(target, baseline, inputs, truth, rule, int(count)) for count in counts]
    slope = np.polyfit(np.log(counts - (rule == "trapezoid")), np.log(errors), 1)[0]
    assert slope == pytest.approx(-order, abs=0.1)


def test_gauss_legendre_is_complete_to_rounding_on_a_smooth_network(small, make_pair, random_pairs):
    target, baseline = make_pair(lambda: small(activation=nn.Tanh), step=0.5)
    ((inputs, truth),) = random_pairs()
    result = path_integral(target, baseline, inputs, truth, rule="gauss-legendre", nodes=20)
    assert abs(result.loss_at_baseline - result.loss_at_target) > 0.1
    assert abs(result.convergence_delta) < 1e-10


def test_biases_are_part_of_the_sum(small, make_pair, random_pairs):
    target, baseline = make_pair(lambda: small(activation=nn.Tanh), step=0.5)
    ((inputs, truth),) = random_pairs()
    result = path_integral(target, baseline, inputs, truth, rule="gauss-legendre", nodes=20)
    assert set(result.contributions) == set(target.state_dict())
    weights = sum(float(v.sum()) for name, v in result.contributions.items() if name.endswith("weight"))
    assert abs(weights - (result.loss_at_baseline - result.loss_at_target)) > 1e-3


@pytest.mark.parametrize("name", ["srresnet", "srcnn_style"])
def test_full_networks_are_complete(make_pair, random_pairs, name):
    target, baseline = make_pair(lambda: build(name, seed=0), step=0.1)
    ((inputs, truth),) = random_pairs()
    result = path_integral(target, baseline, inputs, truth, rule="midpoint", nodes=32)
    difference = result.loss_at_baseline - result.loss_at_target
    with torch.no_grad():
        ends = [float(((network(inputs) - truth) ** 2).sum()) for network in (target, baseline)]
    assert [result.loss_at_target, result.loss_at_baseline] == pytest.approx(ends, rel=1e-10)
    assert abs(difference) > 1e-3
    assert abs(result.convergence_delta) < 2e-3 * abs(difference)


def test_convergence_delta_is_what_it_says():
    result = PathIntegral({"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(-0.5)}, 3.0, 4.0)
    assert result.convergence_delta == 1.5


# ---------------------------------------------------------------- any network


class Unused(nn.Module):
    """Has a layer that never runs, one that is frozen, and 1x1, 5x5 and uneven kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Conv2d(3, 4, 3)
        self.first = nn.Conv2d(3, 4, 5, padding=2)
        self.point = nn.Conv2d(4, 5, 1).requires_grad_(False)
        self.line = nn.Conv2d(5, 12, (1, 3), padding=(0, 1), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.line(torch.tanh(self.point(torch.tanh(self.first(x))))), 2)


class WithOtherLayers(nn.Module):
    """A convolution between other layers with parameters and batch statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh())
        self.outer = nn.ConvTranspose2d(4, 3, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({"kernels": (5, 1)}, 2),
        ({"kernels": (7, 3, 1)}, 2),
        ({"scale": 3}, 3),
        ({"scale": 4}, 4),
        ({"kernels": (3, 3, 3), "groups": 2}, 2),
        ({"kernels": (3, 3), "groups": 4}, 2),
    ],
    ids=["5x5 and 1x1", "7x7, 3x3, 1x1", "scale 3", "scale 4", "two groups", "depthwise"],
)
def test_any_convolutions_agree_with_the_published_algorithm(small, make_pair, random_pairs, options, scale):
    def make() -> nn.Module:
        return small(**options).double()

    target, baseline = make_pair(make)
    ((inputs, truth),) = random_pairs(scale=scale)
    expected = published_scores(make, target.state_dict(), baseline.state_dict(), inputs, truth, steps=10)
    scores = faig(target, baseline, [(inputs, truth)], rule="left", nodes=10)
    assert np.allclose(scores.values.numpy(), expected, rtol=1e-9, atol=1e-15)


def test_unused_frozen_and_uneven_layers(make_pair, random_pairs):
    target, baseline = make_pair(Unused)
    ((inputs, truth),) = random_pairs()
    scores = faig(target, baseline, [(inputs, truth)], rule="gauss-legendre", nodes=6)
    by_layer = {layer.name: piece for layer, piece in scores.index.split(scores.values)}
    assert list(by_layer) == ["idle.weight", "first.weight", "point.weight", "line.weight"]
    assert torch.count_nonzero(by_layer["idle.weight"]) == 0
    assert all(by_layer[f"{name}.weight"].min() > 0 for name in ("first", "line"))
    assert by_layer["point.weight"].max() > 0, "a frozen layer moves along the path like any other"
    assert not target.point.weight.requires_grad


def test_other_layers_move_along_the_path_but_are_not_scored(make_pair, random_pairs):
    target, baseline = make_pair(WithOtherLayers, step=0.2)
    ((inputs, truth),) = random_pairs()
    result = path_integral(target, baseline, inputs, truth, rule="gauss-legendre", nodes=24)
    assert set(result.contributions) == {name for name, _ in target.named_parameters()}
    assert abs(result.convergence_delta) < 1e-9
    assert faig(target, baseline, [(inputs, truth)]).index.names == ("inner.0.weight",)


def test_a_network_in_training_mode_is_attributed_in_evaluation_mode(make_pair, random_pairs):
    target, baseline = make_pair(WithOtherLayers, step=0.2)
    pairs = random_pairs()
    expected = faig(target, baseline, pairs).values
    target.train(), baseline.train()
    assert torch.equal(faig(target, baseline, pairs).values, expected)
    assert target.training


def test_a_filter_that_is_equal_in_both_networks_scores_zero(small, make_pair, random_pairs):
    target, baseline = make_pair(small)
    with torch.no_grad():
        target.layers[0].weight[2, 1] = baseline.layers[0].weight[2, 1]
    scores = faig(target, baseline, random_pairs(3)).values
    assert [k for k, value in enumerate(scores.tolist()) if value == 0] == [2 * 3 + 1]


def test_equal_networks_score_zero_everywhere(small, make_pair, random_pairs):
    _, baseline = make_pair(small)
    assert torch.count_nonzero(faig(baseline, baseline, random_pairs()).values) == 0


def test_scores_are_the_mean_over_images_of_any_size(small, make_pair, random_pairs):
    target, baseline = make_pair(small)
    pairs = random_pairs(4)
    singles = np.mean([faig(target, baseline, [pair]).values.numpy() for pair in pairs], axis=0)
    together = faig(target, baseline, iter(pairs))
    assert together.values.numpy() == pytest.approx(singles, rel=1e-12)
    assert faig(target, baseline, pairs[::-1]).values.numpy() == pytest.approx(singles, rel=1e-12)


def test_another_loss_is_attributed(small, make_pair, random_pairs):
    target, baseline = make_pair(lambda: small(activation=nn.Tanh), step=0.5)
    ((inputs, truth),) = random_pairs()
    result = path_integral(
        target, baseline, inputs, truth, rule="gauss-legendre", nodes=24, loss=lambda out, _: out.exp().mean()
    )
    with torch.no_grad():
        ends = [float(network(inputs).exp().mean()) for network in (target, baseline)]
    assert [result.loss_at_target, result.loss_at_baseline] == pytest.approx(ends, rel=1e-12)
    assert abs(result.convergence_delta) < 1e-10


def test_images_follow_the_precision_of_the_network(small, make_pair, random_pairs):
    target, baseline = make_pair(small, dtype=torch.float32)
    single = faig(target, baseline, random_pairs(dtype=torch.float64)).values
    double = faig(target.double(), baseline.double(), random_pairs(dtype=torch.float64)).values
    assert single.dtype == torch.float64
    assert single.numpy() == pytest.approx(double.numpy(), rel=1e-4)


def test_default_is_close_to_the_integral(small, make_pair, random_pairs):
    target, baseline = make_pair(small)
    pairs = random_pairs(2)
    exact = faig(target, baseline, pairs, rule="gauss-legendre", nodes=200).values.numpy()
    assert faig(target, baseline, pairs).values.numpy() == pytest.approx(exact, rel=2e-2, abs=1e-3 * exact.max())


# ---------------------------------------------------------------- what is left alone, and what is refused


@pytest.mark.parametrize("training", [False, True])
def test_the_given_networks_are_not_modified(small, make_pair, random_pairs, bits, training):
    target, baseline = (network.train(training) for network in make_pair(small))
    target.layers[0].weight.requires_grad_(False)
    baseline.layers[2].bias.grad = torch.ones(4, dtype=torch.float64)
    state = [bits(network) for network in (target, baseline)]
    flags = [[p.requires_grad for p in network.parameters()] for network in (target, baseline)]
    strides = [[p.stride() for p in network.parameters()] for network in (target, baseline)]
    (pair,) = random_pairs()
    inputs = [tensor.clone() for tensor in pair]
    faig(target, baseline, [pair], nodes=3)
    path_integral(target, baseline, *pair, nodes=3)
    assert [bits(network) for network in (target, baseline)] == state
    assert [[p.requires_grad for p in network.parameters()] for network in (target, baseline)] == flags
    assert [[p.stride() for p in network.parameters()] for network in (target, baseline)] == strides
    assert target.training == baseline.training == training
    assert all(p.grad is None for p in target.parameters())
    assert [p.grad is None for p in baseline.parameters()].count(False) == 1
    assert all(torch.equal(now, before) for now, before in zip(pair, inputs, strict=True))


def test_the_path_runs_from_target_to_baseline_and_back(small, make_pair):
    target, baseline = make_pair(small)
    path = ParameterPath(target, baseline)
    ends = [dict(network.named_parameters()) for network in (target, baseline)]
    for alpha in (1.0, 0.25, 0.0):
        network = path.move_to(alpha)
        for name, parameter in network.named_parameters():
            expected = alpha * ends[1][name] + (1 - alpha) * ends[0][name]
            assert torch.allclose(parameter, expected, rtol=1e-12, atol=1e-14)
    assert all(torch.equal(p, ends[0][name]) for name, p in network.named_parameters()), (
        "α = 0 is the target, bit by bit"
    )
    assert path.move_to(0.5) is network


def test_moving_along_the_path_keeps_channels_last(make_pair):
    target, baseline = make_pair(lambda: build("srresnet", seed=0))
    path = ParameterPath(target, baseline)
    for alpha in (0.0, 0.3, 1.0):
        weights = [p for p in path.move_to(alpha).parameters() if p.dim() == 4]
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"width": 5}),
        ({}, {"kernels": (3, 5)}),
        ({}, {"kernels": (3, 3, 3)}),
        ({"scale": 2}, {"scale": 3}),
        ({"groups": 2}, {"groups": 1}),
    ],
)
def test_networks_of_different_architecture_are_refused(small, random_pairs, first, second):
    with pytest.raises(NetworkError, match="must be of one architecture"):
        faig(small(**first).double(), small(**second).double(), random_pairs())


def test_a_network_without_convolutions_is_refused(random_pairs):
    network = nn.Sequential(nn.Linear(6, 12))
    with pytest.raises(NetworkError, match="Sequential has no convolution"):
        faig(network, copy.deepcopy(network), random_pairs())


def test_no_images_are_refused(small, make_pair):
    with pytest.raises(FilterError, match="there are none"):
        faig(*make_pair(small), [])


def test_scores_that_are_not_finite_are_refused(small, make_pair, random_pairs):
    target, baseline = make_pair(small)
    with torch.no_grad():
        target.layers[2].weight[0, 0, 0, 0] = math.nan
    with pytest.raises(FilterError, match="NaN or infinite"):
        faig(target, baseline, random_pairs())


def test_a_weight_shared_by_two_layers_is_one_layer_of_filters(random_pairs, make_pair):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
            self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            return F.interpolate(self.second(torch.tanh(self.first(x))), scale_factor=2.0)

    target, baseline = make_pair(Tied, step=0.2)
    ((inputs, truth),) = random_pairs()
    result = path_integral(target, baseline, inputs, truth, rule="gauss-legendre", nodes=12)
    assert abs(result.convergence_delta) < 1e-10
    scores = faig(target, baseline, [(inputs, truth)], rule="gauss-legendre", nodes=12)
    expected = result.contributions["first.weight"].abs().sum(dim=(2, 3)).flatten()
    assert torch.allclose(scores.values, expected, rtol=1e-12, atol=0)


def test_computed_weights_are_refused_with_advice(random_pairs):
    networks = [nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 12, 3)), nn.PixelShuffle(2))] * 2
    with pytest.raises(NetworkError, match=r"weight of 0 is computed .*; remove the parametrisation"):
        faig(*networks, random_pairs())


def test_scores_carry_the_index_of_the_network(small, make_pair, random_pairs):
    target, baseline = make_pair(small)
    scores = faig(target, baseline, random_pairs())
    assert isinstance(scores, FilterScores)
    assert scores.index == FilterIndex.of(target)


def test_a_progress_bar_appears_only_when_it_has_a_label(small, make_pair, random_pairs, capsys):
    target, baseline = make_pair(small)
    faig(target, baseline, random_pairs(), nodes=1)
    assert capsys.readouterr().err == ""
    faig(target, baseline, random_pairs(), nodes=1, progress="blurry images")
    assert "blurry images" in capsys.readouterr().err


@pytest.mark.gpu
def test_the_gpu_gives_the_ranking_of_the_cpu(make_pair, random_pairs):
    target, baseline = make_pair(lambda: build("srresnet", seed=0), dtype=torch.float64)
    pairs = random_pairs(2)
    cpu = faig(target, baseline, pairs, nodes=4)
    gpu = faig(target, baseline, pairs, nodes=4, device="cuda")
    assert np.allclose(gpu.values.numpy(), cpu.values.numpy(), rtol=1e-6)
    assert cpu.top(1).overlap(gpu.top(1)) == 1
