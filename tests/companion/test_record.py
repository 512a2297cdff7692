"""The recorded run and the comparison with it."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from faiglib.companion import record
from faiglib.companion.workbench import Workbench
from faiglib.errors import StoreError

ROWS = pd.DataFrame(
    {
        "network": "srresnet",
        "image_set": ["skimage", "skimage", "set14"],
        "input": ["blurry", "noisy", "blurry"],
        "percent": 1.0,
        "method": "faig",
        "measured": [10.0, 0.5, 2.0],
        "paper": math.nan,
    }
)


@pytest.fixture
def kept(bench: Workbench, tmp_path: Path) -> Path:
    """The folder of a run that kept a table, and beside it a copy as the record."""
    record.keep(bench, "masking", ROWS)
    folder = bench.places.measured(bench.profile.name)
    shutil.copytree(folder, tmp_path / "recorded")
    return folder


def edit(folder: Path, **changes: object) -> None:
    path = folder / "masking.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_table_is_kept_with_what_made_it(bench, kept):
    table = pd.read_csv(kept / "masking.csv")
    assert list(table.columns) == ["network", "image_set", "input", "percent", "method", "measured"]
    assert table["measured"].tolist() == [10.0, 0.5, 2.0]
    made_by = json.loads((kept / "masking.json").read_text())
    assert made_by["profile"] == bench.profile.name == kept.name
    assert made_by["image_sets"] == {"skimage": bench.image_sets["skimage"].digest}
    assert list(made_by["weights"]) == ["srresnet"]
    assert made_by["made_on"]["torch"]


def test_the_same_run_has_no_drift(kept, tmp_path):
    numbers = record.compare(kept, tmp_path / "recorded")
    # Set14 is in neither run's list of sets, so that its row counts as made from the same images.
    assert numbers["within"].all()
    assert (numbers["difference"] == 0).all()
    assert len(numbers) == 3


@pytest.mark.parametrize(("change", "drifted"), [(0.29, 0), (0.31, 1), (-0.31, 1)])
def test_the_relative_tolerance(kept, tmp_path, change, drifted):
    """3 % of 10 are allowed."""
    text = (kept / "masking.csv").read_text().replace("faig,10", f"faig,{10 + change}")
    (kept / "masking.csv").write_text(text)
    numbers = record.compare(kept, tmp_path / "recorded")
    assert (~numbers["within"]).sum() == drifted
    row = record.drift(numbers).iloc[0]
    assert (row["table"], row["numbers"], row["drifted"]) == ("masking", 3, drifted)
    assert row["largest ÷ allowed"] == pytest.approx(abs(change) / 0.3)
    assert row["where"] == "srresnet, skimage, blurry, 1, faig, measured"


def test_the_absolute_tolerance(kept, tmp_path):
    """0.05 is more than 3 % of 0.5."""
    (kept / "masking.csv").write_text((kept / "masking.csv").read_text().replace("faig,0.5", "faig,0.54"))
    assert record.compare(kept, tmp_path / "recorded")["within"].all()


def test_a_number_that_is_gone_is_drift(kept, tmp_path):
    lines = (kept / "masking.csv").read_text().splitlines()
    (kept / "masking.csv").write_text("\n".join(lines[:-1]) + "\n")
    numbers = record.compare(kept, tmp_path / "recorded")
    assert numbers["within"].tolist() == [True, True, False]
    assert record.drift(numbers)["largest ÷ allowed"].item() == math.inf


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"seed": 1}, 0),
        ({"weights": {"srresnet": {"0": "other"}}}, 0),
        ({"image_sets": {"skimage": "other"}}, 1),
    ],
)
def test_only_what_was_made_from_the_same_is_compared(kept, tmp_path, changes, left):
    edit(tmp_path / "recorded", **changes)
    assert len(record.compare(kept, tmp_path / "recorded")) == left


def test_a_row_over_several_sets_needs_all_of_them(bench, tmp_path):
    row = {"network": ["srresnet"], "predictor": "blind", "degradation": "blur", "image_set": "skimage"}
    record.keep(bench, "prediction", pd.DataFrame(row | {"accuracy": 0.9}))
    folder = bench.places.measured(bench.profile.name)
    shutil.copytree(folder, tmp_path / "recorded")
    assert len(record.compare(folder, tmp_path / "recorded")) == 1
    path = tmp_path / "recorded" / "prediction.json"
    path.write_text(path.read_text().replace('"image_sets": {', '"image_sets": {"set14": "a", '))
    assert record.compare(folder, tmp_path / "recorded").empty


def test_without_a_record_there_is_nothing_to_compare(kept, tmp_path):
    numbers = record.compare(kept, tmp_path / "nowhere")
    assert numbers.empty
    assert record.drift(numbers).empty


@pytest.mark.parametrize("damage", ["", "network,input\n1,2\n", None])
def test_a_damaged_record_is_one_sentence(kept, tmp_path, damage):
    path = tmp_path / "recorded" / ("masking.csv" if damage is not None else "masking.json")
    path.write_text(damage or "{")
    with pytest.raises(StoreError, match="cannot be read") as info:
        record.compare(kept, tmp_path / "recorded")
    assert "\n" not in str(info.value)
