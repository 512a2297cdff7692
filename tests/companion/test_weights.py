"""What the page on training says of the shipped weights."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from faiglib.companion.weights import report
from faiglib.errors import WeightsError
from faiglib.networks import build, zoo
from faiglib.training.recipe import Recipe

SHIPPED = zoo.models_dir()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A baseline, and two targets that were trained from it."""
    for role, seed, gain in (("baseline", 0, 0.0), ("target", 0, 3.0), ("target", 1, 4.0)):
        zoo.add(
            tmp_path,
            build("srresnet", seed=0).state_dict(),
            {
                "network": "srresnet",
                "role": role,
                "seed": seed,
                "parent": None if role == "baseline" else "srresnet-baseline-seed0.safetensors",
                "recipe": asdict(Recipe("srresnet", role, seed, iterations=1000, batch=8, patch=32)),
                "precision": "32-true",
                "data": "bsd400",
                "data_digest": "",
                "made_on": {"cpu": "a CPU", "gpu": None},
                "seconds": 120.0,
                "psnr": {"set14": {"clean": 30.0, "blurry": 24.0 + gain, "noisy": 21.0 + gain}},
            },
        )
    (tmp_path / "logs").mkdir()
    for entry in zoo.entries(tmp_path):
        (tmp_path / "logs" / f"{Path(entry.file).stem}.csv").write_text("step,psnr_clean\n1,20\n2,21\n")
    return tmp_path


def test_budgets_count_pixels_and_name_the_baseline(folder):
    table = report.budgets(folder).set_index(["role", "seed"])
    assert table.loc[("target", "1"), "baseline_seed"] == "0"
    assert table.loc[("target", "1"), "minutes"] == 2
    # 1,000 x 8 x 32 x 32 against 100,000 x 16 x 64 x 64 pixels
    assert table.loc[("target", "1"), "share"] == pytest.approx(8.192e6 / 6.5536e9)
    assert table.loc[("baseline", "paper"), "iterations"] == 1_000_000


def test_quality_is_against_the_shared_baseline(folder):
    table = report.quality(folder).set_index(["seed", "input"])
    assert table.loc[(1, "blurry"), ["baseline", "target", "gain"]].tolist() == [24, 28, 4]
    assert table.loc[(0, "noisy"), "gain"] == 3
    assert set(table["images"]) == {"all"}


def test_shared_baselines_are_said(folder):
    sentence = report.shared_baselines(folder)
    assert "SRResNet targets of seeds 0 and 1 share the baseline of seed 0" in sentence


def test_baselines_of_their_own_need_no_word(folder):
    state = build("srresnet", seed=0).state_dict()
    for role in ("baseline", "target"):
        described = asdict(zoo.find(folder, "srresnet", role, 0))
        for name in ("file", "sha256", "parent_sha256"):
            described.pop(name)
        parent = "srresnet-baseline-seed1.safetensors" if role == "target" else None
        zoo.add(folder, state, {**described, "seed": 1, "parent": parent})
    assert zoo.pairs_available(folder) == [("srresnet", 0), ("srresnet", 1)]
    assert [zoo.pair_entries(folder, "srresnet", seed)["baseline"].seed for seed in (0, 1)] == [0, 1]
    assert report.shared_baselines(folder) == ""


def test_logs_are_found_by_name(folder):
    assert report.logs(folder)["srresnet-target-seed1"]["psnr_clean"].tolist() == [20, 21]
    (folder / "logs" / "srresnet-target-seed0.csv").unlink()
    with pytest.raises(WeightsError, match=r"srresnet-target-seed0\.csv is missing"):
        report.logs(folder)


def test_every_shipped_pair_reaches_the_floor():
    table = report.quality(SHIPPED)
    on_set14 = table[table["image_set"] == "set14"]
    assert len(on_set14) == 3 * len(zoo.pairs_available(SHIPPED))
    for row in on_set14.itertuples():
        assert row.gain >= report.FLOOR[row.input], (row.network, row.seed, row.input, row.gain)


def test_the_shipped_folder_is_small_and_whole():
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40e6
    listed = {entry.file for entry in zoo.entries(SHIPPED)}
    assert {path.name for path in files if path.suffix == ".safetensors"} == listed
    assert {f"{Path(name).stem}.csv" for name in listed} == {path.name for path in (SHIPPED / "logs").iterdir()}


def test_a_target_and_a_baseline_judged_on_different_images_are_not_compared(folder):
    manifest = folder / zoo.MANIFEST
    content = json.loads(manifest.read_text())
    content["models"][0]["psnr_images"] = {"set14": 3}
    manifest.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match="different numbers of images of set14: 3 and all"):
        report.quality(folder)


def test_recipes_that_differ_by_more_than_the_seed_are_said(folder):
    assert report.unequal_budgets(folder) == ""
    path = folder / zoo.MANIFEST
    before = path.read_text()
    first, _, last = before.rpartition('"iterations": 1000')
    path.write_text(f'{first}"iterations": 900{last}')
    assert "targets of SRResNet were trained by recipes that differ from seed to seed" in report.unequal_budgets(folder)


def test_pairs_are_counted_by_the_declared_limits():
    good = {"gain_clean": -0.5, "gain_blurry": 3.0, "gain_noisy": 4.0, "barrier": 1.0}
    good |= {"deblurring_other": 0.1, "denoising_other": 0.1}
    bad = [good | change for change in ({"gain_noisy": 3.9}, {"barrier": 1.1}, {"denoising_other": 0.11})]
    words = report.by_limits(pd.DataFrame([good, *bad]), 0.1)
    assert words.startswith("By all three limits 1 of 4 pairs are good enough: 3 are above the floor, 3 have so low")
    assert "and 3 spare the other input" in words
    unknown = report.by_limits(pd.DataFrame([good]).drop(columns="barrier"), 0.1)
    assert unknown == "Above the floor: 1 of 1 pair; of the rest nothing is recorded."
