from __future__ import annotations

import dataclasses
import math

import pandas as pd
import pytest
import torch

from faiglib.attribution import random_scores
from faiglib.companion import paper, retrained
from faiglib.companion.discovery import Rankings
from faiglib.companion.retraining import measure, report, show
from faiglib.filters.index import FilterIndex
from faiglib.filters.scores import FilterScores
from faiglib.images.degradations import FUNCTIONS
from faiglib.networks import build
from faiglib.training.trainer import train
from tests.helpers.srresnet import FIRST, TOP, small_srresnet


@pytest.fixture(scope="module")
def rankings():
    with pytest.MonkeyPatch.context() as patch:
        small_srresnet(patch)
        index = FilterIndex.of(build("srresnet"))
    names = [(method, function) for method in paper.METHODS for function in FUNCTIONS]
    return Rankings({name: random_scores(index, seed) for seed, name in enumerate(names)})


def test_jobs_are_the_cells_of_the_papers_table(rankings):
    found = [(job.task, job.function, job.method) for job in measure.jobs(rankings)]
    assert sorted(found) == sorted((one.task, one.filters, one.method) for one in paper.retraining())
    sizes = {len(job.filters) for job in measure.jobs(rankings) if job.method != "all"}
    assert sizes == {TOP}


def test_as_released_never_trains_the_first_layer(rankings):
    published = list(measure.jobs(rankings))
    released = [measure.as_released(job) for job in published]
    for one, other in zip(published, released, strict=True):
        assert set(other.filters.ids.tolist()) == {i for i in one.filters.ids.tolist() if i >= FIRST}
        assert (other.task, other.method, other.function) == (one.task, one.method, one.function)
    assert any(len(one.filters) > len(other.filters) for one, other in zip(published, released, strict=True))


def test_released_difference_retrains_only_where_the_first_layer_is_among_the_chosen(bench, monkeypatch):
    index = FilterIndex.of(build("srresnet"))
    inside = torch.zeros(index.total, dtype=torch.float64)
    inside[FIRST : FIRST + 2 * TOP] = 1
    across = torch.zeros(index.total, dtype=torch.float64)
    across[:FIRST] = 1
    scores = {("faig", "deblurring"): inside, ("faig", "denoising"): across}
    found = Rankings({name: FilterScores(index, values) for name, values in scores.items()})
    monkeypatch.setattr(measure, "discover", lambda *_: found)
    ends = pd.DataFrame(
        [("srresnet", 0, task, "faig", task, 4, 20.0) for task in FUNCTIONS],
        columns=["network", "seed", "task", "method", "filters", "step", "psnr"],
    )
    table = measure.released_difference(bench, ends).set_index("filters")
    assert table["first_layer"].to_dict() == {"deblurring": 0, "denoising": FIRST}
    assert table.loc["deblurring", "psnr_released"] == 20.0
    assert table.loc["denoising", "psnr_released"] != 20.0
    assert list(table["chosen"]) == [TOP, TOP]


def runs():
    """Two tasks; FAIG leads at home, IG is worst everywhere, two seeds."""
    gains = {"all": 4.0, "faig": 2.0, "intinf": 0.5, "filter_change": 1.0, "random": 0.8}
    rows = []
    for seed in (0, 1):
        for task in FUNCTIONS:
            for method, gain in gains.items():
                for filters in ("all",) if method == "all" else FUNCTIONS:
                    at_home = gain if filters == task or method != "faig" else gain / 2
                    for step, share in ((0, 0.0), (5, 0.7), (10, 1.0)):
                        psnr = 20 + seed + share * at_home
                        rows.append((seed, task, method, filters, step, psnr))
    table = pd.DataFrame(rows, columns=["seed", "task", "method", "filters", "step", "psnr"])
    return table.assign(network="srcnn_style", image_set="set14")


def test_final_is_mean_over_seeds_with_gain_and_share_of_the_upper_bound():
    final = report.final(runs()).set_index(["task", "filters", "method"])
    cell = final.loc["deblurring", "deblurring", "faig"]
    assert cell["measured"] == pytest.approx(22.5)  # mean of 22 and 23
    assert cell["spread"] == pytest.approx(1 / math.sqrt(2))
    assert (cell["gain"], cell["recovered"]) == (pytest.approx(2.0), pytest.approx(0.5))
    assert (cell["paper"], cell["paper_std"]) == (28.047, 0.023)
    assert final.loc["denoising", "all", "all"]["paper"] == 26.712
    html = show.retraining_table(final.reset_index(), "srcnn_style").to_html()
    assert "28.05 ± 0.02" in html
    assert "+2.00" in html


def test_the_recorded_table_has_every_cell_of_the_papers():
    known = pd.DataFrame(
        [(one.network, one.task, one.filters, one.method, one.mean - 1) for one in paper.retraining()],
        columns=["network", "task", "filters", "method", "measured"],
    )
    table = show.recorded_table(known).data
    assert len(table) == len(list(paper.retraining()))
    assert list(table["PSNR recorded"])[:2] == [f"{one.mean - 1:.2f}" for one in list(paper.retraining())[:2]]
    assert list(table["PSNR in the paper"])[1] == "28.05 ± 0.02"


def test_verdict_counts_wins_at_home_and_methods_below_chance():
    verdict = report.verdict(report.final(runs()))
    assert (verdict.cells, verdict.won) == (2, 2)
    assert verdict.least_lead == pytest.approx(1.0)
    assert (verdict.below_random, verdict.comparisons) == (4, 8)  # IG in each of four cells, |θ − θ̄| never
    assert verdict.deepest == pytest.approx(0.3)


def test_words_name_the_leader_and_compare_both_functions():
    final = report.final(runs())
    words = report.in_words(final)
    assert words.startswith("- **SRCNN-style**: for deblurring, FAIG’s filters learn most (22.50 dB)")
    assert "FAIG’s own filters learn more than its denoising ones (21.50 dB)" in words
    home = (final["task"] == "denoising") & (final["filters"] == "denoising") & (final["method"] == "faig")
    worse = report.in_words(final.assign(measured=final["measured"].where(~home, 21.0)))
    assert "for denoising, |θ − θ̄|’s filters learn most (21.50 dB, FAIG’s 21.00)" in worse
    assert "learn no more than its deblurring ones" in worse


def test_retraining_moves_psnr_of_the_upper_bound_and_stores_the_result(bench, monkeypatch):
    everything = measure.jobs
    monkeypatch.setattr(measure, "jobs", lambda *_: list(everything(*_))[:2])
    table = measure.retraining(bench)
    assert table["step"].max() == bench.profile.retraining_iterations
    bound = table[table["method"] == "all"].set_index("step")["psnr"]
    assert bound.iloc[-1] != bound.iloc[0]
    assert (table.groupby("method")["psnr"].first().nunique()) == 1  # all start from the same baseline
    monkeypatch.setattr(retrained, "train", None)
    pd.testing.assert_frame_equal(measure.retraining(bench), table)


def test_untouched_filters_keep_their_bits(rankings, bench):
    pair = bench.pair("srresnet", 0)
    job = list(measure.jobs(rankings))[1]
    masks = job.filters.masks()
    result = train(
        retrained.recipe_of(dataclasses.replace(bench.profile, retraining_iterations=1), pair, job.task),
        bench.training_images(1),
        initial=pair.baseline.state_dict(),
        trainable=masks,
        progress=False,
    )
    for name, before in pair.baseline.state_dict().items():
        frozen = ~masks[name].expand_as(before) if name in masks else torch.ones_like(before, dtype=torch.bool)
        assert torch.equal(result.state[name][frozen], before[frozen])
