"""DASR against a plain functional version, the counted facts, and what its training promises."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.errors import NetworkError
from faiglib.networks import NETWORKS, TWO_BRANCH, build
from faiglib.networks.dasr import DASR, DegradationAwareConv, Encoder, depthwise_each
from faiglib.race.contrast import DASRTraining, EncoderTraining, MomentumContrast, contrastive_loss, joint_loss


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def tiny(seed: int = 1, **options: int) -> DASR:
    network = build("dasr", seed=seed, **{"features": 8, "groups": 2, "blocks": 2} | options).double()
    assert isinstance(network, DASR)
    return network


def training(length: int = 16, phase: type[DASRTraining] = DASRTraining) -> DASRTraining:
    torch.manual_seed(0)
    return phase(tiny(), length).double().train()


@pytest.fixture
def pairs() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((4, 2, 3, 8, 12)))


# The network once more, as functions of a state dict.


def lrelu(x: Tensor) -> Tensor:
    return torch.maximum(x, 0.1 * x)


def conv(state: dict[str, Tensor], name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    return F.conv2d(x, weight, state.get(f"{name}.bias"), stride=stride, padding=weight.shape[-1] // 2)


def plain_encoder(state: dict[str, Tensor], x: Tensor) -> Tensor:
    for number, stride in enumerate((1, 1, 2, 1, 2, 1)):
        x = conv(state, f"encoder.layers.{3 * number}", x, stride)
        mean, variance, weight, bias = (
            state[f"encoder.layers.{3 * number + 1}.{name}"].view(1, -1, 1, 1)
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        x = lrelu((x - mean) / torch.sqrt(variance + 1e-5) * weight + bias)
    return x.mean(dim=(2, 3))


def slow_steered_conv(state: dict[str, Tensor], name: str, x: Tensor, vector: Tensor) -> Tensor:
    """Sample by sample, channel by channel."""
    results = []
    for image, v in zip(x, vector, strict=True):
        kernels = state[f"{name}.kernel.2.weight"] @ lrelu(state[f"{name}.kernel.0.weight"] @ v)
        planes = [
            F.conv2d(plane[None, None], taps.view(1, 1, 3, 3), padding=1)[0]
            for plane, taps in zip(image, kernels.view(len(v), 9), strict=True)
        ]
        steered = conv(state, f"{name}.conv", lrelu(torch.cat(planes)[None]))[0]
        squeezed = lrelu(state[f"{name}.attention.0.weight"][:, :, 0, 0] @ v)
        factors = 1 / (1 + torch.exp(-(state[f"{name}.attention.2.weight"][:, :, 0, 0] @ squeezed)))
        results.append(steered + image * factors.view(-1, 1, 1))
    return torch.stack(results)


def plain_dasr(state: dict[str, Tensor], x: Tensor, groups: int, blocks: int) -> Tensor:
    x = 255 * x
    mean = (255 * torch.tensor([0.4488, 0.4371, 0.4040])).to(x.dtype).view(1, 3, 1, 1)  # float32 at birth
    vector = lrelu(plain_encoder(state, x) @ state["generator.compress.weight"].T)
    first = features = conv(state, "generator.conv_first", x - mean)
    for group in range(groups):
        inner = features
        for number in range(blocks):
            name = f"generator.body.{group}.body.{number}"
            y = lrelu(slow_steered_conv(state, f"{name}.steered1", inner, vector))
            y = lrelu(conv(state, f"{name}.conv1", y))
            y = lrelu(slow_steered_conv(state, f"{name}.steered2", y, vector))
            inner = inner + conv(state, f"{name}.conv2", y)
        features = features + conv(state, f"generator.body.{group}.conv", inner)
    features = first + conv(state, "generator.conv_body", features)
    for number in (0, 1):
        y = conv(state, f"generator.upconvs.{number}", features)
        n, c, h, w = y.shape
        features = y.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)
    return (conv(state, "generator.conv_last", features) + mean) / 255


def test_parameters_are_those_of_the_paper():
    network = build("dasr", seed=0)
    assert isinstance(network, DASR)
    assert count(DASRTraining(network)) == 7_248_091
    assert count(network) == 5_837_723  # without key encoder and contrastive heads
    assert count(build("dasr", features=32, groups=3, blocks=3)) == 779_163


def test_shapes_of_the_branches():
    shapes = {name: tuple(t.shape) for name, t in build("dasr", seed=0).named_parameters()}
    convs = [shapes[f"encoder.layers.{number}.weight"][:2] for number in (0, 3, 6, 9, 12, 15)]
    assert convs == [(64, 3), (64, 64), (128, 64), (128, 128), (256, 128), (256, 256)]
    assert shapes["generator.compress.weight"] == (64, 256)
    assert shapes["generator.body.4.body.4.steered2.kernel.2.weight"] == (576, 64)
    assert shapes["generator.body.4.body.4.steered2.attention.0.weight"] == (8, 64, 1, 1)
    assert shapes["generator.body.4.body.4.steered2.conv.weight"] == (64, 64, 1, 1)
    assert shapes["generator.upconvs.1.weight"] == (256, 64, 3, 3)
    assert "generator.body.5.conv.weight" not in shapes
    assert "generator.body.0.body.5.conv1.weight" not in shapes
    assert "dasr" in TWO_BRANCH
    assert "dasr" not in NETWORKS


def test_forward_is_the_plain_functional_network(pairs):
    network = tiny()
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(torch.rand(buffer.shape) + 0.5)
        output = network(pairs[:, 0])
        expected = plain_dasr(dict(network.state_dict()), pairs[:, 0], groups=2, blocks=2)
    assert output.shape == (4, 3, 32, 48)
    assert torch.allclose(output, expected, rtol=1e-10, atol=1e-12)


def test_representation_steers_the_restoration(pairs):
    network = tiny()
    with torch.no_grad():
        representation = network.represent(pairs[:, 0])
        assert representation.shape == (4, 32)
        other = network.restore(pairs[:, 0], representation + 1)
        assert not torch.allclose(other, network(pairs[:, 0]), atol=1e-4)


def test_mean_colour_is_frozen_and_cancels():
    generator = tiny().generator
    image = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    assert torch.allclose(generator.add_mean(generator.subtract_mean(image)), image, rtol=0, atol=1e-5)
    shift = generator.subtract_mean(image) - image
    assert shift[0, :, 0, 0].tolist() == pytest.approx([-114.444, -111.4605, -103.02], rel=1e-6)
    frozen = {name for name, parameter in generator.named_parameters() if not parameter.requires_grad}
    assert frozen == {f"{place}_mean.{kind}" for place in ("add", "subtract") for kind in ("weight", "bias")}


@pytest.mark.parametrize("size", [3, 5])
def test_depthwise_each_is_a_loop_over_samples_and_channels(size):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 6, 7, generator=generator, dtype=torch.float64)
    kernels = torch.randn(3, 4, size, size, generator=generator, dtype=torch.float64)
    result = depthwise_each(x, kernels)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (size // 2, size // 2), (size // 2, size // 2)))
    for n, c, row, column in np.ndindex(x.shape):
        window = padded[n, c, row : row + size, column : column + size]
        assert float(result[n, c, row, column]) == pytest.approx((window * kernels[n, c].numpy()).sum(), abs=1e-12)


def test_steered_convolution_equals_a_loop_over_the_samples():
    torch.manual_seed(0)
    layer = DegradationAwareConv(16).double()
    x, vector = torch.randn(3, 16, 5, 6).double(), torch.randn(3, 16).double()
    with torch.no_grad():
        result = layer(x, vector)
        state = {f"layer.{name}": tensor for name, tensor in layer.state_dict().items()}
        assert torch.allclose(result, slow_steered_conv(state, "layer", x, vector), rtol=1e-11, atol=1e-13)
        assert torch.allclose(result[1:2], layer(x[1:2], vector[1:2]), rtol=1e-11, atol=1e-13)


def test_key_encoder_starts_equal_and_gets_no_gradient(pairs):
    model = training()
    contrast = model.momentum_contrast
    for key, query in (
        (contrast.key_encoder, model.network.encoder),
        (contrast.key_head, contrast.head),
    ):
        for slow, fast in zip(key.parameters(), query.parameters(), strict=True):
            assert torch.equal(slow, fast)
            assert slow is not fast
    restored, logits, keys = model(pairs)
    joint_loss(restored, torch.zeros_like(restored), logits).backward()
    assert not keys.requires_grad
    for name, parameter in model.named_parameters():
        is_key = name.startswith("momentum_contrast.key_")
        fixed = is_key or "_mean." in name
        assert (parameter.grad is None) == fixed, name
        assert parameter.requires_grad != fixed, name


def test_key_encoder_follows_by_momentum_and_only_then():
    model = training()
    contrast = model.momentum_contrast
    with torch.no_grad():
        for parameter in model.network.encoder.parameters():
            parameter += torch.randn(parameter.shape)
        for parameter in contrast.head.parameters():
            parameter += torch.randn(parameter.shape)
    keys = [*contrast.key_encoder.parameters(), *contrast.key_head.parameters()]
    queries = [*model.network.encoder.parameters(), *contrast.head.parameters()]
    before = [key.clone() for key in keys]
    expected = before
    for _ in range(3):
        model.follow()
        expected = [0.999 * key + 0.001 * query for key, query in zip(expected, queries, strict=True)]
    for key, start, value in zip(keys, before, expected, strict=True):
        assert torch.allclose(key, value, rtol=1e-12, atol=1e-15)
        assert not torch.equal(key, start)


def test_an_optimiser_over_all_parameters_leaves_the_key_encoder_alone(pairs):
    model = training(phase=EncoderTraining)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = copy.deepcopy(model.momentum_contrast.key_encoder.state_dict())
    encoder = copy.deepcopy(model.network.encoder.state_dict())
    contrastive_loss(model(pairs)[0]).backward()
    optimizer.step()
    for name, parameter in model.momentum_contrast.key_encoder.named_parameters():
        assert torch.equal(parameter, before[name])
    assert not torch.equal(model.network.encoder.layers[0].weight, encoder["layers.0.weight"])


def test_queue_is_first_in_first_out_across_its_end():
    contrast = MomentumContrast(Encoder(2), length=7)
    entered = torch.arange(1.0, 24.0).view(-1, 1).expand(-1, 8)
    start = contrast.queue[:, 0].tolist()
    expected = list(start)  # oldest first
    first = 0
    for size in (3, 3, 3, 2, 7, 1, 4):
        contrast.enqueue(entered[first : first + size])
        expected = (expected + entered[first : first + size, 0].tolist())[size:]
        first += size
        position = int(contrast.position)
        assert position == first % 7
        assert contrast.queue.roll(-position, 0)[:, 0].tolist() == expected
    assert (contrast.queue == contrast.queue[:, :1]).all()


def test_too_many_keys_for_the_queue():
    with pytest.raises(ValueError, match="8 keys do not fit into a queue of 7"):
        MomentumContrast(Encoder(2), length=7).enqueue(torch.zeros(8, 8))


def test_queue_as_in_the_paper():
    contrast = MomentumContrast(Encoder(64))
    assert contrast.queue.shape == (8192, 256)
    assert torch.allclose(contrast.queue.norm(dim=1), torch.ones(8192))
    assert (contrast.momentum, contrast.temperature) == (0.999, 0.07)
    assert {name for name, _ in contrast.named_buffers() if "." not in name} == {"queue", "position"}


def test_logits_are_cosines_with_the_own_key_first(pairs):
    model = training().eval()
    contrast = model.momentum_contrast
    with torch.no_grad():
        for parameter in contrast.key_head.parameters():
            parameter += 0.1
        queue = contrast.queue.clone()
        _, logits, keys = model(pairs)
        queries = contrast.head(model.network.encoder(255 * pairs[:, 0]))
        others = contrast.key_head(contrast.key_encoder(255 * pairs[:, 1]))
    assert logits.shape == (4, 17)
    assert torch.equal(contrast.queue, queue)
    for n in range(4):
        assert torch.allclose(keys[n], others[n] / others[n].norm(), rtol=1e-12)
        for column, key in enumerate([others[n], *queue]):
            cosine = float(queries[n] @ key / queries[n].norm() / key.norm())
            assert float(logits[n, column]) == pytest.approx(cosine / 0.07, rel=1e-6)  # unit keys of float32
    expected = -np.mean([float(row[0]) - math.log(sum(map(math.exp, row.tolist()))) for row in logits])
    assert float(contrastive_loss(logits)) == pytest.approx(expected, rel=1e-12)


def test_the_first_phase_has_the_state_and_the_contrast_of_the_second(pairs):
    model, first = training().eval(), training(phase=EncoderTraining).eval()
    first.load_state_dict(model.state_dict())
    assert {n for n, p in first.named_parameters() if p.requires_grad} == {
        n
        for n, p in model.named_parameters()
        if p.requires_grad and n.startswith(("network.encoder.", "momentum_contrast.head."))
    }
    with torch.no_grad():
        _, logits, keys = model(pairs)
        alone, same_keys = first(pairs)
    assert torch.equal(alone, logits)
    assert torch.equal(same_keys, keys)


def test_joint_loss_weighs_as_with_pixel_values_to_255(pairs):
    restored, truth = pairs[:, 0], pairs[:, 1]
    logits = torch.randn(4, 17, generator=torch.Generator().manual_seed(0)).double()
    released = (255 * restored - 255 * truth).abs().mean() + contrastive_loss(logits)
    assert float(joint_loss(restored, truth, logits)) == pytest.approx(float(released) / 255, rel=1e-12)


def test_encoder_learns_to_tell_degradations_apart():
    """A few steps of the whole procedure on images that differ in noise alone."""
    torch.manual_seed(0)
    model = EncoderTraining(tiny().float(), length=36, momentum=0.9).train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(60):
        strength = torch.linspace(0, 0.5, 8).view(8, 1, 1, 1, 1)
        images = torch.rand(8, 1, 3, 1, 1) + strength * torch.randn(8, 2, 3, 12, 12)
        logits, keys = model(images)
        loss = contrastive_loss(logits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.enqueue(keys)
        model.follow()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) / 5 < 0.8 * math.log(37)
    assert int(model.momentum_contrast.position) == 60 * 8 % 36 == 12


@pytest.mark.parametrize("scale", [2, 3])
def test_other_scales(random_image, scale):
    assert tiny(scale=scale)(random_image(5, 6)).shape == (1, 3, 5 * scale, 6 * scale)


def test_unknown_scale_is_refused():
    with pytest.raises(NetworkError, match="scale must be 2, 3 or 4, not 1"):
        build("dasr", scale=1)
