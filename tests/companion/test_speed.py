"""The page on speed: sums worked out by hand, words that follow the numbers, and the recorded run itself."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from faiglib.attribution.resamples import CROP_NODES, CROP_SIDE, MOVED_NODES
from faiglib.companion.discovery import TOLERANCE
from faiglib.companion.speed import recorded, report, show, words
from faiglib.companion.speed.passes import Study
from faiglib.errors import FaiglibError


def made_up(seconds: float = 5.0) -> dict:
    """A benchmark, times of an image: 400 passes of 0.25 s and 200 networks of 0.1 s, against 32 passes."""
    names = {"exact": "32-true", "reduced": "bf16-mixed"}
    return {
        "attribution": {
            "images": 2,
            "rebuild_seconds": 0.1,
            "gflop_per_pass": 10.0,
            "rows": [
                {"name": "published", "passes": 400, "seconds": 120.0, "ratio": 1.0, "overlap": 0.99},
                {"name": "faiglib", "passes": 32, "seconds": seconds, "ratio": 120 / seconds, "overlap": 0.995},
                {"name": "faster", "passes": 16, "seconds": 4.0, "ratio": 30.0, "overlap": 0.9885},
                {"name": "careless", "passes": 2, "seconds": 0.5, "ratio": 240.0, "overlap": 0.9},
            ],
        },
        "throughput": {
            "peak": {"best": {"32-true": 100.0, "bf16-mixed": 200.0}},
            "rows": [
                {"work": work, "size": "1x24x24", "precision": precision, "gflops": 80.0, "share": share}
                for work, share in (("attribution", 0.8), ("training", 0.6))
                for precision in names.values()
            ],
        },
        "memory": {
            "limit_mib": 60.0,
            "rows": [
                {"name": name, "mib": value}
                for name, value in (("published", 100.0), ("faiglib", 90.0), ("faiglib, memory_limit", 50.0))
            ],
        },
        "scaling": {
            "exponents": {"images": 1.0, "nodes": 0.9},
            "rows": [
                {"what": what, "amount": amount, "seconds": 0.5 * amount}
                for what in ("images", "nodes")
                for amount in (1, 2, 4)
            ],
        },
        "training": {
            "rows": [{"name": "faiglib, 32-true", "ratio": 1.2}, {"name": "faiglib, bf16-mixed", "ratio": 2.0}],
        },
        "per_image_gradients": {
            "rows": [
                {"crop": crop, "way": way, "seconds": value}
                for crop in (24, 48)
                for way, value in (("loop", 1.0), ("torch.func", 1.5), ("summed over the batch (a bound)", 0.9))
            ]
        },
    }


def test_the_factor_is_taken_apart():
    account = report.accounting(made_up())
    assert account.ratio == pytest.approx(24)
    assert account.rebuilt == pytest.approx(20)
    assert account.pass_published == pytest.approx((120 - 20) / 400)
    assert account.fewer_passes == pytest.approx(12.5)
    assert account.faster_passes == pytest.approx(0.25 / (5 / 32))
    assert account.no_rebuilding == pytest.approx(1.2)
    assert account.fewer_passes * account.faster_passes * account.no_rebuilding == pytest.approx(24)
    assert account.bound == pytest.approx(120 / (32 * 10 / 100))
    assert account.passes_for_goal == pytest.approx(120 / 40 / (5 / 32))
    assert (account.fastest, account.fastest_ratio) == ("faster", 30.0)  # the careless one is less faithful


def test_words_follow_the_numbers():
    assert "**not reached**" in report.accounting(made_up()).sentence
    assert "**reached**" in report.accounting(made_up(seconds=2.5)).sentence
    text = report.in_short(made_up())
    assert "30.0 times (faster), not reached; 24.0 times by default" in text
    assert "80 % in attribution, reached; 60 % in training, not reached" in text
    assert "90 MiB against 100 MiB, reached" in text
    assert "images 1.00, nodes 0.90, reached" in text
    assert "1.20 times in the same precision, not reached; 2.00 times with bfloat16, reached" in text
    assert "48.0 times (faiglib), reached" in report.in_short(made_up(seconds=2.5))


def test_the_distance_to_the_published_rule_is_told_by_network():
    rows = [
        ("srresnet", scheme, images, overlap)
        for scheme, overlaps in (("left 100", (0.99, 0.992)), ("midpoint 16", (0.98, 0.995)))
        for images, overlap in zip((1, 4), overlaps, strict=True)
    ]
    told = report.averaging_in_words(pd.DataFrame(rows, columns=["network", "scheme", "images", "overlap"]))
    assert "SRResNet +1.00 with 1 and −0.30 with 4 images" in told


def test_the_recorded_run_feeds_the_whole_page():
    recorded = report.load()
    results = recorded.results
    assert report.machine(recorded).startswith("Recorded with ")
    assert ("quick run" in report.machine(recorded)) == (recorded.size != "full")
    assert report.in_short(results).count("\n") == 4
    account = report.accounting(results)
    assert account.fewer_passes * account.faster_passes * account.no_rebuilding == pytest.approx(account.ratio)


def test_a_missing_or_broken_record_is_one_sentence(tmp_path):
    path = tmp_path / "bench.json"
    with pytest.raises(FaiglibError, match=r"no recorded benchmark at .*nox -s bench"):
        report.load(path)
    for text in ("{", "[]", json.dumps({"results": {}})):
        path.write_text(text)
        with pytest.raises(FaiglibError, match="is not a recorded benchmark"):
            report.load(path)


def test_figures_show_every_row():
    results = made_up()
    axis = show.throughput(report.rows(results, "throughput"), results["throughput"]["peak"]["best"]).axes[0]
    assert len(axis.patches) == 4
    assert [label.get_text() for label in axis.get_xticklabels()] == ["attribution\n1×24×24", "training\n1×24×24"]
    panels = show.scaling(report.rows(results, "scaling"), results["scaling"]["exponents"]).axes
    assert [axis.get_xlabel() for axis in panels] == ["images", "nodes"]
    assert panels[0].lines[0].get_ydata() == pytest.approx([0.5, 1.0, 2.0])
    panels = show.per_image_gradients(report.rows(results, "per_image_gradients")).axes
    assert [axis.get_title() for axis in panels] == ["24×24", "48×48"]
    assert [bar.get_width() for bar in panels[0].patches] == [0.9, 1.5, 1.0]


def made_up_study() -> recorded.RecordedStudy:
    """Two ways to spend: one node has the bias, nine have not and cost nine times as much."""
    rows = [
        {
            "network": network,
            "filters": function,
            "side": 32,
            "rule": rule,
            "nodes": nodes,
            "crops": crops,
            "groups": 1,
            "overlap": 0.9 - bias - 1 / crops,
            "missed": bias + 1 / crops,
            "cost": crops * nodes * 32**2 / 1e8,
        }
        for network in ("srresnet", "srcnn_style")
        for function in ("deblurring", "denoising")
        for rule, nodes, bias in (("fixed", 1, 0.2), ("shifted", 9, 0.0))
        for crops in (5, 10, 100)
    ]
    ends = {name: {"deblurring": 0.95, "denoising": 0.85} for name in ("srresnet", "srcnn_style")}
    whole = {"srresnet": {"deblurring": 0.9, "denoising": 0.8}, "srcnn_style": {"deblurring": 0.9, "denoising": 0.92}}
    facts = recorded.Facts(dataclasses.asdict(Study()), ["set14"], 100_000_000, ends, whole, {}, {})
    return recorded.RecordedStudy(facts, pd.DataFrame(rows))


def test_the_best_way_to_spend_depends_on_the_budget_and_was_tried():
    study = made_up_study()
    found = words.best_ways(study, (0.0001, 0.001, 0.01, 1.0))
    # Of 5, 10 and 100 crops a ten-thousandth pays ten with one node, a thousandth ten with nine.
    assert found["nodes"].tolist() == [1, 9, 9, 9]
    assert found["crops"].tolist() == [10, 10, 100, 100], "however much more could be paid"
    assert found["share"].tolist() == [0.0001, 0.001, 0.01, 1.0]
    assert (1e8 * found["cost"]).tolist() == pytest.approx([10 * 1024, *(9 * crops * 1024 for crops in (10, 100, 100))])
    assert found["srresnet"].tolist() == pytest.approx([0.7 - 1 / 10, 0.9 - 1 / 10, 0.89, 0.89])


def test_biases_are_those_of_the_fits_by_nodes_and_side():
    study = made_up_study()
    larger = study.table[study.table["nodes"] == 9].assign(side=64, missed=0.4)
    few = larger[larger["crops"] < words.ENOUGH_CROPS].assign(side=96)
    assert len(few)
    study = dataclasses.replace(study, table=pd.concat([study.table, larger, few]))
    found = words.biases(study).set_index(["rule", "nodes"])
    assert found.loc[("fixed", 1), 32] == pytest.approx(0.2)
    assert found.loc[("shifted", 9)].to_dict() == pytest.approx({32: 0.0, 64: 0.4}, abs=1e-9)
    assert np.isnan(found.loc[("fixed", 1), 64])
    assert 96 not in found, "ten crops are too few"


def test_the_goal_of_spending_is_judged_by_the_cheapest_of_the_best_that_was_tried_within_it():
    study = made_up_study()
    equal = study.table[(study.table["rule"] == "shifted") & (study.table["crops"] == 100)]
    equal = equal.assign(crops=101, cost=0.0099, overlap=equal["overlap"] + 0.5 * TOLERANCE)
    study = dataclasses.replace(study, table=pd.concat([study.table, equal]))
    told = words.spending_in_words(study)
    assert "100 crops of 32 pixels with 9 nodes moved from crop to crop are the cheapest" in told
    assert "they take 0.92 % of the pixels" in told
    assert "SRResNet 89.0 % against 85.0 % (other half 90.0 %), reached" in told
    assert "SRCNN-style 89.0 % against 91.0 % (other half 90.0 %), not reached" in told
    dear = dataclasses.replace(study, table=study.table.assign(cost=10 * study.table["cost"]))
    assert "10 crops of 32 pixels with 9 nodes" in words.spending_in_words(dear), "100 crops cost more"


def test_the_fewest_nodes_that_are_as_good_as_more():
    study = made_up_study()
    assert words.fewest_nodes(study) == (1, 0.0)  # only one number of fixed nodes was tried
    more = study.table[study.table["rule"] == "fixed"]
    extra = [more.assign(nodes=nodes, overlap=more["overlap"] + gain) for nodes, gain in ((3, 0.1), (6, 0.1015))]
    moved = [more.assign(rule="shifted", nodes=MOVED_NODES, overlap=more["overlap"] + 0.1042)]
    table = pd.concat([study.table, *extra, *moved, moved[0].assign(crops=500, overlap=0.99)])
    study = dataclasses.replace(study, table=table.assign(side=CROP_SIDE))
    nodes, behind = words.fewest_nodes(study)
    assert (nodes, behind) == (3, pytest.approx(0.0015))
    assert words.moved_behind(study) == (100, pytest.approx(-0.0042)), "500 crops were not tried with both"
    told = words.nodes_in_words(study)
    assert "3 midpoint nodes have as much in common with the reference as 6 have, to 0.15 percentage points" in told
    assert "0.42 percentage points more than these with 100 crops of 64 pixels, at 100 % of the price" in told


def test_the_defaults_of_crops_follow_from_the_record():
    study = recorded.load()
    assert words.fewest_nodes(study)[0] == CROP_NODES
    assert words.moved_behind(study)[1] <= TOLERANCE


def test_spending_is_drawn_with_its_ceiling():
    study = made_up_study()
    figure = show.spending(study.table, study.facts)
    assert [axis.get_title() for axis in figure.axes] == ["SRResNet", "SRCNN-style"]
    left = figure.axes[0]
    heights = {line.get_linestyle(): line.get_ydata() for line in left.lines if len(line.get_xdata()) == 3}
    assert list(heights["-"]) == pytest.approx([0.9 - 0.2 - 1 / crops for crops in (5, 10, 100)])
    assert list(heights[":"]) == pytest.approx([0.9 - 1 / crops for crops in (5, 10, 100)])
    (ceiling,) = [line for line in left.lines if line.get_linestyle() == "--"]
    assert list(ceiling.get_ydata()) == pytest.approx([0.9, 0.9])
    (square,) = [line for line in left.lines if line.get_marker() == "s"]
    assert (square.get_xdata()[0], square.get_ydata()[0]) == (1, pytest.approx(0.85))
