"""Three degradations: the matrix done again cell by cell, and its sentences."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from faiglib.attribution import faig
from faiglib.companion.beyond import show, threefold
from faiglib.filters.scores import FilterScores
from faiglib.filters.substitution import substitute
from faiglib.images.metrics import gradient_error, psnr
from faiglib.images.restoration import restore
from faiglib.networks import zoo
from tests.helpers.manifests import DESCRIPTION


@pytest.fixture
def triple(bench, tmp_path):
    """The bench with a target that is said to have learnt three degradations."""
    models = tmp_path / "models"
    shutil.copytree(bench.models, models)
    state = zoo.load_entry(models, zoo.find(models, "srresnet", "target", 0))
    parent = "srresnet-baseline-seed0.safetensors"
    zoo.add(models, state, {"role": "target_jpeg", "seed": 0, "parent": parent, **DESCRIPTION})
    return dataclasses.replace(bench, models=models)


def test_a_target_of_another_role_is_in_no_pair_of_the_chapters(triple):
    assert zoo.pairs_available(triple.models) == [("srresnet", 0)]
    assert zoo.pair_entries(triple.models, "srresnet", 0, "target_jpeg")["target"].role == "target_jpeg"


def test_without_such_a_target_there_is_no_pair(bench):
    assert threefold.pair_of(bench) is None


def test_every_cell_is_what_masking_gives(triple):
    pair = threefold.pair_of(triple)
    table = threefold.costs(triple, pair).set_index(["filters", "input"])
    assert len(table) == 9
    found = triple.samples(triple.test_set, 1, 24)
    raw = {}
    for kind in threefold.DEGRADATIONS:
        images = [
            (low, one.ground_truth) for low, one in zip(threefold._inputs(triple, found, kind), found, strict=True)
        ]
        raw[kind] = faig(pair.target, pair.baseline, images, rule=triple.profile.rule, nodes=triple.profile.nodes)
    judged = triple.samples(triple.test_set, 2, 24)
    for name in raw:
        rest = torch.stack([raw[other].values for other in raw if other != name]).mean(0)
        filters = FilterScores(raw[name].index, raw[name].values - rest).top(1)
        network = substitute(pair.target, pair.baseline, filters)
        for kind in raw:
            drops, ends, qualities = [], [], []
            for low, one in zip(threefold._inputs(triple, judged, kind), judged, strict=True):
                masked, whole, base = (restore(each, low) for each in (network, pair.target, pair.baseline))
                drops.append(float(gradient_error(masked, whole)))
                ends.append(float(gradient_error(base, whole)))
                qualities.append(float(psnr(masked, one.ground_truth)))
            cell = table.loc[name, kind]
            assert cell["drop"] == pytest.approx(np.mean(drops) / np.mean(ends), rel=1e-3), (
                "a level of 256 here or there"
            )
            assert cell["psnr"] == pytest.approx(np.mean(qualities), abs=1e-3)
    assert all(table.loc[(name, name), "overlap"] == 1 for name in raw)
    show.threefold(table.reset_index(), "tiny")
    show.threefold_table(table.reset_index(), "tiny")


def matrix(own: float, other: float) -> pd.DataFrame:
    kinds = list(threefold.DEGRADATIONS)
    return pd.DataFrame(
        [
            {"filters": a, "input": b, "drop": own if a == b else other, "overlap": 1.0 if a == b else 0.25}
            for a in kinds
            for b in kinds
        ]
    )


@pytest.mark.parametrize(("own", "other", "sole"), [(0.8, 0.1, "3 of 3 sets"), (0.2, 0.4, "0 of 3 sets")])
def test_the_sentence_counts_the_sets_that_are_selective(own, other, sole):
    text = threefold.in_words(matrix(own, other))
    assert sole in text
    assert f"{own:.0%}".replace("%", " %") in text
    assert f"{other:.0%}".replace("%", " %") in text
    assert "25 %" in text
