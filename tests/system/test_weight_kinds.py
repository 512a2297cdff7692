"""Weight files as they are found in the wild: read for what they are, or named as what they are."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from faiglib.errors import FilterError, StoreError, WeightsError
from faiglib.filters.scores import FilterScores
from faiglib.networks import NETWORKS, build, recognised
from faiglib.networks.weights import fit
from faiglib.system.files import atomic_write
from faiglib.system.tensors import load_weights, read_tensors

STATE = {"conv.weight": torch.arange(54.0).reshape(2, 3, 3, 3) / 54, "conv.bias": torch.tensor([0.5, -0.25])}


def same(found: dict[str, Tensor]) -> bool:
    return set(found) == set(STATE) and all(torch.equal(found[name], STATE[name]) for name in STATE)


def saved(path: Path, content: object, **options: object) -> Path:
    torch.save(content, path, **options)
    return path


# ---------------------------------------------------------------- names

PREFIXED = (
    "module.", "model.", "_orig_mod.", "net_g.", "netG.", "net.", "network.", "generator.", "ema_model.",
    "module._orig_mod.", "_orig_mod.module.", "model.module.", "module.net_g.", "module.module.",
    "model.net._orig_mod.",
)  # fmt: skip
WRAPPED = (
    "params_ema", "params", "state_dict", "model", "model_state_dict", "ema", "state_dict_ema", "model_ema", "net",
    "net_g", "network", "generator", "weights",
)  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXED)
@pytest.mark.parametrize("ending", [".pth", ".safetensors", ".ckpt"])
def test_prefixes_common_to_all_names_are_taken_off(tmp_path, prefix, ending):
    path, state = tmp_path / f"w{ending}", {prefix + name: tensor for name, tensor in STATE.items()}
    save_file(state, path) if ending == ".safetensors" else torch.save(state, path)
    assert same(load_weights(path))


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_wrappers_are_opened(tmp_path, wrapper):
    beside = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 1e-4}]}}
    assert same(load_weights(saved(tmp_path / "w.pth", {wrapper: STATE, **beside})))
    prefixed = {f"module.{name}": tensor for name, tensor in STATE.items()}
    assert same(load_weights(saved(tmp_path / "w.pth", {"checkpoint": 1, wrapper: OrderedDict(prefixed)})))
    assert same(load_weights(saved(tmp_path / "w.pth", {"state_dict": {wrapper: STATE}})))


@pytest.mark.parametrize(
    ("average", "plain"),
    [("params_ema", "params"), ("state_dict_ema", "state_dict"), ("ema", "model"), ("model_ema", "model")],
)
def test_the_average_wins(tmp_path, average, plain):
    others = {name: tensor + 1 for name, tensor in STATE.items()}
    for content in ({average: STATE, plain: others}, {plain: others, average: STATE}):
        assert same(load_weights(saved(tmp_path / "w.pth", content)))


BESIDE = {
    "a NumPy number": np.float64(30.5),
    "a NumPy integer": np.int64(3),
    "a NumPy truth": np.bool_(True),
    "a NumPy array": np.arange(6.0).reshape(2, 3),
    "a NumPy array of words": np.array(["a", "bc"]),
    "NumPy's random state": np.random.default_rng(0).bit_generator.state
    | {"old": np.random.RandomState(0).get_state()},
    "numbers and words": {"epoch": 3, "name": "x2", "best": None, "flags": (True, [1, 2.5])},
    "a generator's state": torch.random.get_rng_state(),
    "a device": torch.device("cpu"),
    "a type": torch.float16,
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("more", BESIDE.values(), ids=BESIDE)
def test_harmless_things_beside_the_weights(tmp_path, more, legacy):
    options = {"_use_new_zipfile_serialization": not legacy}
    assert same(load_weights(saved(tmp_path / "w.pth", {"params": STATE, "more": more}, **options)))


def test_numbers_among_the_weights_and_arrays_as_weights(tmp_path):
    assert same(
        load_weights(
            saved(tmp_path / "w.pth", STATE | {"epoch": np.float64(3), "lr": 1e-4, "n_averaged": torch.tensor(9)})
        )
    )
    for dtype in ("float32", "float64", "float16", ">f4"):
        arrays = {name: tensor.numpy().astype(dtype) for name, tensor in STATE.items()}
        found = load_weights(saved(tmp_path / "w.pth", {"params": arrays}))
        assert all(torch.allclose(found[name], STATE[name], atol=1e-3) for name in STATE)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "net_g."])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_two_weights_of_one_name_are_refused(tmp_path, prefix, ending):
    path, state = tmp_path / f"w{ending}", STATE | {prefix + "conv.bias": torch.zeros(2)}
    save_file(state, path) if ending == ".safetensors" else torch.save(state, path)
    with pytest.raises(WeightsError, match=rf"two weights for one name, conv\.bias and {prefix}conv\.bias"):
        load_weights(path)


@pytest.mark.parametrize("ending", [".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".txt", ""])
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_the_content_decides_and_not_the_ending(tmp_path, kind, ending):
    path = tmp_path / f"weights{ending}"
    if kind == "safetensors":
        path.write_bytes(save(STATE))
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=kind == "zip")
    assert same(load_weights(path))


# ---------------------------------------------------------------- files that are none


def torchscript() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.Conv2d(3, 3, 3), torch.rand(1, 3, 8, 8)), buffer)
    return buffer.getvalue()


def pickled(content: object = STATE) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def zipped(name: str, content: bytes, how: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"))
    return buffer.getvalue()


def header(text: str, size: int = 64) -> bytes:
    return len(text).to_bytes(8, "little") + text.encode() + bytes(size)


ENTRY = '{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
FILES = {
    "TorchScript": (torchscript, "is a TorchScript program, and no code of a file is run"),
    "LFS pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 1\n", "Git LFS pointer"),
    "web page": (lambda: b"<!DOCTYPE html><html>404</html>", "web page"),
    "web page with blanks": (lambda: b"\n  <html lang='en'>", "web page"),
    "JSON": (lambda: b'{"error": "not found"}', "a JSON text"),
    "tar": (tarred, "a tar archive"),
    "gzip": (lambda: gzip.compress(pickled()), "compressed with gzip"),
    "zip of something": (lambda: zipped("readme.txt", b"x" * 99), "without weights of torch.save"),
    "zip bomb": (lambda: zipped("archive/data.pkl", bytes(5 * 2**20), zipfile.ZIP_DEFLATED), "a compressed archive"),
    "damaged zip": (lambda: pickled()[:300], "a damaged archive"),
    "image": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(40), "a PNG image"),
    "NumPy array": (lambda: b"\x93NUMPY\x01\x00" + bytes(40), "a NumPy array"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file"),
    "ONNX": (lambda: b"\x08\x08\x12\x07pytorch\x1a\x032.0" + bytes(40), "an ONNX model"),
    "nothing": (lambda: b"", r"empty \(0 bytes\)"),
    "text": (lambda: b"weights\n" * 9, "neither a safetensors file nor one of torch.save"),
    "two entries of one name": (lambda: header(f'{{"a":{ENTRY},"a":{ENTRY}}}', 8), "two weights for one name, a"),
    "deep header": (lambda: header('{"a":' + "[" * 20000 + "]" * 20000 + "}"), "header is damaged"),
    "offsets outside": (lambda: header(f'{{"a":{ENTRY}}}', 4), "not a readable safetensors file"),
    "shape against offsets": (
        lambda: header(f'{{"a":{ENTRY}}}'.replace("2", "5", 2), 8),
        "not a readable",
    ),
    "huge shape": (
        lambda: header(f'{{"a":{ENTRY}}}'.replace("[2]", "[500000000000]"), 8),
        "not a readable",
    ),
}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize(("content", "sentence"), FILES.values(), ids=FILES)
def test_other_files_are_named_as_what_they_are(tmp_path, content, sentence, ending):
    path = tmp_path / f"w{ending}"
    path.write_bytes(content())
    with pytest.raises(WeightsError, match=sentence) as caught:
        load_weights(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert not any(word in text for word in ("weights_only", "re-running", "add_safe_globals"))


def test_paths_that_are_no_files(tmp_path):
    (tmp_path / "folder.pth").mkdir()
    (tmp_path / "dangling.pth").symlink_to(tmp_path / "gone.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    named = {
        "folder": "is a folder",
        "dangling": "is a link to .*gone.pth, which does not exist",
        "pipe": "no regular file",
    }
    for name, sentence in (named | {"missing": "does not exist"}).items():
        with pytest.raises(WeightsError, match=sentence):
            load_weights(tmp_path / f"{name}.pth")


# ---------------------------------------------------------------- tensors that are no weights


def quantised() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.rand(2, 3), 0.1, 0, torch.qint8)


TENSORS = {
    "COO": (lambda: torch.eye(3).to_sparse(), "a sparse or nested tensor"),
    "CSR": (lambda: torch.eye(3).to_sparse_csr(), "a sparse or nested tensor"),
    "CSC": (lambda: torch.eye(3).to_sparse_csc(), "a sparse or nested tensor"),
    "quantised": (quantised, "codes of a quantised network"),
    "int8 codes": (lambda: torch.ones(2, 3, dtype=torch.int8), "codes of a quantised network"),
    "uint8 codes": (lambda: torch.ones(2, 3, dtype=torch.uint8), "codes of a quantised network"),
    "complex": (lambda: torch.ones(2, dtype=torch.complex64), "values of type torch.complex64"),
    "float8": (lambda: torch.ones(2).to(torch.float8_e4m3fn), "values of type torch.float8"),
    "NaN": (lambda: torch.tensor([1.0, float("nan")]), "NaN or infinite"),
    "infinite": (lambda: torch.tensor([-float("inf")]), "NaN or infinite"),
    "stride 0": (lambda: torch.ones(1).expand(500_000_000), "of which the file has not every value"),
    "stride 0 in one direction": (
        lambda: torch.ones(3, 1).expand(3, 100_000_000),
        "of which the file has not every value",
    ),
    "meta": (lambda: torch.ones(3, device="meta"), "no values"),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor:UserWarning", "ignore:Sparse CSC tensor:UserWarning")
@pytest.mark.parametrize(("make", "sentence"), TENSORS.values(), ids=TENSORS)
def test_tensors_that_are_no_weights_are_refused_by_name(tmp_path, make, sentence):
    path = saved(tmp_path / "w.pth", STATE | {"odd.weight": make()})
    with pytest.raises(WeightsError, match=rf"{sentence}.* in odd\.weight|cannot be read as weights only"):
        load_weights(path)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.bool, torch.int16])
def test_whole_numbers_are_no_floating_point_weights(tmp_path, dtype):
    state = STATE | {"conv.weight": torch.ones(2, 3, 3, 3, dtype=dtype)}
    network = nn.ModuleDict({"conv": nn.Conv2d(3, 2, 3)})
    with pytest.raises(WeightsError, match=r"conv\.weight has values of type .*, expected torch\.float32"):
        fit(network, load_weights(saved(tmp_path / "w.pth", state)), "it")


def test_buffers_of_whole_numbers_stay(tmp_path):
    network = nn.Sequential(nn.BatchNorm2d(3))
    network[0].num_batches_tracked += 7
    found = load_weights(saved(tmp_path / "w.pth", network.state_dict()))
    assert int(found["0.num_batches_tracked"]) == 7
    assert fit(nn.Sequential(nn.BatchNorm2d(3)), found, "it") is not None


def test_tensors_do_not_outlive_their_file(tmp_path):
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        pytest.skip("maps of a process are read as Linux tells them")
    save_file(STATE, tmp_path / "mapped.safetensors")
    kept = load_weights(tmp_path / "mapped.safetensors"), read_tensors(tmp_path / "mapped.safetensors")
    assert kept
    assert "mapped.safetensors" not in maps.read_text()


# ---------------------------------------------------------------- which network


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_weights_are_recognised(name, scale):
    state = build(name, scale=scale).state_dict()
    assert recognised(state) == (name, scale)
    other = "srresnet" if name != "srresnet" else "srcnn_style"
    with pytest.raises(WeightsError, match=f"they look like weights of {name} at scale {scale}"):
        fit(build(other), state, "it")


def test_unknown_weights_look_like_nothing():
    assert recognised({"conv.weight": torch.zeros(2, 3, 3, 3)}) is None
    with pytest.raises(WeightsError) as caught:
        fit(build("srresnet"), STATE, "it")
    assert "look like" not in str(caught.value)


# ---------------------------------------------------------------- files of scores

ROWS = {
    "no layers": "[]", "a word": '"conv"', "deep": "[" * 9000 + "]" * 9000, "negative": '[["c",-2,3,3,3]]',
    "zero": '[["c",0,3,3,3]]', "a fraction": '[["c",2.5,3,3,3]]', "words": '[["c","2",3,3,3]]',
    "too few": '[["c",2,3,3]]',
    "no name": "[[1,2,3,3,3]]", "huge": '[["c",99999999999999999999999,3,3,3]]', "null": "null", "no JSON": "{",
}  # fmt: skip


@pytest.mark.parametrize("layers", ROWS.values(), ids=ROWS)
def test_layers_of_score_files_are_believed_only_if_sound(tmp_path, layers):
    save_file({"scores": torch.ones(6, dtype=torch.float64)}, tmp_path / "s.safetensors", {"layers": layers})
    with pytest.raises(FilterError) as caught:
        FilterScores.load(tmp_path / "s.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        torch.ones(5),
        torch.ones(2, 3),
        torch.ones(6, dtype=torch.int64),
        torch.full((6,), float("nan")),
    ],
)
def test_values_of_score_files_are_believed_only_if_sound(tmp_path, values):
    save_file({"scores": values}, tmp_path / "s.safetensors", {"layers": json.dumps([["c", 2, 3, 3, 3]])})
    with pytest.raises(FilterError):
        FilterScores.load(tmp_path / "s.safetensors")


# ---------------------------------------------------------------- renaming


@pytest.mark.parametrize("denied", [1, 2, 4])
def test_a_rename_that_is_denied_for_a_moment(tmp_path, monkeypatch, denied):
    replace, calls, slept = os.replace, [], []
    monkeypatch.setattr("faiglib.system.files.time.sleep", slept.append)

    def sometimes(*paths):
        calls.append(paths)
        if len(calls) <= denied:
            raise PermissionError(13, "Access is denied")
        replace(*paths)

    monkeypatch.setattr(os, "replace", sometimes)
    with atomic_write(tmp_path / "x") as file:
        file.write(b"x")
    assert (tmp_path / "x").read_bytes() == b"x"
    assert len(slept) == denied


def test_a_rename_that_stays_denied(tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr("faiglib.system.files.time.sleep", slept.append)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Access is denied")))
    with pytest.raises(StoreError, match="Access is denied"), atomic_write(tmp_path / "x") as file:
        file.write(b"x")
    assert sum(slept) < 1
    assert not list(tmp_path.iterdir())
