"""Networks in tiles against the same networks on whole images, in float64: equal up to rounding, or refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faiglib.attribution.gradients import Gradients
from faiglib.attribution.parameter_path import squared_error
from faiglib.errors import FaiglibError, NetworkError
from faiglib.images.restoration import restore
from faiglib.system.passes import activation_bytes, restoring_bytes
from faiglib.system.tiling import parameters_moved


class Convolutions(nn.Module):
    """Three convolutions, two of which subclasses may use as they like."""

    def __init__(self, width: int = 4, **options: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, width, 3, padding=1)
        self.b = nn.Conv2d(width, width, 3, padding=1)
        self.c = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.tanh(self.inner(torch.tanh(self.a(x)))))

    def inner(self, x: Tensor) -> Tensor:
        return self.b(x)


def with_inner(name: str, inner) -> type[Convolutions]:
    return type(name, (Convolutions,), {"inner": inner})


class Strided(Convolutions):
    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        self.b = nn.Conv2d(4, 4, 3, stride=stride, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, stride, stride)

    def inner(self, x: Tensor) -> Tensor:
        return self.up(torch.tanh(self.b(x)))


class ByThree(Strided):
    def __init__(self) -> None:
        super().__init__(3)


class Unshuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(12, 6, 3, padding=1), nn.Conv2d(6, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.b(torch.tanh(self.a(F.pixel_unshuffle(x, 2)))), 2)


class UNet(Convolutions):
    """Two halvings, and what was before them added after."""

    def forward(self, x: Tensor) -> Tensor:
        first = torch.tanh(self.a(x))
        second = torch.tanh(self.b(F.avg_pool2d(first, 2)))
        third = self.b(F.max_pool2d(second, 2))
        second = second + F.interpolate(third, scale_factor=2.0)
        return self.c(first + F.interpolate(second, scale_factor=2.0))


class Halving(Convolutions):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(4, 3, 3, stride=2, padding=1)


class Transposed(Convolutions):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1)


class Dilated(Convolutions):
    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Conv2d(4, 4, 3, padding=4, dilation=4)


class Reflecting(Convolutions):
    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Conv2d(4, 4, 5, padding=2, padding_mode="reflect")


def windows(self, x: Tensor) -> Tensor:
    """Attention within windows of 4 x 4 pixels."""
    n, c, h, w = x.shape
    cut = self.b(x).reshape(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
    mixed = torch.softmax(cut @ cut.transpose(1, 2), -1) @ cut
    return mixed.reshape(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4).reshape(x.shape)


def attention(self, x: Tensor) -> Tensor:
    flat = self.b(x).flatten(2).transpose(1, 2)
    return (torch.softmax(flat @ flat.transpose(1, 2), -1) @ flat).transpose(1, 2).reshape(x.shape)


LOCAL = [
    (Convolutions, 1), (Strided, 1), (ByThree, 1), (Unshuffle, 1), (UNet, 1), (Halving, 0.5), (Transposed, 2),
    (Dilated, 1), (Reflecting, 1), (with_inner("Windows", windows), 1),
    (with_inner("MaxPool", lambda self, x: F.interpolate(F.max_pool2d(self.b(x), 2), scale_factor=2.0)), 1),
    (with_inner("Linear", lambda self, x: F.interpolate(F.avg_pool2d(x, 4), scale_factor=4.0, mode="bilinear")), 1),
]  # fmt: skip
WIDE = [
    with_inner("Mean", lambda self, x: self.b(x) * (1 + x.mean((2, 3), keepdim=True))),
    with_inner("InstanceNorm", lambda self, x: F.instance_norm(self.b(x))),
    with_inner("Excitation", lambda self, x: self.b(x) * torch.sigmoid(20 * F.adaptive_avg_pool2d(x, 1))),
    with_inner("Attention", attention),
    with_inner("Largest", lambda self, x: self.b(x) / x.abs().amax((2, 3), keepdim=True)),
    with_inner("Place", lambda self, x: self.b(x) * torch.linspace(0, 1, x.shape[-1], dtype=x.dtype)),
    with_inner(
        "Fourier", lambda self, x: torch.fft.irfft2(torch.fft.rfft2(self.b(x)) * 0.5, x.shape[-2:]) + x.roll(9, -1)
    ),
]


def names(values):
    return [(value[0] if isinstance(value, tuple) else value).__name__ for value in values]


def made(make: type[nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().double().eval()


def picture(height: int, width: int, kind: str = "noise") -> Tensor:
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    if kind == "black border":
        image[..., :18, :] = image[..., -18:, :] = image[..., :18] = image[..., -18:] = 0
    return torch.zeros_like(image) if kind == "black" else image


def gradients(network: nn.Module, inputs: Tensor, count: int, loss=squared_error) -> list[Tensor]:
    with torch.no_grad():
        truth = torch.zeros_like(network(inputs))
    engine = Gradients(network)
    engine.tiling.counts[inputs.shape[-2], inputs.shape[-1]] = count
    return engine(list(network.parameters()), inputs, truth, loss)


def assert_equal_up_to_rounding(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-11 * max(1.0, float(other.abs().max())))


@pytest.mark.parametrize(("height", "width"), [(72, 96), (96, 60)])
@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize(("make", "scale"), LOCAL, ids=names(LOCAL))
def test_tiles_give_what_the_whole_gives(make, scale, count, height, width):
    network, image = made(make), picture(height, width)
    assert_equal_up_to_rounding(gradients(network, image, count), gradients(network, image, 1))


@pytest.mark.parametrize("kind", ["noise", "black border", "black"])
@pytest.mark.parametrize("make", WIDE, ids=names(WIDE))
def test_what_depends_on_more_than_the_surroundings_is_refused(make, kind):
    """The noise that is tried decides, so that a dark picture hides nothing."""
    with pytest.raises(NetworkError, match=f"{make.__name__} looks further than its convolutions reach"):
        gradients(made(make), picture(48, 48, kind), 2)


@pytest.mark.parametrize("limit", [0.6, 0.3])
@pytest.mark.parametrize(("make", "scale"), LOCAL, ids=names(LOCAL))
def test_a_limit_restores_the_same_image(make, scale, limit):
    network, image = made(make), picture(96, 84)
    whole = restore(network, image)
    assert tuple(whole.shape[-2:]) == (int(scale * 96), int(scale * 84))
    bytes_ = int(limit * restoring_bytes(network, tuple(image.shape)))
    # Rounding may put a value of k + 1/2 levels on either side.
    assert float((restore(network, image, bytes_) - whole).abs().max()) <= 1 / 255 + 1e-12
    assert float((restore(network, image, bytes_) != whole).double().mean()) < 1e-3


def test_restoring_halves_when_the_memory_runs_out():
    class Greedy(Strided):
        def forward(self, x: Tensor) -> Tensor:
            if x.shape[-1] * x.shape[-2] > 5000:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            return super().forward(x)

    image = picture(96, 96)
    assert torch.equal(restore(made(Greedy), image), restore(made(Strided), image))
    with pytest.raises(FaiglibError, match="the memory does not suffice for a 12x12 image"):
        restore(made(with_inner("Never", lambda self, x: (_ for _ in ()).throw(MemoryError()))), picture(12, 12))


def test_restoring_refuses_what_cannot_be_cut():
    network, image = made(WIDE[0]), picture(96, 96)
    with pytest.raises(NetworkError, match="Mean looks further"):
        restore(network, image, restoring_bytes(network, tuple(image.shape)) // 2)


# ---------------------------------------------------------------- losses

SUMS = {
    "squares": lambda output, truth: (output - truth).square().sum(),
    "absolute": lambda output, truth: (output - truth).abs().sum(),
    "weighted": lambda output, truth: 3 * F.smooth_l1_loss(output, truth, reduction="sum"),
    "offset": lambda output, truth: (output - truth).square().sum() + 7,
    "output alone": lambda output, truth: output.exp().sum(),
}
NO_SUMS = {
    "mean": lambda output, truth: (output - truth).square().mean(),
    "root": lambda output, truth: (output - truth).square().sum().sqrt(),
    "mean of l1": F.l1_loss,
    "variation": lambda output, truth: output.diff(dim=-1).square().sum() + (output - truth).square().sum(),
    "level": lambda output, truth: (output.mean() - truth.mean()).square() + (output - truth).square().sum(),
    "largest": lambda output, truth: (output - truth).abs().max(),
}


@pytest.mark.parametrize("loss", SUMS.values(), ids=SUMS)
def test_losses_that_are_sums_may_be_cut(loss):
    network, image = made(Convolutions), picture(60, 60)
    assert_equal_up_to_rounding(gradients(network, image, 4, loss), gradients(network, image, 1, loss))


@pytest.mark.parametrize("loss", NO_SUMS.values(), ids=NO_SUMS)
def test_losses_that_are_no_sums_are_refused_in_tiles(loss):
    network, image = made(Convolutions), picture(60, 60)
    assert len(gradients(network, image, 1, loss)) == 6
    with pytest.raises(FaiglibError, match="the loss is no sum over pixels"):
        gradients(network, image, 2, loss)


def test_probing_costs_nothing_where_nothing_is_cut(monkeypatch):
    network, calls = made(Convolutions), []
    network.register_forward_hook(lambda *_: calls.append(1))
    Gradients(network, 10**12)(list(network.parameters()), picture(40, 40), picture(40, 40), squared_error)
    assert len(calls) <= 2  # the pass itself, and the one without values that counts its bytes


def test_memory_is_counted_alike_for_passes_that_keep_nothing():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 3, padding=1))
    assert restoring_bytes(network, (1, 3, 20, 30)) == 4 * 4 * 8 * 20 * 30
    assert restoring_bytes(network, (1, 3, 20, 30)) <= 4 * activation_bytes(network, (1, 3, 20, 30))


class Gated(Convolutions):
    """Means of the whole image behind a gate that nothing has opened yet."""

    def __init__(self, gate: str) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(1)) if gate == "scalar" else nn.Conv2d(3, 3, 1)
        if isinstance(self.gate, nn.Conv2d):
            nn.init.zeros_(self.gate.weight), nn.init.zeros_(self.gate.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        mean = inputs.mean((2, 3), keepdim=True)
        return super().forward(inputs) + (self.gate(mean) if isinstance(self.gate, nn.Conv2d) else self.gate * mean)


@pytest.mark.parametrize("gate", ["scalar", "convolution"])
def test_what_a_closed_gate_hides_is_refused_for_gradients_and_restored_in_tiles(gate):
    """∂L/∂gate needs the whole image although the output does not."""
    torch.manual_seed(0)
    network, image = Gated(gate), torch.rand(1, 3, 96, 96)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    gradients = Gradients(network, memory_limit=activation_bytes(network, (1, 3, 96, 96)) // 3)
    with pytest.raises(NetworkError, match="looks further than its convolutions reach"):
        gradients(list(network.parameters()), image, None, lambda output, _: output.square().sum())
    assert all(torch.equal(one, two) for one, two in zip(before, network.parameters(), strict=True))
    limit = restoring_bytes(network, (1, 3, 96, 96)) // 3
    assert torch.allclose(restore(network, image, limit), restore(network, image), atol=1e-6)


def test_parameters_come_back_after_an_error():
    network = Convolutions()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    with suppress(RuntimeError), parameters_moved(network):
        assert not any(torch.equal(one, two) for one, two in zip(before, network.parameters(), strict=True))
        raise RuntimeError("while they are elsewhere")
    assert all(torch.equal(one, two) for one, two in zip(before, network.parameters(), strict=True))
