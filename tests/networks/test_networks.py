"""Networks against the facts of the paper and a plain functional version of each."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.errors import NetworkError
from faiglib.networks import NETWORKS, PUBLIC, TITLES, TWO_BRANCH, build


def filters(network: nn.Module) -> int:
    return sum(t.shape[0] * t.shape[1] for t in network.state_dict().values() if t.dim() == 4)


def conv(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)


def lrelu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.1 * x)


def shuffle(x: Tensor, factor: int) -> Tensor:
    """Channel c·r² + i·r + j of pixel (y, x) becomes channel c of pixel (r·y + i, r·x + j)."""
    count, channels, height, width = x.shape
    result = x.new_empty(count, channels // factor**2, height * factor, width * factor)
    for i in range(factor):
        for j in range(factor):
            result[:, :, i::factor, j::factor] = x[:, i * factor + j :: factor**2]
    return result


def bilinear(x: Tensor, scale: int) -> Tensor:
    """Upsampling as one matrix per axis, pixel centres aligned, borders repeated."""

    def matrix(size: int) -> Tensor:
        rows = np.zeros((size * scale, size))
        for k in range(size * scale):
            place = max((k + 0.5) / scale - 0.5, 0)
            first = min(int(place), size - 1)
            second = min(first + 1, size - 1)
            rows[k, first] += 1 - (place - first)
            rows[k, second] += place - first
        return torch.from_numpy(rows).to(x)

    return matrix(x.shape[-2]) @ x @ matrix(x.shape[-1]).T


def plain_srresnet(state: dict[str, Tensor], x: Tensor, scale: int, blocks: int = 16) -> Tensor:
    features = lrelu(conv(state, "conv_first", x))
    for block in range(blocks):
        inner = conv(state, f"body.{block}.conv1", features).clamp(min=0)
        features = features + conv(state, f"body.{block}.conv2", inner)
    for number, factor in enumerate({2: [2], 3: [3], 4: [2, 2]}[scale], start=1):
        features = lrelu(shuffle(conv(state, f"upconv{number}", features), factor))
    return conv(state, "conv_last", lrelu(conv(state, "conv_hr", features))) + bilinear(x, scale)


def plain_srcnn_style(state: dict[str, Tensor], x: Tensor, scale: int) -> Tensor:
    for number in (0, 2, 4, 6, 8, 10):
        x = lrelu(conv(state, f"features.{number}", x))
    position = 12
    for factor in {2: [2], 3: [3], 4: [2, 2]}[scale]:
        x = lrelu(shuffle(conv(state, f"features.{position}", x), factor))
        position += 3
    x = lrelu(conv(state, f"features.{position}", x))
    return conv(state, f"features.{position + 2}", x)


PLAIN = {
    "srresnet": plain_srresnet,
    "srresnet_s": partial(plain_srresnet, blocks=8),
    "srcnn_style": plain_srcnn_style,
}

#: First layer, two of each of 8 blocks, the layer before the pixel shuffle, the two after it.
SMALL = 3 * 32 + 16 * 32 * 32 + 32 * 128 + 32 * 32 + 32 * 3


@pytest.mark.parametrize(("name", "expected"), [("srcnn_style", 156_224), ("srresnet", 151_936), ("srresnet_s", SMALL)])
def test_filter_counts_are_those_of_the_paper(name, expected):
    assert filters(build(name, scale=2)) == expected


def test_srcnn_style_parameter_names_and_shapes():
    state = build("srcnn_style", scale=2).state_dict()
    places = (0, 2, 4, 6, 8, 10, 12, 15, 17)
    widths = (3, 64, 128, 128, 128, 128, 128)
    shapes = [(out, in_, 3, 3) for in_, out in pairwise(widths)]
    shapes += [(512, 128, 3, 3), (128, 128, 3, 3), (3, 128, 3, 3)]
    assert list(state) == [f"features.{place}.{kind}" for place in places for kind in ("weight", "bias")]
    for place, shape in zip(places, shapes, strict=True):
        assert tuple(state[f"features.{place}.weight"].shape) == shape
        assert tuple(state[f"features.{place}.bias"].shape) == shape[:1]


@pytest.mark.parametrize(("scale", "upconvs"), [(2, [256]), (3, [576]), (4, [256, 256])])
def test_srresnet_parameter_names_and_shapes(scale, upconvs):
    state = build("srresnet", scale=scale).state_dict()
    layers = [("conv_first", 64, 3)]
    layers += [(f"body.{block}.conv{number}", 64, 64) for block in range(16) for number in (1, 2)]
    layers += [(f"upconv{number}", width, 64) for number, width in enumerate(upconvs, start=1)]
    layers += [("conv_hr", 64, 64), ("conv_last", 3, 64)]
    assert list(state) == [f"{layer}.{kind}" for layer, _, _ in layers for kind in ("weight", "bias")]
    for layer, out, in_ in layers:
        assert tuple(state[f"{layer}.weight"].shape) == (out, in_, 3, 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", list(PLAIN))
def test_forward_is_the_plain_functional_network(random_image, name, scale):
    network = build(name, seed=1, scale=scale).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():  # biases are born zero
            if parameter.dim() == 1:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        image = random_image(5, 7)
        output = network(image)
        expected = PLAIN[name](dict(network.state_dict()), image, scale)
    assert output.shape == (1, 3, 5 * scale, 7 * scale)
    assert torch.allclose(output, expected, rtol=1e-10, atol=1e-12)
    assert (output - bilinear(image, scale)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "fan_of", "factor"),
    [("srresnet", lambda w: w.shape[1] * 9, 0.1), ("srcnn_style", lambda w: w.shape[0] * 9, 1.0)],
)
def test_initial_weights_are_kaiming_normal(name, fan_of, factor):
    for key, tensor in build(name, seed=0, scale=2).state_dict().items():
        if tensor.dim() == 1:
            assert torch.count_nonzero(tensor) == 0, key
            continue
        standard = tensor.double() / (factor * math.sqrt(2 / fan_of(tensor)))
        count = standard.numel()
        assert abs(standard.mean()) < 5 / math.sqrt(count), key
        assert abs(standard.square().mean() - 1) < 5 * math.sqrt(2 / count), key
        assert abs(standard.pow(4).mean() - 3) < 6 * math.sqrt(96 / count), key


def test_seeded_build_repeats_and_leaves_the_random_state_alone():
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first, again, other = (build("srresnet", seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv_hr.weight"], other["conv_hr.weight"])


def test_seeded_build_leaves_the_random_state_of_gpus_alone(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(torch.cuda, "manual_seed", seeded.append)
    build("srresnet", seed=5)
    assert not seeded


def test_unseeded_build_draws_from_the_global_random_state():
    torch.manual_seed(1)
    first = build("srresnet").state_dict()["conv_hr.weight"]
    second = build("srresnet").state_dict()["conv_hr.weight"]
    torch.manual_seed(1)
    assert torch.equal(build("srresnet").state_dict()["conv_hr.weight"], first)
    assert not torch.equal(first, second)


def test_build_gives_a_network_ready_for_use():
    for name in (*NETWORKS, *TWO_BRANCH):
        network = build(name, seed=0)
        assert not network.training
        assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert set(TITLES) == {*NETWORKS, *TWO_BRANCH, *PUBLIC}


def test_unknown_network_is_refused():
    with pytest.raises(NetworkError, match=r"unknown network 'srgan'; known: .*srcnn_style, srresnet"):
        build("srgan")


@pytest.mark.parametrize("name", list(PLAIN))
@pytest.mark.parametrize("scale", [0, 1, 5, 8])
def test_unknown_scale_is_refused(name, scale):
    with pytest.raises(NetworkError, match=f"scale must be 2, 3 or 4, not {scale}"):
        build(name, scale=scale)
