from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from faiglib.companion.cache import Cache
from faiglib.errors import StoreError
from faiglib.system import provenance
from faiglib.system.store import Store, fingerprint

pd = pytest.importorskip("pandas")


@dataclass(frozen=True)
class Rule:
    kind: str
    nodes: int


@dataclass(frozen=True)
class Other:
    kind: str
    nodes: int


@pytest.fixture
def store(tmp_path):
    return Cache(tmp_path / "store")


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def files(store: Store) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


class Counted:
    """A computation that counts its runs."""

    def __init__(self, result):
        self.result = result
        self.runs = 0

    def __call__(self):
        self.runs += 1
        return self.result() if callable(self.result) else self.result


# fingerprints


def test_fingerprint_is_the_hash_of_canonical_json():
    value = {"b": [1, 2.5, None, True], "a": {"θ": "x"}}
    expected = '{"a":{"\\u03b8":"x"},"b":[1,2.5,null,true]}'
    assert fingerprint(value) == hashlib.sha256(expected.encode()).hexdigest()


def test_equal_content_has_equal_fingerprints():
    tensor = torch.arange(12.0).reshape(3, 4)
    equal = [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ((1, 2), [1, 2]),
        (tensor, tensor.clone().requires_grad_()),
        (tensor.T, tensor.T.contiguous()),
        (Rule("left", 3), Rule("left", 3)),
        (math.nan, float("nan")),
    ]
    for one, other in equal:
        assert fingerprint(one) == fingerprint(other)


def test_different_content_has_different_fingerprints():
    tensor = torch.arange(12, dtype=torch.float32)
    values = [
        None, True, False, 1, 0, 1.0, 0.0, -0.0, "1", "", [], {}, [[]], [1, [2]], [[1], 2], [1, 2],
        {"a": 1}, {"a": "1"},
        0.1, 0.1 + 2**-56, math.inf, math.nan,
        tensor, tensor.reshape(3, 4), tensor.double(), tensor.int(), tensor.bfloat16(), tensor + 1e-6,
        tensor[:0], torch.tensor(1.0), torch.tensor([True]), torch.tensor([0.0]), torch.tensor([-0.0]),
        Rule("left", 3), Other("left", 3), Rule("left", 4), {"kind": "left", "nodes": 3},
    ]  # fmt: skip
    assert len({fingerprint(value) for value in values}) == len(values)


@pytest.mark.parametrize(
    "value",
    [Path("x"), {1}, b"x", np.int64(1), np.zeros(2), object(), Rule, {1: 2}, {"$tensor": "float32"}, 1j],
)
def test_values_without_a_plain_meaning_are_refused(value):
    with pytest.raises(TypeError, match="cannot be part of a fingerprint"):
        fingerprint({"deep": [value]})


def test_fingerprint_is_the_same_in_another_process():
    code = (
        "import torch; from faiglib.system.store import fingerprint; "
        "print(fingerprint({'x': {'b', }.pop(), 't': torch.arange(5), 'f': 0.1}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == fingerprint({"f": 0.1, "t": torch.arange(5), "x": "b"})


# tensors


def test_tensors_are_computed_once_and_come_back_bit_for_bit(store):
    made = {
        "plain": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
        "turned": torch.arange(6).reshape(2, 3).T,
        "half": torch.tensor([1.5, math.nan], dtype=torch.bfloat16),
        "graph": torch.ones(2, requires_grad=True) * 2,
        "scalar": torch.tensor(True),
    }
    made["shared"] = made["plain"][:2]
    compute = Counted(made)
    for _ in range(2):
        tensors = store.tensors("faig", {"seed": 1}, compute)
        assert set(tensors) == set(made)
        for name, tensor in tensors.items():
            assert tensor.dtype == made[name].dtype
            assert torch.equal(tensor.nan_to_num(7), made[name].detach().nan_to_num(7))
            assert not tensor.requires_grad
    assert compute.runs == 1


def test_every_part_of_the_key_counts(store, monkeypatch):
    compute = Counted({"x": torch.zeros(1)})
    for name, key in (("a", {"s": 1}), ("a", {"s": 2}), ("b", {"s": 1}), ("a", {"s": 1, "t": None})):
        store.tensors(name, key, compute)
    assert compute.runs == 4
    monkeypatch.setattr(provenance, "source_digest", lambda: "edited")
    store.tensors("a", {"s": 1}, compute)
    assert compute.runs == 5
    monkeypatch.setattr(torch, "__version__", "99")
    store.tensors("a", {"s": 1}, compute)
    assert compute.runs == 6


def entry(store: Store) -> tuple[Path, Path]:
    payload, record = sorted(
        (path for path in store.root.rglob("*") if path.is_file()), key=lambda path: path.suffix == ".json"
    )
    return payload, record


def test_entry_on_disk_is_readable_by_others(store):
    key = {"seed": 1, "rule": Rule("left", 100), "weights": torch.zeros(2)}
    store.tensors("masking/scores", key, lambda: {"x": torch.arange(3)})
    payload, record = entry(store)
    content = json.loads(record.read_text())
    assert payload.parent == record.parent == store.root / "masking" / "scores"
    assert payload.name == content["fingerprint"][:24] + ".safetensors"
    assert record.name == content["fingerprint"][:24] + ".json"
    assert content["sha256"] == hashlib.sha256(payload.read_bytes()).hexdigest()
    assert content["key"]["seed"] == 1
    assert content["key"]["rule"] == {"$class": "Rule", "kind": "left", "nodes": 100}
    assert content["key"]["weights"]["shape"] == [2]
    assert content["provenance"]["torch"] == torch.__version__
    assert torch.equal(load_file(payload)["x"], torch.arange(3))


def cut(payload, record):
    payload.write_bytes(payload.read_bytes()[:-1])


def flip(payload, record):
    payload.write_bytes(payload.read_bytes()[:-1] + b"\x7f")


def lose_record(payload, record):
    record.unlink()


def lose_payload(payload, record):
    payload.unlink()


def cut_record(payload, record):
    record.write_text(record.read_text()[:40])


def empty_record(payload, record):
    record.write_text("null")


def foreign_record(payload, record):
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "fingerprint": "0" * 64}))


@pytest.mark.parametrize("damage", [cut, flip, lose_record, lose_payload, cut_record, empty_record, foreign_record])
@pytest.mark.parametrize("kind", ["tensors", "table"])
def test_damaged_entries_are_computed_anew(store, damage, kind):
    result = {"x": torch.arange(3)} if kind == "tensors" else pd.DataFrame({"x": [1, 2]})
    compute = Counted(lambda: result)
    call = getattr(store, kind)
    call("faig", {}, compute)
    damage(*entry(store))
    with pytest.warns(UserWarning, match="is not what its record says and is computed anew"):
        again = call("faig", {}, compute)
    assert list(again["x"]) == list(result["x"])
    assert compute.runs == 2
    call("faig", {}, compute)
    assert compute.runs == 2


def test_interrupted_computation_leaves_nothing(store):
    with pytest.raises(KeyboardInterrupt):
        store.tensors("faig", {}, Counted(lambda: (_ for _ in ()).throw(KeyboardInterrupt)))
    assert files(store) == []


def test_full_disk_is_one_sentence_and_leaves_nothing(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(StoreError, match=r"safetensors cannot be written: No space left on device$"):
            store.tensors("faig", {}, lambda: {"x": torch.zeros(1)})
    assert files(store) == []


def test_unreadable_entry_is_an_error(store):
    store.tensors("faig", {}, lambda: {"x": torch.zeros(1)})
    payload, _ = entry(store)
    payload.unlink()
    payload.mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        store.tensors("faig", {}, lambda: {"x": torch.zeros(1)})


@pytest.mark.parametrize("name", ["", "/x", "../x", "a/../b", "a//b", "a b", ".hidden", "a/"])
def test_names_stay_below_the_root(store, name):
    with pytest.raises(ValueError, match="cannot name an artifact"):
        store.tensors(name, {}, dict)


def test_results_that_are_no_tensors_are_refused(store):
    with pytest.raises(TypeError, match="'x' is float"):
        store.tensors("faig", {}, lambda: {"x": 1.0})


COUNTING = """
import sys, time, torch
from pathlib import Path
from faiglib.system.store import Store

def compute(n):
    time.sleep(0.05)
    with open(sys.argv[2], "a") as file:
        file.write(f"{n} ")
    return {"x": torch.full((999,), n)}

for number in range(40):
    n = number % 8
    made = Store(Path(sys.argv[1])).tensors("x", {"n": n}, lambda: compute(n))
    assert made["x"].unique().tolist() == [n]
"""


def test_of_several_processes_one_computes_an_entry(store, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::UserWarning"}
    command = [sys.executable, "-c", COUNTING, str(store.root), str(tmp_path / "computed")]
    runs = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(3)]
    errors = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], errors
    assert sorted((tmp_path / "computed").read_text().split()) == [str(number) for number in range(8)]
    compute = Counted({"x": torch.zeros(1)})
    for number in range(8):
        assert store.tensors("x", {"n": number}, compute)["x"].unique().tolist() == [number]
    assert compute.runs == 0
    assert len(os.listdir(store.root / "x")) == 16


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), NotImplementedError()])
def test_a_folder_without_locks_still_holds_entries(store, monkeypatch, error):
    def refuse(_lock):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    compute = Counted({"x": torch.arange(3)})
    for _ in range(2):
        assert store.tensors("faig", {}, compute)["x"].tolist() == [0, 1, 2]
    assert compute.runs == 1


# tables


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "method": ["faig", "", "|Δθ|", 'say "x",\r\ny', "nan"],
            "note": ["NA", None, r"\N", r"\\", "\\"],
            "drop": [0.1 + 0.2, math.nan, math.inf, -0.0, 5e-324],
            "random": rng.normal(size=5),
            "single": rng.normal(size=5).astype(np.float32),
            "percent": np.array([1, 3, 5, 10, 2**53 + 1]),
            "small": np.array([0, 1, 2, 3, 255], dtype=np.uint8),
            "is_blurry": [True, False, True, True, False],
            "1.0": ["1", "2", "3", "4", "5"],
        }
    )


def bits(column: pd.Series) -> bytes:
    return column.to_numpy().tobytes()


def test_tables_come_back_exactly(store):
    made = frame()
    compute = Counted(made)
    for _ in range(2):
        table = store.table("masking", {"seed": 1}, compute)
        pd.testing.assert_frame_equal(table, made, check_exact=True)
        for name in ("drop", "random", "single", "percent", "small", "is_blurry"):
            assert bits(table[name]) == bits(made[name])
        assert table["note"].isna().tolist() == [False, True, False, False, False]
    assert compute.runs == 1


def test_table_on_disk_is_plain_csv(store):
    made = pd.DataFrame({"method": ["faig", "random"], "drop": [6.42, 0.07]})
    store.table("masking", {}, lambda: made)
    payload, record = entry(store)
    assert payload.read_text() == "method,drop\nfaig,6.42\nrandom,0.07\n"
    assert json.loads(record.read_text())["dtypes"] == [str(made["method"].dtype), "float64"]
    pd.testing.assert_frame_equal(pd.read_csv(payload), made)


def test_object_columns_of_strings(store):
    made = pd.DataFrame({"x": pd.Series(["a", None, ""], dtype=object)})
    table = store.table("t", {}, lambda: made)
    assert table["x"].dtype == object
    assert table["x"].tolist() == ["a", None, ""]


@pytest.mark.parametrize(
    "made", [pd.DataFrame({"a": [1.5], "b": ["x"]})[:0], pd.DataFrame(), pd.DataFrame({"a": [""]})]
)
def test_tables_without_rows_columns_or_text(store, made):
    for _ in range(2):
        table = store.table("t", {}, lambda: made)
        assert list(table.columns) == list(made.columns)
        assert table.dtypes.tolist() == made.dtypes.tolist()
        assert table.to_numpy().tolist() == made.to_numpy().tolist()


def test_index_without_a_name_is_dropped_and_with_one_refused(store):
    made = frame().sort_values("random")
    pd.testing.assert_frame_equal(store.table("t", {}, lambda: made), made.reset_index(drop=True))
    with pytest.raises(TypeError, match="reset_index"):
        store.table("u", {}, lambda: made.set_index("method"))


@pytest.mark.parametrize(
    "columns",
    [
        {"x": [object()]},
        {"x": ["a", 1]},
        {"x": [[1]]},
        {"x": pd.to_datetime(["2021-08-02"])},
        {1: [1]},
    ],
)
def test_other_contents_are_refused(store, columns):
    with pytest.raises(TypeError):
        store.table("t", {}, lambda: pd.DataFrame(columns))
    assert files(store) == []
