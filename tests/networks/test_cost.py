"""Costs against formulas by hand, PyTorch's own counter, and the printed Table 1."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from math import prod

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from faiglib.companion.one_versus_two.table_1 import TABLE_1_INPUT, TableOneRow, printed_alike, table_1
from faiglib.networks import build
from faiglib.networks.cost import CONVENTIONS, macs, operations, parameters


class Calls(nn.Module):
    """A network that is one function of its input."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.fixture(scope="module")
def rows() -> list[TableOneRow]:
    return table_1()


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "bias": False},
        {"kernel_size": 5, "stride": 2, "padding": 1},
        {"kernel_size": 3, "dilation": 2},
        {"kernel_size": (1, 3), "groups": 2},
        {"kernel_size": 3, "groups": 4, "padding": 1},
    ],
    ids=str,
)
def test_a_convolution_by_hand(options):
    layer = nn.Conv2d(4, 8, **options)
    output = layer(torch.zeros(2, 4, 13, 11))
    one = prod(layer.kernel_size) * 4 // layer.groups
    expected = {"layers": output.numel() * one}
    if layer.bias is not None:
        expected["biases"] = output.numel()
    assert operations(layer, (2, 4, 13, 11)) == expected
    assert macs(layer, (2, 4, 13, 11)) == expected["layers"]
    assert macs(layer, (2, 4, 13, 11), "ptflops") == sum(expected.values())


def test_a_transposed_convolution_by_hand():
    layer = nn.ConvTranspose2d(4, 6, 3, stride=2)
    # Every input value goes through all its weights.
    assert operations(layer, (1, 4, 5, 7)) == {"layers": 4 * 5 * 7 * 6 * 9, "biases": 6 * 11 * 15}


@pytest.mark.parametrize("shape", [(5, 8), (2, 3, 8)])
def test_a_linear_layer_by_hand(shape):
    places = prod(shape[:-1])
    assert operations(nn.Linear(8, 3), shape) == {"layers": places * 24, "biases": places * 3}
    assert operations(nn.Linear(8, 3, bias=False), shape) == {"layers": places * 24}


def test_true_macs_are_half_of_what_pytorch_counts():
    for name, options in (
        ("srresnet", {"scale": 4, "blocks": 2}),
        ("srcnn_style", {"scale": 2}),
        ("dan", {"features": 32, "blocks": 2, "loops": 2}),
        ("dasr", {"features": 16, "groups": 1, "blocks": 2}),
    ):
        network = build(name, seed=0, **options)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, 12, 16))
        assert 2 * macs(network, (1, 3, 12, 16)) == counter.get_total_flops(), name


def test_a_whole_network_layer_by_layer():
    """SRResNet ×4 with b blocks on h×w: what its definition says, layer by layer."""
    blocks, pixels = 3, 20 * 24
    network = build("srresnet", seed=0, scale=4, blocks=blocks)
    square = 64 * 64 * 9
    true = pixels * (3 * 64 * 9 + 2 * blocks * square + 4 * square + 16 * square + 16 * square + 16 * 64 * 3 * 9)
    biases = pixels * (64 + 2 * blocks * 64 + 256 + 4 * 256 + 16 * 64 + 16 * 3)
    leaky = pixels * (64 + 4 * 64 + 16 * 64 + 16 * 64)
    # The second upsampling convolution works on 4 times the pixels and has 4 times the outputs.
    assert macs(network, (1, 3, 20, 24)) == true
    assert macs(network, (1, 3, 20, 24), "ptflops") == true + biases + leaky


def test_modules_and_functions_are_the_same_kind():
    shape, elements = (2, 4, 6, 8), 2 * 4 * 6 * 8
    for kind, forms in {
        "leaky_relu": (nn.LeakyReLU(0.1), nn.LeakyReLU(0.1, inplace=True), Calls(lambda x: F.leaky_relu(x, 0.2))),
        "batch_norm": (nn.BatchNorm2d(4), Calls(lambda x: F.batch_norm(x, x[0, :, 0, 0], x[0, :, 0, 0]))),
        "pooling": (
            nn.AdaptiveAvgPool2d(1),
            nn.AdaptiveAvgPool2d(2),
            nn.AvgPool2d(2),
            nn.MaxPool2d(2),
            Calls(lambda x: F.adaptive_avg_pool2d(x, 1)),
            Calls(lambda x: x.mean(dim=(2, 3))),
            Calls(lambda x: x.mean((-2, -1), keepdim=True)),
        ),
    }.items():
        for form in forms:
            assert operations(form, shape) == {kind: elements}, form


@pytest.mark.parametrize(
    "free",
    [
        nn.ReLU(),
        nn.Sigmoid(),
        nn.PixelShuffle(2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.ReflectionPad2d(1),
        Calls(lambda x: x * x + 1),
        Calls(lambda x: x.mean()),
        Calls(lambda x: x.mean(dim=1)),
    ],
    ids=str,
)
def test_what_is_free(free):
    assert operations(free, (2, 4, 6, 8)) == {}


def test_prices_of_the_kinds():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.LeakyReLU(), nn.AdaptiveAvgPool2d(1))
    assert macs(network, (1, 3, 5, 5)) == 25 * 12
    assert macs(network, (1, 3, 5, 5), "ptflops") == 25 * (12 + 4 + 2 * 4 + 4 + 4)
    assert set(CONVENTIONS) == {"true", "ptflops"}


def test_products_outside_layers_count_as_functional():
    def dynamic(x: Tensor) -> Tensor:
        return F.conv2d(x, x.new_ones(2, 4, 3, 3))

    assert operations(Calls(dynamic), (1, 4, 6, 8)) == {"functional": 2 * 36 * 4 * 6}
    assert operations(Calls(lambda x: x @ x.mT), (1, 4, 6, 8)) == {"functional": 4 * 6 * 6 * 8}

    class Subclass(nn.Conv2d):
        pass

    assert operations(Subclass(4, 2, 3), (1, 4, 6, 8)) == {"functional": 2 * 36 * 4 * 6}
    after = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), Calls(dynamic))
    assert operations(after, (1, 4, 6, 8)) == {"layers": 16 * 48, "functional": 2 * 36 * 4 * 6}
    assert macs(after, (1, 4, 6, 8)) == 16 * 48 + 2 * 36 * 4 * 6
    assert macs(after, (1, 4, 6, 8), "ptflops") == 16 * 48


def test_counting_leaves_the_network_alone(bits):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    before = bits(network)
    macs(network, (1, 3, 9, 9))
    assert bits(network) == before
    assert all(module.training and not module._forward_hooks for module in network.modules())
    assert {p.device.type for p in network.parameters()} == {"cpu"}


def test_parameters_count_shared_ones_once_and_frozen_ones_too():
    shared = nn.Conv2d(3, 3, 1)
    network = nn.Sequential(shared, shared, nn.BatchNorm2d(3).requires_grad_(False))
    assert parameters(network) == 12 + 6


def test_unknown_convention_is_refused():
    with pytest.raises(ValueError, match="unknown convention 'flops'; known: true, ptflops"):
        macs(nn.Conv2d(3, 3, 1), (1, 3, 4, 4), "flops")  # type: ignore[arg-type]


def test_table_1_to_the_printed_digit(rows):
    printed = [row for row in rows if row.paper_gmacs is not None]
    figures = [(row.network, row.pair, f"{row.ptflops / 1e9:.2f}", f"{row.parameters / 1e6:.2f}") for row in printed]
    assert figures == [
        ("dan", "dan", "275.36", "4.33"),
        ("srresnet", "dan", "77.03", "4.32"),
        ("dasr", "dasr", "48.27", "7.25"),
        ("srresnet", "dasr", "48.32", "2.33"),
    ]
    for row, figure in zip(printed, figures, strict=True):
        assert (f"{row.paper_gmacs:.2f}", f"{row.paper_mparameters:.2f}") == figure[2:]


def test_figures_alike_are_counted(rows):
    assert printed_alike(rows) == (8, 8)
    first = next(number for number, row in enumerate(rows) if row.paper_gmacs is not None)
    wrong = [*rows[:first], replace(rows[first], paper_gmacs=1.0), *rows[first + 1 :]]
    assert printed_alike(wrong) == (7, 8)


def test_table_1_exactly(rows):
    assert TABLE_1_INPUT == (1, 3, 120, 120)
    assert [row.parameters for row in rows] == [4_329_511, 4_324_099, 7_248_091, 2_329_987, 5_837_723, 2_182_275]
    gmacs = [(round(row.ptflops / 1e9, 3), round(row.true / 1e9, 3)) for row in rows]
    assert gmacs[:2] == [(275.363, 274.583), (77.033, 76.864)]
    assert gmacs[2][0] == 48.274
    assert gmacs[3] == (48.317, 48.199)


def test_the_honest_match_of_dasr_is_25_blocks(rows):
    inference, match = rows[4:]
    assert (inference.title, match.title) == ("DASR, inference", "SRResNet, 25 blocks")
    assert [round(row.ptflops / 1e9, 1) for row in (inference, match)] == [46.1, 46.2]
    assert [round(row.true / 1e9, 1) for row in (inference, match)] == [46.3, 46.1]
    per_block = 2 * (64 * 64 * 9) * 120 * 120
    for blocks in (23, 24, 26, 27):
        other = match.true + (blocks - 25) * per_block
        assert abs(other - inference.true) > abs(match.true - inference.true)
    # DAN's partner has its parameters, but spends 28 % of its multiplications.
    assert round(100 * rows[1].true / rows[0].true) == 28


def test_rows_make_a_table(rows):
    assert {"network", "title", "parameters", "ptflops", "true"} <= dataclasses.asdict(rows[0]).keys()


def test_small_pairs_of_the_race():
    pairs = {"dan": {"features": 32, "blocks": 10}, "dasr": {"features": 32, "groups": 3, "blocks": 3}}
    sizes = {name: parameters(build(name, **options)) for name, options in pairs.items()}
    assert sizes == {"dan": 442_098, "dasr": 779_163}
    partners = [parameters(build("srresnet", scale=4, features=32, blocks=blocks)) for blocks in (19, 6)]
    assert partners == [436_419, 195_971]
