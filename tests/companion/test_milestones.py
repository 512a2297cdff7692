"""What is said of milestones: computed by hand on small tables, and nothing where there is too little."""

from __future__ import annotations

from dataclasses import fields

import pandas as pd
import pytest
from scipy import stats

from faiglib.companion.weights import milestones, report, show
from faiglib.errors import WeightsError
from faiglib.networks import zoo
from faiglib.training.milestones import Milestone

SHIPPED = zoo.models_dir()


def table(own_after=(0.9, 0.8, 0.7), baselines=(0, 1, 2)):
    """Three pairs at a tenth and at the end of their training; only the own share changes."""
    rows = []
    for seed, (after, baseline) in enumerate(zip(own_after, baselines, strict=True)):
        for done in (0.1, 1.0):
            for function in ("deblurring", "denoising"):
                row = dict.fromkeys((field.name for field in fields(Milestone)), 0.5)
                named = {"network": "srresnet_s", "seed": seed, "baseline": baseline, "done": done, "share": done / 100}
                own = after if done == 1 and function == "deblurring" else 0.5
                derived = {"chance": 0.01, "lead": 2.0}
                rows.append(row | named | derived | {"step": int(100 * done), "function": function, "own": own})
    return pd.DataFrame(rows)


def test_a_trend_is_the_mean_difference_with_students_interval():
    found = milestones.trends(table()).set_index(["function", "quantity"])
    own = found.loc[("deblurring", "own")]
    differences = [0.4, 0.3, 0.2]
    low, high = stats.ttest_1samp(differences, 0).confidence_interval()
    assert (own["before"], own["after"], own["change"]) == pytest.approx((0.5, 0.8, 0.3))
    assert (own["low"], own["high"]) == pytest.approx((low, high))
    assert own["smallest"] == pytest.approx(0.1 * (stats.t.ppf(0.975, 2) + stats.t.ppf(0.8, 2)) / 3**0.5)
    assert milestones.trend(own["low"], own["high"]) == "rises"
    assert milestones.trend(*found.loc[("denoising", "own"), ["low", "high"]]) == "no trend"
    assert set(found["pairs"]) == {3}


def test_pairs_that_share_a_baseline_count_once():
    assert milestones.trends(table(baselines=(0, 0, 1))).empty
    four = milestones.trends(table((0.9, 0.8, 0.7, 0.6), (0, 1, 2, 2)))
    assert set(four["pairs"]) == {3}


def test_sentences_say_what_the_numbers_say():
    changes = milestones.trends(table())
    sentence = milestones.expectation(changes, "b")
    assert sentence.startswith(
        "Claim (b), 3 pairs of SRResNet-S, last tenfold of training: share of the drop, own input for"
    )
    assert "own input for deblurring rises by 30 percentage points (95 % +5 to +55)" in sentence
    assert "other input for denoising has no trend" in sentence
    assert "what FAIG’s filters take from their own input rose for deblurring" in milestones.headline(changes)
    falling = milestones.trends(table((0.1, 0.2, 0.15)))
    assert "what FAIG’s filters take from their own input fell for deblurring" in milestones.headline(falling)
    still = milestones.trends(table((0.5, 0.5, 0.5)))
    assert "nothing that the claims are about has a clear trend" in milestones.headline(still)
    assert milestones.expectation(pd.DataFrame(), "b") == milestones.headline(pd.DataFrame()) == ""


def test_the_last_row_of_a_pair_is_what_it_is():
    last = milestones.ends(table())
    assert last["deblurring_own"].tolist() == [0.9, 0.8, 0.7]
    assert last["denoising_other"].tolist() == [0.5, 0.5, 0.5]


def test_every_shipped_pair_has_its_end_in_the_table():
    rows = milestones.rows(SHIPPED)
    pairs = report.pairs(SHIPPED)
    assert list(zip(pairs["network"], pairs["seed"], strict=True)) == zoo.pairs_available(SHIPPED)
    assert pairs.notna().all(axis=None)
    for network, seed in zoo.pairs_available(SHIPPED):
        own = rows[(rows["network"] == network) & (rows["seed"] == seed)]
        assert own["done"].max() == 1
        barrier = zoo.find(SHIPPED, network, "target", seed).barrier
        assert own[own["done"] == 1]["barrier"].tolist() == pytest.approx([barrier["psnr"]] * 2, abs=0.003)
    assert {path.stem for path in (SHIPPED / "milestones").iterdir()} == {
        zoo.name_of(network, "target", seed) for network, seed in zoo.pairs_available(SHIPPED)
    }


def test_tables_and_figures_show_them():
    rows = table()
    assert len(show.milestone_curves(rows, ["srresnet_s"]).axes) == len(milestones.FOLLOWED)
    shown = show.trends_table(milestones.trends(rows)).data
    own = shown[(shown["quantity"] == "share of the drop, own input") & (shown["filters"] == "deblurring")]
    assert own["trend"].tolist() == ["rises"]
    pairs = show.pairs_table(report.pairs(SHIPPED)).data
    assert len(pairs) == len(zoo.pairs_available(SHIPPED))
    assert {"barrier (dB)", "deblurring masked: other input loses", "gain, noisy (dB)"} <= set(pairs.columns)


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    path = tmp_path / "milestones" / "srresnet-target-seed0.csv"
    path.parent.mkdir()
    path.write_text("step,function\n1,deblurring\n")
    monkeypatch.setattr(zoo, "pairs_available", lambda _: [("srresnet", 0)])
    monkeypatch.setattr(zoo, "pair_entries", lambda *_: zoo_entries())
    with pytest.raises(WeightsError, match=r"srresnet-target-seed0\.csv cannot be read"):
        milestones.rows(tmp_path)


def zoo_entries():
    entry = next(one for one in zoo.entries(SHIPPED) if one.role == "target")
    return {"baseline": entry, "target": entry}
