"""Units of other kinds than filters: where they are, what they sum up, and what putting one back changes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faiglib.attribution import faig, path_integral
from faiglib.errors import FilterError, NetworkError
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores, FilterSet, top_of
from faiglib.filters.substitution import substitute

pytestmark = pytest.mark.filterwarnings("ignore:.* lie in parameters that are not ranked")


class AsRows(nn.Module):
    """A layer that works on vectors, applied at every pixel."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.movedim(1, -1)).movedim(-1, 1)


class AlongRows(nn.Module):
    """A one-dimensional layer on the rows of pixels, one below the other."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        rows = self.layer(x.transpose(1, 2).reshape(batch * height, channels, width))
        return rows.view(batch, height, 3, -1).transpose(1, 2)


class Attending(nn.Module):
    """Pixels that attend to each other, as a transformer for images has them: units of every kind, a norm, a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.bias = nn.Parameter(torch.full((8, 1, 1), 0.1))
        self.up = nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.embed(x)
        tokens = self.norm(features.flatten(2).transpose(1, 2))
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        tokens = tokens + self.mlp(tokens)
        return self.up(tokens.transpose(1, 2).view_as(features) + self.bias)


#: Layers, the size of their output, and where a unit of kind "all" is: every one with one layer.
LAYERS = {
    "Conv2d": (lambda: nn.Conv2d(3, 3, 3, padding=1), lambda w, o, i: w[o, i]),
    "Conv2d in groups": (lambda: nn.Conv2d(3, 3, 3, padding=1, groups=3), lambda w, o, i: w[o, i]),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(3, 3, 4, stride=2, padding=1), lambda w, o, i: w[i, o]),
    "Conv1d": (lambda: AlongRows(nn.Conv1d(3, 3, 3, padding=1)), lambda w, o, i: w[o, i]),
    "Linear": (lambda: AsRows(nn.Linear(3, 3)), lambda w, o, i: w[o]),
}
#: The same for channels.
CHANNELS = {name: (lambda w, o, i: w[:, o]) if "Trans" in name else (lambda w, o, i: w[o]) for name in LAYERS}


def pair_of(name: str) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(4)
    target, baseline = (LAYERS[name][0]().double() for _ in range(2))
    return target, baseline


def scene(network: nn.Module) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, 6, 8, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        return image, torch.rand(network(image).shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("units", ["all", "channels"])
@pytest.mark.parametrize("name", LAYERS)
def test_one_layer_has_a_closed_form(name, units):
    """The loss is quadratic in the weights of one layer, so that the integral is the gradient in the middle."""
    target, baseline = pair_of(name)
    image, truth = scene(target)
    middle = LAYERS[name][0]().double()
    ends = [dict(network.named_parameters()) for network in (target, baseline)]
    with torch.no_grad():
        for key, parameter in middle.named_parameters():
            parameter.copy_((ends[0][key] + ends[1][key]) / 2)
    (middle(image) - truth).square().sum().backward()
    (key,) = (key for key in ends[0] if key.endswith("weight"))
    contributions = (middle.get_parameter(key).grad * (ends[1][key] - ends[0][key])).detach().numpy()
    found = faig(target, baseline, [(image, truth)], nodes=1, units=units)
    (layer,) = found.index.layers
    place = LAYERS[name][1] if units == "all" else CHANNELS[name]
    expected = [
        np.abs(place(contributions, output, input_)).sum()
        for output, input_ in itertools.product(range(layer.outputs), range(layer.inputs))
    ]
    assert found.values.numpy() == pytest.approx(np.array(expected), rel=1e-10)


@pytest.mark.parametrize("units", ["all", "channels"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_unit_put_back_is_that_unit_and_no_other(name, units):
    target, baseline = pair_of(name)
    index = FilterIndex.of(target, units)
    (key,) = index.names
    place = LAYERS[name][1] if units == "all" else CHANNELS[name]
    for number in range(index.total):
        where = index.locate(number)
        assert index.id_of(where) == number
        changed = substitute(target, baseline, FilterSet(index, torch.tensor([number])))
        expected = target.get_parameter(key).detach().clone()
        place(expected, where.output, where.input).copy_(
            place(baseline.get_parameter(key).detach(), where.output, where.input)
        )
        assert torch.equal(changed.get_parameter(key), expected)


def test_filters_are_those_of_two_dimensional_convolutions_as_before():
    network = Attending()
    assert FilterIndex.of(network).names == ("embed.weight",)
    names = ("embed.weight", "attention.in_proj_weight", "attention.out_proj.weight")
    assert FilterIndex.of(network, "all").names == (*names, "mlp.0.weight", "mlp.2.weight", "up.weight")
    kinds = {layer.name: layer.kind for layer in FilterIndex.of(network, "all").layers}
    assert kinds["attention.in_proj_weight"] == kinds["mlp.0.weight"] == "rows"
    assert (kinds["up.weight"], kinds["embed.weight"]) == ("transposed filters", "filters")
    assert {layer.kind for layer in FilterIndex.of(network, "channels").layers} == {"rows", "columns"}


def test_all_units_of_an_attention_network_hold_its_integral(make_pair, random_pairs):
    """The integral is complete over all parameters; what no unit holds is the norm, and biases."""
    target, baseline = make_pair(Attending, step=0.1)
    (image,) = random_pairs(1, 6)
    whole = path_integral(target, baseline, *image, nodes=64)
    change = whole.loss_at_baseline - whole.loss_at_target
    assert abs(whole.convergence_delta) < 1e-3 * abs(change)
    scores = faig(target, baseline, [image], nodes=64, units="all")
    held = sum(float(value.abs().sum()) for name, value in whole.contributions.items() if name in scores.index.names)
    assert float(scores.values.sum()) == pytest.approx(held, rel=1e-9)
    outside = {name for name in whole.contributions if name not in scores.index.names}
    assert {"norm.weight", "norm.bias", "bias", "embed.bias"} <= outside
    with pytest.warns(UserWarning, match=r"the filters of the convolutions \(nn\.Conv2d\) hold \d+% of the path"):
        faig(target, baseline, [image], nodes=1)


def test_scores_of_any_units_come_back_from_a_file(tmp_path):
    for units in ("filters", "channels", "all"):
        index = FilterIndex.of(Attending(), units)
        scores = FilterScores(index, torch.arange(index.total, dtype=torch.float64))
        scores.save(tmp_path / "scores.safetensors")
        again = FilterScores.load(tmp_path / "scores.safetensors")
        assert again.index == index
        assert torch.equal(again.values, scores.values)
    other = FilterScores(FilterIndex.of(Attending()), torch.zeros(24))
    with pytest.raises(FilterError, match="different"):
        again - other


def test_sets_of_one_kind_do_not_fit_another():
    target = Attending()
    channels = top_of(FilterIndex.of(target, "channels"), torch.arange(3), 100)
    assert len(channels) == 3
    twin = FilterIndex(channels.index.layers)  # of another kind by its name
    with pytest.raises(FilterError, match="other convolutions"):
        substitute(target, Attending(), FilterSet(twin, channels.ids))


def test_what_has_no_such_unit_is_one_sentence():
    with pytest.raises(NetworkError, match=r"PReLU has no layer whose filters and rows could be analysed"):
        FilterIndex.of(nn.PReLU(), "all")
    grouped = nn.ConvTranspose2d(4, 4, 3, groups=2)
    with pytest.raises(NetworkError, match="weight is a transposed convolution in groups"):
        FilterIndex.of(grouped, "channels")
    assert FilterIndex.of(grouped, "all").total == 8
    with pytest.raises(ValueError, match="units must be one of filters, channels, all, heads, not 'tokens'"):
        FilterIndex.of(nn.Linear(2, 2), "tokens")


# ---------------------------------------------------------------- heads of attention


class Fused(nn.Module):
    """Attention as vision transformers have it: one projection to queries, keys and values, and one of the output."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.num_heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(x).view(batch, count, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        found = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        return self.proj(found.transpose(1, 2).reshape(batch, count, width))


class WithHeads(nn.Module):
    """Both kinds of attention on the pixels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 1)
        self.first = nn.MultiheadAttention(8, 4, batch_first=True)
        self.second = Fused()
        self.back = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.embed(x)
        tokens = features.flatten(2).mT
        tokens = tokens + self.first(tokens, tokens, tokens, need_weights=False)[0]
        tokens = tokens + self.second(tokens)
        return self.back(tokens.mT.view_as(features))


#: Weights of the heads, and how many there are.
ATTENTIONS = {("first.in_proj_weight", "first.out_proj.weight"): 4, ("second.qkv.weight", "second.proj.weight"): 2}


def attending_pair() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(5)
    return WithHeads().double().eval(), WithHeads().double().eval()


def places(head: int, heads: int, width: int = 8) -> tuple[list[int], list[int]]:
    """Rows of the first weight and columns of the second that are a head's."""
    own = list(range(head * width // heads, (head + 1) * width // heads))
    return [block * width + row for block in range(3) for row in own], own


def test_heads_are_their_rows_of_q_k_and_v_and_their_columns_of_the_output(random_pairs):
    target, baseline = attending_pair()
    images = random_pairs(2, scale=1)
    scores = faig(target, baseline, images, nodes=4, units="heads")
    assert scores.index.total == 6
    found = [path_integral(target, baseline, *pair, nodes=4).contributions for pair in images]
    expected = [
        np.mean([float(one[a][rows].abs().sum() + one[b][:, columns].abs().sum()) for one in found])
        for (a, b), heads in ATTENTIONS.items()
        for rows, columns in (places(head, heads) for head in range(heads))
    ]
    assert scores.values.tolist() == pytest.approx(expected, rel=1e-10)


def test_putting_a_head_back_changes_its_weights_alone():
    target, baseline = attending_pair()
    index = FilterIndex.of(target, "heads")
    changed = substitute(target, baseline, FilterSet(index, torch.tensor([2, 4]))).state_dict()
    new, old = target.state_dict(), baseline.state_dict()
    for ((a, b), heads), head in zip(ATTENTIONS.items(), (2, 0), strict=True):
        rows, columns = places(head, heads)
        new[a][rows], new[b][:, columns] = old[a][rows], old[b][:, columns]
    assert all(torch.equal(changed[name], value) for name, value in new.items())


def test_what_a_head_does_goes_through_its_own_weights():
    """Without its columns of the output, whatever else a head is changes nothing: the modules are cut the same way."""
    target, _ = attending_pair()
    image = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    for (a, b), heads in ATTENTIONS.items():
        rows, columns = places(1, heads)
        with torch.no_grad():
            dict(target.named_parameters())[b][:, columns] = 0
            before = target(image)
            dict(target.named_parameters())[a][rows] += 1
        assert torch.allclose(target(image), before, atol=1e-12)


def test_scores_of_heads_come_back_from_a_file(tmp_path, random_pairs):
    target, baseline = attending_pair()
    scores = faig(target, baseline, random_pairs(1, scale=1), nodes=1, units="heads")
    scores.save(tmp_path / "scores.safetensors")
    back = FilterScores.load(tmp_path / "scores.safetensors")
    assert back.index == scores.index
    assert torch.equal(back.values, scores.values)


def test_what_has_no_heads_is_refused():
    with pytest.raises(NetworkError, match="no layer whose heads"):
        FilterIndex.of(nn.Conv2d(3, 3, 1), "heads")
    with pytest.raises(NetworkError, match="0 projects queries, keys and values of different widths apart"):
        FilterIndex.of(nn.Sequential(nn.MultiheadAttention(8, 2, kdim=4, vdim=4)), "heads")
    odd = Fused()
    odd.num_heads = 3
    with pytest.raises(NetworkError, match="no layer whose heads"):
        FilterIndex.of(odd, "heads")
