"""The race's statistics against formulas and slow loops, its costs against counted facts, and claim (a)."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from faiglib.companion import claims, paper
from faiglib.companion.one_versus_two import measure, report, show
from faiglib.companion.one_versus_two import spending as one_versus_two_spending
from faiglib.companion.one_versus_two.measure import TESTS, RecordedRace
from faiglib.companion.one_versus_two.report import MARGIN, comparisons, lead_interval, outcome
from faiglib.companion.one_versus_two.spending import training_flop
from faiglib.companion.one_versus_two.table_1 import table_1
from faiglib.errors import FaiglibError
from faiglib.race import presets
from faiglib.race.contest import WIDTHS
from faiglib.race.presets import CONTESTS, PRESETS
from faiglib.race.record import Description
from faiglib.system import provenance
from faiglib.system.tensors import load_weights, save_weights

SEEDS, IMAGES = 3, 40
LEVELS = {"dan": 24.0, "one_dan": 24.02, "half_dan": 23.8, "dasr": 26.0, "one_dasr": 25.5, "half_dasr": 25.4}


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> RecordedRace:
    """A race whose numbers are drawn: entrants differ by :data:`LEVELS` and a little noise."""
    generator = np.random.default_rng(0)
    images = generator.normal(0, 3, IMAGES)
    rows = []
    for key, height in LEVELS.items():
        for seed in (0, 1, 2):
            for image in range(IMAGES):
                for width in WIDTHS:
                    rgb = height + images[image] - width + generator.normal(0, 0.02)
                    row = {"entrant": key, "seed": seed, "image": str(image), "width": width}
                    rows.append(row | {"rgb": rgb, "y": rgb + 1.3})
    preset = dataclasses.replace(PRESETS["quick"], seeds=(0, 1, 2))
    seconds = {f"{one.key}-seed{seed}-restoration": 60.0 for one in preset.entrants for seed in range(3)}
    made_on = provenance.collect("cpu")
    description = Description(preset, True, ("skimage", "", 5), ("mine", "", IMAGES), seconds, made_on)
    curves = pd.DataFrame(
        {"entrant": key, "seed": seed, "phase": "restoration", "step": step, "psnr_blurry": 20.0 + step}
        for key in LEVELS
        for seed in range(3)
        for step in (1, 2)
    )
    return RecordedRace(preset, pd.DataFrame(rows), curves, description, tmp_path_factory.mktemp("record"), True)


def test_leads_are_means_over_the_widths_of_a_test(record):
    for test, widths in TESTS.items():
        table = report.leads(record.psnr, "one_dan", "dan", test, "rgb")
        assert table.shape == (SEEDS, IMAGES)
        by = record.psnr.set_index(["entrant", "seed", "image", "width"])["rgb"]
        expected = np.mean([by["one_dan", 1, "7", width] - by["dan", 1, "7", width] for width in widths])
        assert table.loc[1, "7"] == pytest.approx(expected, abs=1e-12)


def test_the_interval_of_a_lead_is_students_where_images_agree():
    """Three seeds have 4.3 standard errors; percentiles of their draws alone would reach from seed to seed."""
    seeds = np.array([0.05, 0.16, 0.08])
    alike = np.repeat(seeds[:, None], 50, axis=1)
    for level, quantile in ((0.90, 2.920), (0.95, 4.303)):
        half = quantile * seeds.std(ddof=1) / math.sqrt(3)
        assert lead_interval(alike, level) == pytest.approx((seeds.mean() - half, seeds.mean() + half), abs=1e-4)
    assert all(math.isnan(end) for end in lead_interval(alike[:1], 0.95)), "one seed says nothing of others"


@pytest.mark.parametrize(
    ("ninety", "ninety_five", "expected"),
    [
        ((-0.09, 0.09), (-0.12, 0.12), "equivalent"),
        ((0.01, 0.09), (0.005, 0.095), "equivalent"),
        ((0.03, 0.12), (0.01, 0.14), "better"),
        ((-0.05, 0.2), (-0.09, 0.25), "not inferior"),
        ((-0.3, -0.12), (-0.35, -0.11), "inferior"),
        ((-0.3, -0.05), (-0.35, -0.02), "inconclusive"),
        ((-0.3, 0.3), (-0.4, 0.4), "inconclusive"),
    ],
)
def test_outcomes(ninety, ninety_five, expected):
    assert outcome(ninety, ninety_five) == expected
    assert MARGIN == 0.10


def test_comparisons_find_what_was_put_in(record):
    table = comparisons(record)
    assert len(table) == 2 * 2 * 2 * 2
    by = table.set_index(["contest", "compared", "test", "channel"])
    for name, contest in CONTESTS.items():
        expected = LEVELS[contest.one] - LEVELS[contest.two]
        for test in TESTS:
            for channel in ("rgb", "y"):
                row = by.loc[name, "one − two", test, channel]
                assert row["lead"] == pytest.approx(expected, abs=0.02)
                assert row["low"] < row["low90"] < row["lead"] < row["high90"] < row["high"]
                assert row["least"] <= row["lead"] <= row["most"]
                assert (row["seeds"], row["images"]) == (SEEDS, IMAGES)
                assert row["lead"] == pytest.approx(row["first"] - row["second"], abs=1e-9)
    primary = table[table["primary"]]
    assert sorted(zip(primary["contest"], primary["test"], primary["channel"], strict=True)) == [
        ("dan", "gaussian8", "rgb"),
        ("dan", "gaussian8", "rgb"),
        ("dasr", "sigma1.2", "rgb"),
        ("dasr", "sigma1.2", "rgb"),
    ]
    verdict = report.verdict(record, table)
    assert verdict.outcomes == {"dan": "equivalent", "dasr": "inferior"}
    assert verdict.sensitive == {"dan": True, "dasr": True}
    assert verdict.share == record.preset.iterations / 500_000
    assert verdict.elsewhere == {"dan": ["equivalent"] * 3, "dasr": ["inferior"] * 3}
    judged = claims.one_branch(verdict)
    assert judged.paper.grades == {"DAN": "partly", "DASR": "did not hold"}
    share = f"{100 * record.preset.iterations / 500_000:.2g} %"
    assert f"against DAN +0.02 dB, equivalent; against DASR −0.50 dB, inferior; blur only; {share} of" in (
        judged.paper.measured
    )


def test_a_half_that_is_far_ahead_tells_that_the_lead_is_a_head_start(record):
    beside = report.beside_the_paper(record)
    words = report.head_start(beside)
    assert "over DAN the half leads by −0.20 dB, the whole by +0.02 dB" in words
    assert "how soon" not in words
    ahead = beside.assign(rgb=beside["rgb"].where(beside["branches"] != "two", beside["rgb"] - 2))
    assert "how soon a network starts to learn" in report.head_start(ahead)


def test_cost_of_a_step_is_that_which_was_counted():
    full, cpu = PRESETS["full"], PRESETS["cpu"]
    counted = {key: training_flop(full.entrant(key), 16, 32) / 1e9 for key in ("dan", "one_dan", "dasr", "one_dasr")}
    assert {key: round(value) for key, value in counted.items()} == {
        "dan": 937,
        "one_dan": 525,
        "dasr": 321,
        "one_dasr": 329,
    }
    assert round(training_flop(full.entrant("dasr"), 16, 32, "encoder") / 1e9) == 20
    small = {key: round(training_flop(cpu.entrant(key), 8, 24) / 1e9, 1) for key in counted}
    assert small == {"dan": 31.1, "one_dan": 19.3, "dasr": 13.2, "one_dasr": 12.6}


def test_cost_of_the_papers_race(record):
    cost = one_versus_two_spending.full_cost().set_index("title")["pflop"]
    dan = training_flop(PRESETS["full"].entrant("dan"), 64, 64) * 400_000 / 1e15
    assert cost["DAN, 40 blocks"] == pytest.approx(dan)
    spending = one_versus_two_spending.spending(record)
    assert spending.full == pytest.approx(3e15 * cost.sum())
    assert spending.minutes == 18
    assert spending.speed * 18 * 60 == pytest.approx(spending.race)
    assert spending.core_years * 365.25 * 86400 * spending.speed == pytest.approx(spending.full)
    steps = [
        record.preset.iterations * training_flop(one, record.preset.batch, record.preset.patch // 4)
        for one in record.preset.entrants
    ]
    encoder = training_flop(record.preset.entrant("dasr"), record.preset.batch, record.preset.patch // 4, "encoder")
    assert spending.race == pytest.approx(3 * (sum(steps) + record.preset.encoder_iterations * encoder))


def test_tables_and_figures_show_the_race(record):
    beside = report.beside_the_paper(record)
    assert beside["branches"].tolist() == ["two", "one", "half"] * 2
    assert beside.loc[1, "rgb"] == pytest.approx(report.level(record.psnr, "one_dan", "gaussian8", "rgb"))
    assert beside["paper"].tolist()[:2] == [26.168, 26.182]
    assert beside["paper"].isna().tolist() == [False, False, True] * 2
    html = show.race(beside).to_html()
    assert "26.182 ± 0.011" in html
    table = comparisons(record)
    assert "inferior" in show.race_leads(table, measure.TEST_TITLES).to_html()
    html = show.complexity(table_1()).to_html()
    assert all(text in html for text in ("275.36", "77.03", "48.27", "48.32", "4.33", "4.32", "7.25", "2.33"))
    budgets = one_versus_two_spending.race_budgets(record)
    assert budgets["minutes"].tolist() == [1.0] * 6
    contests = {name: vars(contest) for name, contest in CONTESTS.items()}
    drawn = (
        show.designs(),
        show.budgets(budgets),
        show.curves(record.curves, contests),
        show.leads(table, MARGIN, measure.TEST_TITLES),
    )
    assert all(isinstance(one, Figure) for one in drawn)
    assert len(drawn[3].axes[0].get_yticks()) == 8


def test_anomalies_are_those_of_the_printed_table():
    found = report.anomalies()
    assert found["dan_noise_gain"] == pytest.approx(1.173)
    assert round(found["dasr_rgb"], 2) == found["dasr_y"]
    assert found["largest_gap"] == pytest.approx(0.055)
    assert {one.contest for one in paper.RACE} == set(CONTESTS)


def test_a_record_is_read_back_and_measured_again(bench, monkeypatch):
    tiny = dataclasses.replace(presets.get("quick"), seeds=(0,), iterations=2, encoder_iterations=2, images=2, crop=24)
    monkeypatch.setitem(presets.PRESETS, "quick", tiny)
    record = measure.open_race(bench)
    assert record.fresh
    assert record.preset == tiny
    assert len(record.psnr) == 6 * 2 * 9
    assert report.verdict(record, comparisons(record)).seeds == 1
    again = measure.remeasured(bench, record)
    assert len(again) == 6
    assert (again["largest_difference"] == 0).all()
    html = show.race_box(bench, record)
    assert "run for this page" in html
    assert "2 iterations of" in html
    moved = dataclasses.replace(record.description, test_set=("bsd100", "0", 2))
    elsewhere = dataclasses.replace(record, description=moved)
    assert measure.remeasured(bench, elsewhere).empty
    path = record.folder / "weights" / "dan.safetensors"
    save_weights(path, {name: torch.zeros_like(tensor) for name, tensor in load_weights(path).items()})
    largest = measure.remeasured(bench, record)["largest_difference"]
    assert largest[0] > 0.1
    assert (largest[1:] == 0).all()


def test_what_is_no_record_is_refused(tmp_path):
    with pytest.raises(FaiglibError, match=f"{tmp_path} holds no race; `faiglib race` runs it"):
        measure.load(tmp_path)
    (tmp_path / "race.json").write_text(json.dumps({"preset": {"entrants": []}}))
    with pytest.raises(FaiglibError, match="does not describe a race"):
        measure.load(tmp_path)
