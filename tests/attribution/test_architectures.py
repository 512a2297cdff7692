"""Networks built as SwinIR, RCAN and NAFNet are: everything that has weights holds its part of the integral."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faiglib.attribution import faig, path_integral

WINDOW = 3
pytestmark = pytest.mark.filterwarnings("ignore:.* lie in parameters that are not ranked")


class WindowAttention(nn.Module):
    """Attention of the pixels of a window to each other, with one bias for each relative position and head."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.relative_position_bias_table = nn.Parameter(
            torch.linspace(-1, 1, (2 * WINDOW - 1) ** 2 * heads).view(-1, heads)
        )
        places = torch.cartesian_prod(torch.arange(WINDOW), torch.arange(WINDOW))
        apart = places[:, None] - places[None] + WINDOW - 1
        self.register_buffer("relative_position_index", apart[..., 0] * (2 * WINDOW - 1) + apart[..., 1])

    def forward(self, windows: Tensor) -> Tensor:
        count, pixels, channels = windows.shape
        q, k, v = self.qkv(windows).view(count, pixels, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(count, pixels, channels))


class SwinBlock(nn.Module):
    """Windows, shifted or not, then a perceptron at every pixel."""

    def __init__(self, channels: int, heads: int, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads)
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        y = torch.roll(self.norm1(x), (-self.shift, -self.shift), (1, 2))
        y = y.view(batch, height // WINDOW, WINDOW, width // WINDOW, WINDOW, channels).transpose(2, 3)
        y = self.attn(y.reshape(-1, WINDOW**2, channels))
        y = y.view(batch, height // WINDOW, width // WINDOW, WINDOW, WINDOW, channels).transpose(2, 3)
        x = x + torch.roll(y.reshape(batch, height, width, channels), (self.shift, self.shift), (1, 2))
        return x + self.mlp(self.norm2(x))


class Swin(nn.Module):
    """As SwinIR: convolutions around blocks of attention, pixels shuffled up."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_first = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(SwinBlock(8, 2, 0), SwinBlock(8, 2, 1))
        self.norm = nn.LayerNorm(8)
        self.upsample = nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv_first(x)
        deep = self.norm(self.blocks(features.movedim(1, -1))).movedim(-1, 1)
        return F.pixel_shuffle(self.upsample(features + deep), 2)


class ChannelAttention(nn.Module):
    """As RCAN's blocks: channels weighted by what their means say."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.SiLU(), nn.Conv2d(2, 8, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(x)
        return x + features * self.weigh(features)


class Rcan(nn.Module):
    """As RCAN: residual blocks with channel attention; its ReLU made smooth, so that the integral converges."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.body = nn.Sequential(ChannelAttention(), ChannelAttention())

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.tail(self.body(self.head(x))), 2)


class NafBlock(nn.Module):
    """As NAFNet's: a norm over channels, a depthwise convolution, a gate that multiplies halves, learned scales."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.beta = nn.Parameter(torch.full((1, channels, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.conv2(self.conv1(self.norm(x))).chunk(2, dim=1)
        gated = first * second
        return x + self.beta * self.conv3(gated * self.sca(gated))


class Naf(nn.Module):
    """As NAFNet: down by a strided convolution, blocks, up by shuffled pixels, and the input added."""

    def __init__(self) -> None:
        super().__init__()
        self.intro, self.ending = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.down, self.up = nn.Conv2d(4, 8, 2, stride=2), nn.Conv2d(8, 16, 1, bias=False)
        self.middle = nn.Sequential(NafBlock(), NafBlock())

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2)
        features = self.intro(x)
        return x + self.ending(features + F.pixel_shuffle(self.up(self.middle(self.down(features))), 2))


@pytest.mark.parametrize("architecture", [Swin, Rcan, Naf])
def test_all_parameters_together_hold_the_change_of_the_loss(architecture, make_pair, random_pairs):
    target, baseline = make_pair(architecture, step=0.3)
    ((image, truth),) = random_pairs(1, 6)
    whole = path_integral(target, baseline, image, truth, rule="gauss-legendre", nodes=24)
    with torch.no_grad():
        ends = [float(((network(image) - truth) ** 2).sum()) for network in (target, baseline)]
    assert [whole.loss_at_target, whole.loss_at_baseline] == pytest.approx(ends, rel=1e-10)
    assert set(whole.contributions) == {name for name, _ in target.named_parameters()}
    assert abs(ends[1] - ends[0]) > 0.01 * ends[0], "the ends differ"
    assert abs(whole.convergence_delta) < 1e-6 * abs(ends[1] - ends[0])


@pytest.mark.parametrize("architecture", [Swin, Rcan, Naf])
@pytest.mark.parametrize("units", ["all", "channels"])
def test_units_hold_what_their_weights_hold(architecture, units, make_pair, random_pairs):
    target, baseline = make_pair(architecture, step=0.3)
    (scene,) = random_pairs(1, 6)
    whole = path_integral(target, baseline, *scene, nodes=8)
    scores = faig(target, baseline, [scene], nodes=8, units=units)
    by_layer = {layer.name: float(values.sum()) for layer, values in scores.index.split(scores.values)}
    held = {name: float(whole.contributions[name].abs().sum()) for name in scores.index.names}
    assert by_layer == pytest.approx(held, rel=1e-9)
    weights = {name for name, value in target.named_parameters() if name.endswith("weight") and value.dim() > 1}
    assert set(held) == weights, "every matrix and every kernel is ranked"


def test_heads_of_windows_are_found(make_pair, random_pairs):
    target, baseline = make_pair(Swin, step=0.3)
    scores = faig(target, baseline, random_pairs(1, 6), nodes=2, units="heads")
    assert scores.index.total == 2 * 2, "two heads in each of two blocks"
