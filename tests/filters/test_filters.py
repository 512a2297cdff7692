"""Filter numbers, sets, scores and ranking files."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

import faiglib
from faiglib.attribution import random_scores
from faiglib.errors import FilterError, NetworkError
from faiglib.filters.index import FilterIndex, Layer, Location, same_layers
from faiglib.filters.scores import FilterScores, FilterSet, count_of, read_ranking, top_of, write_ranking
from faiglib.networks import build


@st.composite
def networks(draw) -> nn.Module:
    """Stacks of convolutions of any kernel, some grouped, nested, between other layers."""
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        groups = draw(st.integers(1, 3))
        kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
        layer: nn.Module = nn.Conv2d(
            groups * draw(st.integers(1, 4)),
            groups * draw(st.integers(1, 4)),
            kernel,
            groups=groups,
            bias=draw(st.booleans()),
        )
        if draw(st.booleans()):
            layer = nn.Sequential(nn.BatchNorm2d(2), layer, nn.PReLU())
        layers.append(layer)
        if draw(st.booleans()):
            layers.append(draw(st.sampled_from([nn.ReLU(), nn.Linear(2, 3), nn.Conv1d(2, 2, 3), nn.PixelShuffle(2)])))
    return nn.Sequential(*layers)


def enumerate_filters(network: nn.Module) -> list[tuple[str, int, int]]:
    """All filters as released: along the state dict, then outputs, then inputs."""
    return [
        (name, output, input_)
        for name, tensor in network.state_dict().items()
        if tensor.dim() == 4
        for output in range(tensor.shape[0])
        for input_ in range(tensor.shape[1])
    ]


@given(networks())
def test_ids_and_places_are_a_bijection_in_the_released_order(network):
    index = FilterIndex.of(network)
    places = enumerate_filters(network)
    assert index.total == len(places)
    for number, place in enumerate(places):
        assert index.locate(number) == Location(*place)
        assert index.id_of(Location(*place)) == number
    assert [index.names[k] for k in index.layer_numbers().tolist()] == [name for name, _, _ in places]
    for layer in index.layers:
        assert (layer.outputs, layer.inputs, *layer.kernel) == tuple(network.state_dict()[layer.name].shape)


@given(networks(), st.integers(0, 2**31))
def test_gather_and_split_follow_the_ids(network, seed):
    index = FilterIndex.of(network)
    generator = torch.Generator().manual_seed(seed)
    values = {
        name: torch.randn(tensor.shape, generator=generator)
        for name, tensor in network.state_dict().items()
        if tensor.dim() == 4
    }
    gathered = index.gather(values)
    expected = [
        np.abs(values[name].numpy()[o, i].astype(np.float64)).sum() for name, o, i in enumerate_filters(network)
    ]
    assert gathered.numpy() == pytest.approx(np.array(expected), rel=1e-12)
    pieces = list(index.split(gathered))
    assert [layer.name for layer, _ in pieces] == list(index.names)
    assert torch.equal(torch.cat([piece.flatten() for _, piece in pieces]), gathered)


@given(networks(), st.data())
def test_masks_cover_exactly_the_filters_of_the_set(network, data):
    index = FilterIndex.of(network)
    ids = data.draw(st.sets(st.integers(0, index.total - 1)))
    masks = FilterSet(index, torch.tensor(sorted(ids), dtype=torch.int64)).masks()
    places = {place for number, place in enumerate(enumerate_filters(network)) if number in ids}
    assert set(masks) == {name for name, _, _ in places}
    state = network.state_dict()
    for name, mask in masks.items():
        assert mask.dtype == torch.bool
        assert mask.shape == (*state[name].shape[:2], 1, 1)
        assert mask.expand(state[name].shape).shape == state[name].shape
        assert {(name, o, i) for o, i, _, _ in mask.nonzero().tolist()} == {p for p in places if p[0] == name}


@given(networks())
def test_ids_and_places_outside_are_refused(network):
    index = FilterIndex.of(network)
    for number in (-1, index.total, index.total + 5):
        with pytest.raises(FilterError, match=f"no filter {number}: ids go from 0 to {index.total - 1}"):
            index.locate(number)
    layer = index.layers[0]
    for place in [
        ("elsewhere.weight", 0, 0),
        (layer.name, layer.outputs, 0),
        (layer.name, 0, layer.inputs),
        (layer.name, -1, 0),
        (layer.name, 0, -1),
    ]:
        with pytest.raises(FilterError, match="there is no filter at"):
            index.id_of(Location(*place))


def test_the_released_numbers_of_the_paper_networks():
    srcnn = FilterIndex.of(build("srcnn_style", seed=0))
    assert srcnn.locate(0) == Location("features.0.weight", 0, 0)
    assert srcnn.locate(191) == Location("features.0.weight", 63, 2)
    assert srcnn.locate(192) == Location("features.2.weight", 0, 0)
    assert srcnn.locate(156_223) == Location("features.17.weight", 2, 127)
    srresnet = FilterIndex.of(build("srresnet", seed=0))
    assert srresnet.locate(192 + 4096 + 65) == Location("body.0.conv2.weight", 1, 1)
    assert srresnet.locate(151_935) == Location("conv_last.weight", 2, 63)


def test_a_convolution_can_be_the_whole_network():
    index = FilterIndex.of(nn.Conv2d(2, 3, (5, 1)))
    assert index.layers == (Layer("weight", 3, 2, (5, 1)),)


def test_a_module_used_twice_counts_once():
    conv = nn.Conv2d(2, 2, 3)
    network = nn.Sequential(conv, nn.ReLU(), conv)
    assert FilterIndex.of(network).names == ("0.weight",)


def test_weights_shared_by_modules_count_once():
    network = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 1))
    network[1].weight = network[0].weight
    assert FilterIndex.of(network).names == ("0.weight", "2.weight")


def test_transposed_and_one_dimensional_convolutions_are_no_filters():
    with pytest.raises(NetworkError, match="Sequential has no convolution"):
        FilterIndex.of(nn.Sequential(nn.ConvTranspose2d(2, 2, 3), nn.Conv1d(2, 2, 3), nn.Conv3d(2, 2, 3)))


@pytest.mark.parametrize("normalise", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_computed_weights_are_refused(normalise):
    network = nn.Sequential(nn.ReLU(), normalise(nn.Conv2d(2, 2, 3)))
    with pytest.raises(NetworkError, match="the weight of 1 is computed from other parameters"):
        FilterIndex.of(network)


def test_same_layers(small):
    index = same_layers([small(), small(), small()])
    assert index == FilterIndex.of(small())
    assert hash(index) == hash(FilterIndex.of(small()))
    with pytest.raises(NetworkError, match="must be of one architecture"):
        same_layers([small(), small(), small(kernels=(3, 5))])


# ---------------------------------------------------------------- sets


@pytest.fixture(scope="module")
def index() -> FilterIndex:
    return FilterIndex((Layer("a.weight", 4, 5, (3, 3)), Layer("b.weight", 8, 10, (1, 1))))


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("srcnn_style", {0: 0, 1: 1562, 3: 4686, 5: 7811, 10: 15622, 50: 78112, 100: 156224}),
        ("srresnet", {0: 0, 1: 1519, 3: 4558, 5: 7596, 10: 15193, 50: 75968, 100: 151936}),
    ],
)
def test_sizes_of_the_sets_of_the_paper(name, counts):
    index = FilterIndex.of(build(name, seed=0))
    assert {percent: count_of(index, percent) for percent in counts} == counts
    scores = random_scores(index, 0)
    assert [len(scores.top(percent)) for percent in (1, 5)] == [counts[1], counts[5]]


@given(st.integers(1, 200_000), st.integers(0, 100_000))
@example(1000, 32_300)
@example(10_000, 570)
def test_percentages_are_exact_decimals(total, thousandths):
    """Neither 32.3 % of 1000 (323) nor 0.57 % of 10000 (57) suffers from binary fractions."""
    index = FilterIndex((Layer("a.weight", total, 1, (3, 3)),))
    percent = thousandths / 1000
    assert count_of(index, percent) == total * thousandths // 100_000 == int(Fraction(thousandths, 100_000) * total)


@pytest.mark.parametrize("percent", [-0.1, -1, 100.1, 1000, float("nan"), float("inf")])
def test_impossible_percentages_are_refused(index, percent):
    with pytest.raises(FilterError, match="between 0 and 100"):
        count_of(index, percent)


@given(st.data())
def test_overlap_is_that_of_python_sets(index, data):
    draw = st.sets(st.integers(0, index.total - 1), min_size=1)
    first, second = data.draw(draw), data.draw(draw)
    sets = [FilterSet(index, torch.tensor(list(ids))) for ids in (first, second)]
    overlap = sets[0].overlap(sets[1])
    assert overlap == pytest.approx(len(first & second) / len(first))
    assert 0 <= overlap <= 1
    assert sets[0].overlap(sets[0]) == 1
    assert overlap * len(first) == pytest.approx(sets[1].overlap(sets[0]) * len(second))


def test_overlap_needs_filters_of_one_network(index):
    some, none = FilterSet(index, torch.tensor([1, 2])), FilterSet(index, torch.tensor([], dtype=torch.int64))
    assert some.overlap(none) == 0
    with pytest.raises(FilterError, match="empty filter set"):
        none.overlap(some)
    twin = FilterIndex((Layer("c.weight", 10, 10, (3, 3)),))
    with pytest.raises(FilterError, match="different convolutions"):
        some.overlap(FilterSet(twin, torch.tensor([1, 2])))


def test_a_set_is_sorted_and_counted(index):
    chosen = FilterSet(index, torch.tensor([70, 3, 99], dtype=torch.int32))
    assert chosen.ids.tolist() == [3, 70, 99]
    assert chosen.ids.dtype == torch.int64
    assert len(chosen) == 3
    assert chosen.member().nonzero().flatten().tolist() == [3, 70, 99]


@pytest.mark.parametrize(
    ("ids", "reason"),
    [([0, 100], "no filter 100: ids go from 0 to 99"), ([-1, 5], "no filter -1"), ([5, 3, 5], "a filter twice")],
)
def test_impossible_sets_are_refused(index, ids, reason):
    with pytest.raises(FilterError, match=reason):
        FilterSet(index, torch.tensor(ids))


# ---------------------------------------------------------------- scores and rankings


def test_ranking_is_descending_and_ties_are_ascending_ids(index):
    values = torch.tensor(np.random.default_rng(0).integers(0, 7, 100), dtype=torch.float64)
    expected = sorted(range(100), key=lambda k: (-values[k].item(), k))
    scores = FilterScores(index, values)
    assert scores.ranking().tolist() == expected
    assert scores.top(13).ids.tolist() == sorted(expected[:13])
    assert top_of(index, scores.ranking(), 100).ids.tolist() == list(range(100))


def test_elimination_subtracts(index):
    first, second = (random_scores(index, seed) for seed in (0, 1))
    assert np.array_equal((first - second).values.numpy(), first.values.numpy() - second.values.numpy())
    assert torch.equal((first - second).ranking(), (second - first).ranking().flip(0))
    twin = FilterIndex((Layer("c.weight", 10, 10, (3, 3)),))
    with pytest.raises(FilterError, match="different convolutions"):
        first - random_scores(twin, 0)


@pytest.mark.parametrize("values", [torch.zeros(99), torch.zeros(101), torch.zeros(10, 10), torch.tensor(0.0)])
def test_scores_of_another_size_are_refused(index, values):
    with pytest.raises(FilterError, match="100 scores expected, got a tensor of shape"):
        FilterScores(index, values)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_not_finite_are_refused(index, value):
    values = torch.zeros(100)
    values[7] = value
    with pytest.raises(FilterError, match="NaN or infinite"):
        FilterScores(index, values)


def test_scores_round_trip(tmp_path, index):
    scores = random_scores(index, 3)
    scores.save(tmp_path / "scores.safetensors")
    loaded = FilterScores.load(tmp_path / "scores.safetensors")
    assert loaded.index == index
    assert torch.equal(loaded.values, scores.values)
    assert torch.equal(load_file(tmp_path / "scores.safetensors")["scores"], scores.values)


def broken_scores(path, kind):
    good = {"layers": json.dumps([["a.weight", 2, 3, 3, 3]])}
    if kind == "text":
        path.write_text("no scores")
    elif kind == "no metadata":
        save_file({"scores": torch.zeros(6)}, path)
    elif kind == "no scores":
        save_file({"values": torch.zeros(6)}, path, good)
    elif kind == "no json":
        save_file({"scores": torch.zeros(6)}, path, {"layers": "a.weight"})
    elif kind == "short rows":
        save_file({"scores": torch.zeros(6)}, path, {"layers": "[[1, 2]]"})
    elif kind == "no rows":
        save_file({"scores": torch.zeros(6)}, path, {"layers": "7"})
    elif kind == "wrong number":
        save_file({"scores": torch.zeros(5)}, path, good)
    elif kind == "NaN":
        save_file({"scores": torch.full((6,), torch.nan)}, path, good)


@pytest.mark.parametrize(
    "kind",
    ["missing", "text", "no metadata", "no scores", "no json", "short rows", "no rows", "wrong number", "NaN"],
)
def test_files_that_hold_no_scores_are_refused(tmp_path, kind):
    path = tmp_path / "scores.safetensors"
    broken_scores(path, kind)
    with pytest.raises(FilterError) as info:
        FilterScores.load(path)
    if kind not in ("wrong number", "NaN"):
        assert str(path) in str(info.value)
    assert "\n" not in str(info.value)


def test_ranking_text_is_one_id_per_line(tmp_path, index):
    ranking = random_scores(index, 0).ranking()
    path = tmp_path / "blur_index.txt"
    write_ranking(path, ranking)
    assert path.read_text() == "".join(f"{number}\n" for number in ranking.tolist())
    assert np.array_equal(np.loadtxt(path, dtype=int), ranking.numpy())
    assert torch.equal(read_ranking(path, index), ranking)


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(map(str, range(100))),
        "".join(f"{k}\r\n" for k in range(100)),
        "".join(f"  {k} \n" for k in range(100)),
    ],
    ids=["no final newline", "carriage returns", "blanks"],
)
def test_harmless_variants_are_read(tmp_path, index, text):
    (tmp_path / "ranking.txt").write_bytes(text.encode())
    assert read_ranking(tmp_path / "ranking.txt", index).tolist() == list(range(100))


def test_filters_and_scores_are_printed_in_a_line(index):
    scores = FilterScores(index, torch.arange(100, dtype=torch.float64))
    assert repr(scores) == f"FilterScores(100 filters in {len(index.layers)} layers)"
    assert repr(scores.top(7)) == "FilterSet(7 of 100 filters)"


def test_public_names_are_completed_before_they_are_imported():
    program = "import faiglib; assert {'faig', 'FilterScores', 'path_profile'} <= {*dir(faiglib)}"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert [name for name in dir(faiglib) if not hasattr(faiglib, name)] == []
    assert faiglib.path_profile.__module__ == "faiglib.attribution.path_profile"


def lines(change=lambda ids: ids) -> bytes:
    return "".join(f"{k}\n" for k in change(list(range(100)))).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "line 1 of the ranking .* is not a filter id: ''"),
        (lines(lambda ids: [*ids[:7], "x", *ids[8:]]), "line 8 of the ranking .* is not a filter id: 'x'"),
        (lines(lambda ids: [*ids[:7], "7.0", *ids[8:]]), "line 8 .*'7.0'"),
        (lines(lambda ids: [*ids[:7], "-7", *ids[8:]]), "line 8 .*'-7'"),
        (lines(lambda ids: [*ids[:7], "", *ids[7:]]), "line 8 .*''"),
        (lines(lambda ids: [*ids[:7], "9" * 5000, *ids[8:]]), "line 8 "),
        (lines(lambda ids: ids[:-1]), "does not name each of the network's 100 filters exactly once"),
        (lines(lambda ids: [*ids, 100]), "exactly once"),
        (lines(lambda ids: [*ids, 5]), "exactly once"),
        (lines(lambda ids: [*ids[:-1], 5]), "exactly once"),
        (lines(lambda ids: [k + 1 for k in ids]), "exactly once"),
        (" ".join(map(str, range(100))).encode(), "line 1 "),
        (b"\xff\xfe\x00", "cannot be read"),
        ("\u0661\n".encode(), "cannot be read"),
        (b"\x00" * 50, "line 1 "),
    ],
    ids=[
        "empty",
        "a word",
        "a decimal",
        "negative",
        "blank line",
        "huge",
        "one short",
        "one more",
        "one twice more",
        "one twice",
        "from one",
        "one line",
        "binary",
        "other digits",
        "zeros",
    ],
)
def test_malformed_rankings_are_refused(tmp_path, index, content, reason):
    path = tmp_path / "ranking.txt"
    path.write_bytes(content)
    with pytest.raises(FilterError, match=reason) as info:
        read_ranking(path, index)
    assert str(path) in str(info.value)
    assert "\n" not in str(info.value)
    assert len(str(info.value)) < 300 + len(str(path))


def test_missing_rankings_and_those_of_another_network_are_refused(tmp_path, index):
    with pytest.raises(FilterError, match="cannot be read") as info:
        read_ranking(tmp_path / "none.txt", index)
    assert str(tmp_path / "none.txt") in str(info.value)
    with pytest.raises(FilterError, match="cannot be read"):
        read_ranking(tmp_path, index)
    write_ranking(tmp_path / "ranking.txt", torch.arange(90))
    with pytest.raises(FilterError, match="network's 100 filters"):
        read_ranking(tmp_path / "ranking.txt", index)
