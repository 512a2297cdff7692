"""Weight files: what is read, what is refused, and that nothing in a pickle runs."""

from __future__ import annotations

import io
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from faiglib.errors import NetworkError, WeightsError
from faiglib.networks import build
from faiglib.networks.weights import fit, load_network
from faiglib.system.tensors import DIGEST, halved, load_weights, read_metadata, read_tensors, save_weights


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return build("srresnet", seed=3).state_dict()


def one_sentence(info: pytest.ExceptionInfo[BaseException], path: Path) -> str:
    message = str(info.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def same(first, second) -> bool:
    return list(first) == list(second) and all(
        first[name].numpy().tobytes() == second[name].numpy().tobytes() for name in first
    )


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_released_dictionaries_load_and_the_average_wins(tmp_path, state, legacy, suffix):
    path = tmp_path / f"released{suffix}"
    plain = build("srresnet", seed=4).state_dict()
    torch.save({"params": plain, "params_ema": state}, path, _use_new_zipfile_serialization=not legacy)
    loaded = load_weights(path)
    assert same(loaded, state)
    assert not torch.equal(loaded["conv_hr.weight"], plain["conv_hr.weight"])
    image = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(load_network(path, "srresnet")(image), build("srresnet", seed=3)(image))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"params": s},
        lambda s: {"state_dict": s, "epoch": 7},
        lambda s: {f"module.{name}": tensor for name, tensor in s.items()},
        lambda s: {"params": {f"module.{name}": tensor for name, tensor in s.items()}},
    ],
    ids=["bare", "params", "state_dict", "data-parallel", "params of data-parallel"],
)
def test_other_dictionaries_load(tmp_path, state, wrap):
    torch.save(wrap(state), tmp_path / "weights.pth")
    assert same(load_weights(tmp_path / "weights.pth"), state)


def test_half_and_double_precision_become_single(tmp_path, state):
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        path = tmp_path / "weights.safetensors"
        save_weights(path, {name: tensor.to(dtype) for name, tensor in state.items()})
        loaded = load_weights(path)
        assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
        assert torch.equal(loaded["conv_hr.weight"], state["conv_hr.weight"].to(dtype).float())


def test_round_trip_keeps_bits_and_metadata(tmp_path, state):
    path = tmp_path / "new" / "weights.safetensors"
    meta = {"network": "srresnet", "note": "θ̄, 2 lines\nof text"}
    save_weights(path, state, meta)
    assert read_metadata(path) == meta
    loaded = load_weights(path)
    assert set(loaded) == set(state)
    assert all(loaded[name].numpy().tobytes() == state[name].numpy().tobytes() for name in state)
    assert set(load_file(path)) == set(state), "safetensors' own reader"
    assert [p.name for p in path.parent.iterdir()] == ["weights.safetensors"], "no temporary file stays"


def test_strided_tensors_are_written_by_value(tmp_path):
    tensor = torch.arange(24.0).view(2, 3, 4)
    save_weights(tmp_path / "w.safetensors", {"a": tensor.mT, "b": tensor[:, 1:]})
    loaded = load_weights(tmp_path / "w.safetensors")
    assert torch.equal(loaded["a"], tensor.mT)
    assert torch.equal(loaded["b"], tensor[:, 1:])


def test_metadata_of_a_file_without_any(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors")
    assert read_metadata(tmp_path / "w.safetensors") == {}


def test_metadata_of_no_safetensors(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="not a readable safetensors file") as info:
        read_metadata(path)
    one_sentence(info, path)


def test_a_changed_bit_anywhere_shows(tmp_path):
    """But for one in the key of the digest, which makes the file one without."""
    path = tmp_path / "w.safetensors"
    state = {
        "a": torch.arange(6.0).view(2, 3),
        "b": torch.tensor(3),
        "c": torch.zeros(0),
        "d": torch.ones(2).bfloat16(),
    }
    save_weights(path, state, {"step": "24"})
    read, metadata = read_tensors(path)
    assert metadata == {"step": "24"}
    assert all(torch.equal(read[name], tensor) for name, tensor in state.items())
    content = path.read_bytes()
    key = content.index(DIGEST.encode())
    for place in set(range(len(content))) - set(range(key, key + len(DIGEST))):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(WeightsError, match=r"is damaged: it does not hold|is not a readable") as info:
            read_tensors(path)
        one_sentence(info, path)


def test_the_same_weights_are_the_same_file(tmp_path, state):
    strings = {name: name * 2 for name in "abcdefgh"}
    save_weights(tmp_path / "1.safetensors", state, strings)
    save_weights(tmp_path / "2.safetensors", dict(reversed(state.items())), dict(reversed(strings.items())))
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


def test_files_of_others_have_no_digest(tmp_path):
    save_file({"a": torch.arange(3.0)}, tmp_path / "w.safetensors", {"sha256": "something else"})
    assert read_tensors(tmp_path / "w.safetensors")[1] == {"sha256": "something else"}


class Attack:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("how", ["pickle", "torch", "beside weights"])
def test_a_pickle_with_code_is_refused_and_not_executed(tmp_path, state, how, suffix):
    mark, path = tmp_path / "executed", tmp_path / f"evil{suffix}"
    evil = Attack(mark)
    if how == "pickle":
        path.write_bytes(pickle.dumps(evil))
    elif how == "torch":
        torch.save(evil, path)
    else:
        torch.save({"params_ema": state, "extra": evil}, path)
    with pytest.raises(WeightsError) as info:
        load_weights(path)
    one_sentence(info, path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(evil))  # what an ordinary reader does
    assert mark.exists(), "the attack would have worked"


def test_a_whole_pickled_network_is_refused(tmp_path):
    path = tmp_path / "network.pth"
    torch.save(build("srresnet", seed=0), path)
    with pytest.raises(WeightsError, match="cannot be read as weights only") as info:
        load_weights(path)
    one_sentence(info, path)


@pytest.mark.parametrize(
    "content",
    [[1, 2, 3], {}, {"params": {"a": 3}}, {"a": torch.zeros(2), "epoch": 3}, torch.zeros(3), {"params_ema": {}}],
    ids=["list", "empty", "no tensors", "mixed", "tensor", "empty params"],
)
def test_a_pickle_that_is_no_dictionary_of_tensors_is_refused(tmp_path, content):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match="holds no dictionary of tensors") as info:
        load_weights(path)
    one_sentence(info, path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"these are no weights\n" * 40, bytes(range(256)) * 8, b"PK\x03\x04" * 9])
def test_files_of_something_else_are_refused(tmp_path, suffix, content):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as info:
        load_weights(path)
    one_sentence(info, path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_pickles_are_always_refused_with_a_sentence(tmp_path):
    """The restricted unpickler meets damaged bytes with exceptions of every class."""
    path = tmp_path / "damaged.pth"
    buffer = io.BytesIO()
    torch.save({"params": {"a": torch.ones(3, 2)}}, buffer, _use_new_zipfile_serialization=False)
    original = np.frombuffer(buffer.getvalue(), np.uint8)
    generator = np.random.default_rng(0)
    sentences = []
    for _ in range(600):
        damaged = original.copy()
        damaged[generator.integers(len(damaged), size=3)] = generator.integers(256, size=3)
        path.write_bytes(damaged[: generator.integers(len(damaged)) + 1].tobytes())
        try:
            load_weights(path)
        except WeightsError as error:
            sentences.append(str(error))
    assert len(sentences) > 400
    assert all(str(path) in sentence and "\n" not in sentence for sentence in sentences)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path, state, suffix, share):
    path = tmp_path / f"cut{suffix}"
    if suffix == ".pth":
        torch.save({"params_ema": state}, path)
    else:
        save_weights(path, state)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError) as info:
        load_weights(path)
    one_sentence(info, path)


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(WeightsError, match="does not exist") as info:
        load_weights(tmp_path / name)
    one_sentence(info, tmp_path / name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_values_that_are_not_finite_are_refused(tmp_path, state, value, suffix):
    path = tmp_path / f"nan{suffix}"
    spoilt = {name: tensor.clone() for name, tensor in state.items()}
    spoilt["body.7.conv2.weight"][3, 4, 0, 1] = value
    if suffix == ".pth":
        torch.save(spoilt, path)
    else:
        save_weights(path, spoilt)
    with pytest.raises(WeightsError, match=r"NaN or infinite values in body\.7\.conv2\.weight") as info:
        load_weights(path)
    one_sentence(info, path)


def without(state):
    return {name: tensor for name, tensor in state.items() if name != "body.3.conv1.bias"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without, "has no body.3.conv1.bias"),
        (lambda s: s | {"conv_extra.weight": torch.zeros(2)}, "the network has no conv_extra.weight"),
        (lambda s: s | {"conv_hr.weight": torch.zeros(64, 32, 3, 3)}, "(64, 32, 3, 3), expected (64, 64, 3, 3)"),
        (lambda s: build("srcnn_style", seed=0).state_dict(), "has no conv_first.weight"),
        (lambda s: build("srresnet", seed=0, scale=3).state_dict(), "(576, 64, 3, 3), expected (256, 64, 3, 3)"),
        (lambda s: build("srresnet", seed=0, scale=4).state_dict(), "the network has no upconv2."),
    ],
    ids=["missing", "superfluous", "shape", "other network", "scale 3", "scale 4"],
)
def test_weights_of_another_network_are_refused(tmp_path, state, change, reason):
    path = tmp_path / "weights.safetensors"
    save_weights(path, change(state))
    with pytest.raises(WeightsError, match="does not fit SRResNet.*" + re.escape(reason)) as info:
        load_network(path, "srresnet")
    one_sentence(info, path)


def test_a_refused_state_leaves_the_network_as_it_was(state, bits):
    network = build("srresnet", seed=9)
    before = bits(network)
    with pytest.raises(WeightsError, match=r"the wrong ones does not fit SRResNet"):
        fit(network, without(state), "the wrong ones")
    assert bits(network) == before


def test_fit_copies_into_the_given_network(state):
    network = build("srresnet", seed=9)
    assert fit(network, state, "test") is network
    assert same(network.state_dict(), state)
    with torch.no_grad():
        network.conv_hr.weight.zero_()
    assert state["conv_hr.weight"].abs().sum() > 0


@pytest.mark.parametrize("scale", [3, 4])
def test_load_network_at_other_scales(tmp_path, scale):
    original = build("srcnn_style", seed=0, scale=scale)
    save_weights(tmp_path / "w.safetensors", original.state_dict())
    loaded = load_network(tmp_path / "w.safetensors", "srcnn_style", scale=scale)
    assert not loaded.training
    assert same(loaded.state_dict(), original.state_dict())


def test_load_network_refuses_an_unknown_name(tmp_path):
    with pytest.raises(NetworkError, match="unknown network"):
        load_network(tmp_path / "w.safetensors", "vgg")


def test_halves_leave_integers_and_small_tensors_alone():
    state = {"weight": torch.rand(2, 3), "bias": torch.rand(3), "count": torch.tensor(7)}
    assert {name: tensor.dtype for name, tensor in halved(state).items()} == {
        "weight": torch.float16,
        "bias": torch.float16,
        "count": torch.int64,
    }
    kept = halved(state, least_dimensions=2)
    assert (kept["weight"].dtype, kept["bias"].dtype) == (torch.float16, torch.float32)
    assert torch.equal(halved(state)["weight"], torch.from_numpy(state["weight"].numpy().astype("float16")))
