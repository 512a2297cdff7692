"""The chapter on networks of others: summaries by hand, verdicts on tables made to order, measurements done again."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from faiglib.attribution import faig
from faiglib.companion import public_claims
from faiglib.companion.criteria import QUESTIONS
from faiglib.companion.page.words import printed
from faiglib.companion.public_pairs import kept, measure, pairs, paths, pictures, report, show, words
from faiglib.companion.public_pairs.pairs import FUNCTIONS, INPUTS, MAIN
from faiglib.errors import StoreError
from faiglib.filters.substitution import substitute
from faiglib.images.metrics import gradient_error, psnr
from faiglib.images.restoration import restore
from faiglib.networks import waifu2x
from tests.companion.test_prose import stumbles
from tests.helpers import wheels

IMAGES = ("a", "b", "c")


def drops(cost) -> pd.DataFrame:
    """A table of drops in which a method's filters cost what a function of method, side and percent says, of 10."""
    rows = []
    for method, function, percent, kind, image in itertools.product(
        measure.METHODS, (*FUNCTIONS, pairs.CONTROL), measure.PERCENTS, INPUTS, IMAGES
    ):
        own = report.OWN[function] == kind
        other = function in FUNCTIONS and FUNCTIONS[function][1] == kind
        if function == pairs.CONTROL and method != "faig":
            continue
        share = cost(method, "own" if own else "other" if other else "third", percent)
        wobble = {"a": 0.99, "b": 1.0, "c": 1.01}[image]
        gain = 0.0 if kind in ("clean", "blurry") else 4.0
        row = {"drop": 10 * share * wobble, "drop_all": 10.0}
        for name in ("psnr", "level"):
            row |= {name: 30 - 4 * share, f"{name}_target": 30.0, f"{name}_baseline": 30 - gain}
        rows.append({"method": method, "filters": function, "percent": percent, "input": kind, "image": image, **row})
    return pd.DataFrame(rows)


def good(method, side, percent):
    """What a perfect method's filters cost, and those of others."""
    return {"faig": {"own": 0.8, "other": 0.05, "third": 0.1}, "raw": {"own": 0.8, "other": 0.4, "third": 0.3}}.get(
        method, dict.fromkeys(("own", "other", "third"), 0.01)
    )[side]


def bad(method, side, percent):
    """FAIG's filters cost everything everywhere, less than random ones do, and nothing is gained by elimination."""
    return {"faig": 1.0, "raw": 1.0 if side == "own" else 0.9}.get(method, 1.5)


def sweep(rising=True) -> pd.DataFrame:
    rows = []
    for function, strength, (kind, _), image in itertools.product(
        FUNCTIONS, measure.LAMBDAS, FUNCTIONS.values(), IMAGES
    ):
        own = FUNCTIONS[function][0] == kind
        height = strength if rising else (strength - 0.5) ** 2
        row = (30 + 2 * height if own else 28 + height, 10 - 8 * height if own else 3.0)
        rows.append((function, strength, kind, image, *row))
    return pd.DataFrame(rows, columns=["filters", "lambda", "input", "image", "psnr", "distance"])


def overlaps(apart=0.3) -> pd.DataFrame:
    rows = []
    for number, (image, (kind, _), function) in enumerate(itertools.product(IMAGES, FUNCTIONS.values(), FUNCTIONS)):
        present = FUNCTIONS[function][0] == kind
        rows.append((image, kind, function, 0.3 + apart * present + 0.01 * number, present))
    return pd.DataFrame(rows, columns=["image", "input", "filters", "score", "present"])


def layers(last=0.5) -> pd.DataFrame:
    rows = []
    for function in FUNCTIONS:
        share = [(1 - last) / 4] * 4 + [last / 2] * 2
        rows += [(function, f"conv{number + 1}", one, 1 / 6) for number, one in enumerate(share)]
    return pd.DataFrame(rows, columns=["filters", "layer", "share", "even"])


def controls(faig_drop=5.0) -> pd.DataFrame:
    rows = []
    for function in FUNCTIONS:
        rows += [(function, "faig", 0, faig_drop), (function, "random", 0, 0.1)]
        rows += [(function, "matched", draw, float(draw % 4)) for draw in range(20)]
    return pd.DataFrame(rows, columns=["filters", "kind", "draw", "drop"])


def profiles(depth=0.5) -> pd.DataFrame:
    rows = []
    for pair, way in [(one, "straight") for one in pairs.PAIRS] + [(MAIN, way) for way in paths.WAYS]:
        for alpha, height in ((0.0, 0.0), (0.5, depth), (1.0, 0.0)):
            row = {"alpha": alpha, "psnr": 30 - height, "level": 30 - height / 2, "barrier": depth}
            row |= {"barrier_level": depth / 2, "verdict": "sound" if depth <= 1 else "broken"}
            row |= {"pair": pair.title, "kind": pair.kind, "way": way, "distance": 0.7, "cosine": 0.8}
            rows.append(row)
    return pd.DataFrame(rows)


def everywhere(selectivity) -> pd.DataFrame:
    """Ten pairs whose paths become deeper, with the selectivity that a function of their depth says, and a control."""
    rows = []
    places = [("public", "upconv_7")] * 5 + [("here", "srresnet")] * 5 + [("control", "srresnet_s")]
    for number, (place, network) in enumerate(places):
        depth = 0.2 * 2**number if place != "control" else 0.3
        for function in FUNCTIONS:
            ratio = selectivity(depth) if place != "control" else 1.2
            row = {"pair": f"pair {number}", "network": network, "place": place, "kind": "fine-tuned"}
            row |= {"way": "straight", "filters": function, "barrier": depth, "distance": 0.7, "cosine": 0.8}
            for side, factor in (("own", 1.0), ("other", 1 / ratio)):
                row |= {f"drop_{side}": factor, f"share_{side}": factor / 2, f"lost_{side}": 3 * factor}
                row |= {f"level_{side}": 2 * factor, f"gain_{side}": 4.0}
            rows.append(row)
    table = pd.DataFrame(rows)
    table.loc[table["pair"] == "pair 2", "pair"] = MAIN.title
    other = table.iloc[:4].assign(pair=MAIN.title, way=["waypoint"] * 2 + ["corrected"] * 2)
    return pd.concat([table, other], ignore_index=True)


def tables(fine=True) -> dict[str, pd.DataFrame]:
    abilities = [
        (style, model, kind, 30.0 + number)
        for style in waifu2x.STYLES
        for number, model in enumerate(waifu2x.MODELS)
        for kind in INPUTS
    ]
    return {
        "abilities": pd.DataFrame(abilities, columns=["style", "model", "input", "psnr"]),
        "profiles": profiles(0.5 if fine else 15.0),
        "drops": drops(good if fine else bad),
        "controls": controls(5.0 if fine else 0.5),
        "layers": layers(0.9 if fine else 0.1),
        "overlaps": overlaps(0.3 if fine else 0.0),
        "sweep": sweep(fine),
        "everywhere": everywhere(lambda depth: 20 / (1 + depth**2) if fine else 20.0),
    }


# ---------------------------------------------------------------- summaries


def test_shares_are_of_what_there_is_to_lose():
    table = report.shares(drops(good)).set_index(["filters", "input", "measure"])
    assert table.loc[("denoising", "noisy", "drop"), ["share", "lost"]].tolist() == pytest.approx([0.8, 8])
    assert table.loc[("denoising", "JPEG", "psnr"), ["share", "lost"]].tolist() == pytest.approx([0.05, 0.2])
    assert math.isnan(table.loc[("denoising", "clean", "psnr"), "share"]), "the target is no better there"
    assert table.loc[("denoising", "clean", "psnr"), "lost"] == pytest.approx(0.4)
    sides = report.shares(drops(good)).groupby(["filters", "input"])["side"].first()
    assert sides[("deblocking", "noisy")] == "other"
    assert sides[("deblurring", "blurry")] == "own"
    assert sides[("denoising", "blurry")] == "third"


def test_leads_are_over_the_best_of_the_others():
    def cost(method, side, percent):
        return {"faig": 0.6, "intinf": 0.3, "raw": 5.0}.get(method, 0.1)

    found = report.leads(drops(cost))
    assert len(found) == len(FUNCTIONS) * len(measure.PERCENTS)
    assert found["ratio"].tolist() == pytest.approx([2] * 4)
    assert set(found["best"]) == {"intinf"}
    assert set(found["outcome"]) == {"ahead"}
    assert set(report.leads(drops(bad))["outcome"]) == {"behind"}


def test_chance_elimination_and_controls_by_hand():
    chance = report.chance(drops(good))
    assert chance["share"].tolist() == pytest.approx([0.01 / 0.8] * 2)
    assert chance["change"].tolist() == pytest.approx([-0.04] * 2)
    eliminated = report.elimination(drops(good))
    assert eliminated["with"].tolist() == pytest.approx([16] * 4)
    assert eliminated["without"].tolist() == pytest.approx([2] * 4)
    against = report.against(controls(2.0))
    assert against[["faig", "matched", "random", "reached", "draws"]].iloc[0].tolist() == [2, 1.5, 0.1, 0.5, 20]


def test_knobs_count_steps():
    rising = report.knobs(sweep())
    assert rising[["approaches", "rises"]].to_numpy().tolist() == [[1, 1]] * 2
    assert rising["gained"].tolist() == pytest.approx([2, 2])
    assert rising["other_moved"].tolist() == pytest.approx([1, 1])
    bent = report.knobs(sweep(rising=False))
    assert bent["rises"].tolist() == [0.5, 0.5]
    assert not bent["curve_approaches"].any()


def test_predictions_leave_the_image_out():
    found = report.predicted(overlaps())
    assert found[["accuracy", "auc"]].to_numpy().tolist() == [[1, 1]] * 2
    # One image lies apart: a threshold from the others misses it, one that had seen it would not.
    table = overlaps()
    high = table["image"] == "c"
    table.loc[high, "score"] += 0.5
    missed = report.predicted(table)
    assert (missed["accuracy"] < 1).all()


def test_spread_by_hand():
    found = report.spread(layers(0.5)).iloc[0]
    assert found[["uneven", "last", "last_even"]].tolist() == pytest.approx([0, 0.5, 1 / 3])
    uneven = layers(0.5)
    uneven.loc[uneven["layer"] == "conv1", "share"] = 0.5
    uneven.loc[uneven["layer"].isin(["conv2", "conv3", "conv4"]), "share"] = 0
    assert report.spread(uneven)["uneven"].tolist() == pytest.approx([0.75, 0.75])


def test_the_relation_is_spearmans_over_straight_ways_without_the_control():
    table = everywhere(lambda depth: 20 / (1 + depth**2))
    table.loc[table["place"] == "here", "distance"] = np.linspace(1, 2, 10)
    found = report.by_pair(table)
    expected = everywhere(lambda depth: 20 / (1 + depth**2)).iloc[:20:2]
    rho = stats.spearmanr(expected["barrier"], expected["drop_own"] / expected["drop_other"])
    assert report.relation(found) == pytest.approx((rho.statistic, rho.pvalue, 10))
    assert report.relation(found)[0] == pytest.approx(-1)
    assert report.relation(found, "distance")[0] < 0
    first = found.iloc[0]
    assert first["selectivity"] == pytest.approx(20 / (1 + 0.04))
    assert first["spilled"] == pytest.approx(3 / first["selectivity"])
    assert len(report.counted(found)) == 10


# ---------------------------------------------------------------- verdicts


def grades(fine):
    return {one.claim: (one.paper.grade, one.beyond.grade) for one in public_claims.verdicts(tables(fine))}


def test_verdicts_on_networks_that_are_as_the_paper_says():
    found = grades(True)
    assert list(found) == list(public_claims.CRITERIA)
    assert {letter for letter, one in found.items() if one == ("held", "held")} == set("bcdfgij")
    assert (found["k"], found["l"]) == (("not tested", "held"),) * 2


def test_verdicts_on_networks_that_are_not():
    found = grades(False)
    assert {letter for letter, one in found.items() if one == ("did not hold", "did not hold")} >= set("bcdi")
    assert found["f"] == ("did not hold", "held")
    assert found["g"][0] == "did not hold"
    assert found["j"] == ("did not hold", "did not hold")
    assert (found["k"][1], found["l"][1]) == ("did not hold",) * 2


def test_a_cluster_that_cannot_be_is_not_tested():
    table = layers(0.5)
    table["even"] = [0.05] * 4 + [0.4] * 2 + [0.05] * 4 + [0.4] * 2
    judged = {one.claim: one for one in public_claims.verdicts({**tables(), "layers": table})}["f"]
    assert judged.paper.grade == "not tested"
    assert "2 times that is more than all" in judged.paper.in_words


@pytest.mark.parametrize(
    ("selectivity", "grade"),
    [
        (lambda depth: 20 / (1 + depth**2), "held"),  # falls with the depth, and below 3 soon after 1 dB
        (lambda depth: 20 / (1 + depth / 100), "partly"),  # falls, but everything is selective
        (lambda depth: 20.0 if depth < 1 else 2.0 + depth / 200, "partly"),  # sorted rightly, and rising beyond
        (lambda depth: 1 + depth, "did not hold"),
    ],
)
def test_what_the_path_foretells(selectivity, grade):
    table = everywhere(selectivity)
    judged = public_claims.foretold(table)
    found = report.by_pair(table)
    rho, p, _ = report.relation(found)
    if grade == "partly":
        related = rho <= -0.5 and p < 0.05
        sorted_ = float(((found["barrier"] <= 1) == (found["selectivity"] >= 3))[:10].mean()) >= 0.8
        assert related != sorted_
    assert judged.beyond.grade == grade
    assert judged.claim in QUESTIONS


def test_what_only_networks_have_in_common_is_no_relation_within_them():
    """Two networks, one deep and unselective: a perfect correlation between them, none or a perfect one within."""
    generator = np.random.default_rng(0)
    depth = np.r_[generator.random(6), 10 + generator.random(6)]
    rows = {"way": "straight", "place": "public", "network": ["a"] * 6 + ["b"] * 6, "barrier": depth}
    mixed = np.r_[100 + generator.random(6), generator.random(6)]
    apart, whole = (pd.DataFrame({**rows, "selectivity": value}) for value in (mixed, -depth))
    assert report.relation(apart)[0] < -0.6
    assert report.within_networks(apart) > 0.05
    assert report.within_networks(whole) == pytest.approx(1 / 10_001)
    rho = stats.spearmanr(apart["barrier"], apart["selectivity"]).statistic
    slow, order = [], np.random.default_rng(5)
    for _ in range(2000):
        drawn = np.concatenate([order.permutation(depth[:6]), order.permutation(depth[6:])])
        slow.append(stats.spearmanr(drawn, apart["selectivity"]).statistic <= rho + 1e-12)
    assert report.within_networks(apart) == pytest.approx(np.mean(slow), abs=0.04)


def test_the_path_foretells_nothing_where_all_are_alike():
    table = everywhere(lambda depth: 5.0 + depth)
    table["barrier"] = table["barrier"] / 1000
    assert public_claims.foretold(table).beyond.grade == "not tested"


# ---------------------------------------------------------------- words, figures, tables


@pytest.mark.parametrize("fine", [True, False])
def test_the_reader_does_not_stumble(fine):
    made = tables(fine)
    found = kept.Found(made, kept.MadeBy("quick", 0, {}, {}, {}, "Set14", waifu2x.WHEEL.sha256), recorded=not fine)
    told = [
        words.origin(found),
        words.abilities(made["abilities"]),
        words.profiles(made["profiles"]),
        words.distances(made["profiles"]),
        words.masking(made["drops"]),
        words.ways(made["everywhere"], 3.0),
        words.relation(made["everywhere"]),
        words.control(made["everywhere"], 3.0),
        words.evenness(made["layers"]),
        words.prediction(made["overlaps"]),
        *(words.measured_on(found, name) for name in words.IMAGES),
        *(printed(part.in_words) for one in public_claims.verdicts(made) for part in (one.paper, one.beyond)),
        printed(public_claims.foretold(made["everywhere"]).beyond.in_words),
    ]
    assert all(told)
    assert words.recorded(found) == ("" if fine else "recorded with the profile quick on Set14, not measured here")
    assert [one for text in told for one in stumbles(text)] == []
    assert ("are not on this machine" in told[0]) == (not fine)


def test_depth_and_distance_are_told_apart_where_they_are():
    assert "about as far apart" in words.distances(profiles())
    table = profiles()
    deep = words.distances(table.assign(barrier=table["kind"].map({"siblings": 0.5}).fillna(9.0)))
    assert deep.startswith("Yet distance alone does not decide it"), "all are as far apart, so nothing is correlated"
    order = {pair: number for number, pair in enumerate(table["pair"].unique())}
    places = table["pair"].map(order)
    related = words.distances(table.assign(barrier=0.5 + places / 100, distance=1 - places / 100))
    assert related.startswith(
        "Over 12 pairs, depth of the path and distance of the weights have a rank correlation of −1"
    )
    judged = public_claims.foretold(everywhere(lambda depth: 5.0 - depth / 100), "recorded").beyond
    assert judged.in_words.split("(")[1].startswith("recorded; ")


def test_the_control_is_told_in_its_place():
    assert "(n) has to be read" in words.control(everywhere(lambda depth: 5.0), 3.0)
    assert "told apart where the path is sound" in words.control(everywhere(lambda depth: 5.0), 1.0)
    without = everywhere(lambda depth: 5.0)
    assert "no pair" in words.control(without[without["place"] != "control"], 3.0)


def test_other_ways_are_judged_by_depth_and_selectivity():
    table = everywhere(lambda depth: 5.0)
    assert "None of the other ways is sounder" in words.ways(_straight(table, 0.1), 3.0)
    assert "A sounder way finds selective filters: by a low-loss" in words.ways(_straight(table, 9.0), 3.0)
    assert "does not find selective filters" in words.ways(_straight(table, 9.0), 30.0)


def _straight(table, depth):
    """The table with a straight way of the main pair of some depth."""
    main = (table["pair"] == MAIN.title) & (table["way"] == "straight")
    return table.assign(barrier=table["barrier"].mask(main, depth))


def test_grades_are_listed():
    told = public_claims.in_short(public_claims.verdicts(tables())).splitlines()
    assert told[0] == "- As the paper measures, held: (b), (c), (d), (f), (g), (i) and (j)."
    assert told[1] == "- As this book does besides, held: (b), (c), (d), (f), (g), (i), (j), (k) and (l)."


def test_figures_and_tables_hold_what_they_are_given():
    made = tables()
    panels = show.profiles(made["profiles"]).axes
    assert len(panels) == 4
    assert sum(len(axis.get_lines()) for axis in panels) == 2 * (len(pairs.PAIRS) + len(paths.WAYS))
    assert len(show.selectivity(made["drops"]).axes) == 2
    assert len(show.knobs(made["sweep"]).axes) == 2
    by_pair = report.by_pair(made["everywhere"])
    figure = show.relation(by_pair, 3.0)
    assert sum(len(dots.get_offsets()) for dots in figure.axes[0].collections) == len(by_pair)
    html = show.depths(made["profiles"], "on x").to_html()
    assert html.count("<tr>") == 1 + len(pairs.PAIRS) + 2
    html = show.methods(made["drops"], "on x").to_html()
    assert all(name.split(",")[0] in html for name in ("FAIG, nothing eliminated", "IG", "random"))
    judged = public_claims.verdicts(made)
    table = public_claims.tabulated(judged, {"b": judged[0]})
    assert table["trained here"].tolist()[:3] == ["held", "held", "–"]
    assert "(l) FAIG’s filters beat matched controls" in show.verdicts(table, "x").to_html()
    (
        show.abilities(made["abilities"], "x"),
        show.controls(report.against(made["controls"]), "x"),
        show.pairs(by_pair, "x"),
    )


# ---------------------------------------------------------------- measured


@pytest.fixture
def public(bench, tmp_path, monkeypatch):
    """A workbench with a made-up wheel in its cache."""
    wheels.lay(tmp_path / "cache", wheels.content(wheels.made_up()), monkeypatch)
    few = {
        "evaluation_images": 1,
        "interpolation_images": 1,
        "prediction_images": 1,
        "control_draws": 1,
        "mask_steps": 1,
    }
    return dataclasses.replace(bench, profile=dataclasses.replace(bench.profile, **few))


def test_measured_kept_and_shown_again_without_the_networks(public, tmp_path, monkeypatch):
    for name in ("PAIRS", "MEASURED"):
        monkeypatch.setattr(paths, name, (MAIN,))
    monkeypatch.setattr(
        kept, "TABLES", {name: kept.TABLES[name] for name in kept.TABLES if name not in ("abilities", "drops")}
    )
    found = kept.measured(public)
    assert not found.recorded
    assert list(found.tables) == list(kept.TABLES)
    folder = public.places.measured(public.profile.name)
    recorded = tmp_path / "results" / public.profile.name
    recorded.parent.mkdir()
    folder.rename(recorded)
    (tmp_path / "cache" / waifu2x.WHEEL.path).unlink()
    again = kept.measured(public, tmp_path / "results")
    assert again.recorded
    assert again.made_by == found.made_by
    for name, table in found.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, rtol=1e-5, check_dtype=False)
    for name in found.tables:
        made_by = json.loads((folder / f"public_{name}.json").read_text())
        assert made_by["wheel"] == waifu2x.WHEEL.sha256
        assert made_by["image_sets"]["skimage"] == public.image_set("skimage").digest
    assert {one.name for one in folder.iterdir()} == {one.name for one in recorded.iterdir()}
    (recorded / "public_controls.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match=r"the recorded results in .* cannot be read"):
        kept.measured(public, tmp_path / "results")
    with pytest.raises(StoreError, match="has no recorded run with them; `faiglib fetch waifu2x` downloads them"):
        kept.measured(public, tmp_path / "nowhere")


def test_drops_and_distances_done_again(public):
    ends = MAIN.load(public)
    table = measure.drops(public)
    scene = pairs.scenes(public, public.profile.evaluation_images, public.profile.discovery_crop)[0]
    found = pairs.scenes(public, public.profile.discovery_images, public.profile.discovery_crop)
    how = {"rule": public.profile.rule, "nodes": public.profile.nodes}
    noisy, jpeg = (faig(*ends, [one.pair(kind) for one in found], **how) for kind in ("noisy", "JPEG"))
    masked = substitute(*ends, (noisy - jpeg).top(1))
    own, out = (restore(network, scene.inputs["noisy"]) for network in (ends[0], masked))
    row = table.query("method == 'faig' and filters == 'denoising' and percent == 1 and input == 'noisy'").iloc[0]
    assert row["image"] == scene.name
    assert row["drop"] == pytest.approx(float(gradient_error(out, own)), rel=1e-6)
    assert row["psnr"] == pytest.approx(float(psnr(out, scene.truth)))
    assert set(table[table["filters"] == pairs.CONTROL]["method"]) == {"faig"}
    first, last = (torch.cat([p.detach().flatten().double() for p in one.parameters() if p.dim() > 1]) for one in ends)
    assert paths.distance(*ends)["distance"] == pytest.approx(float((first - last).norm() / last.norm()), rel=1e-5)


def test_pictures_have_every_masked_network(public):
    made = pictures.pictures(public, "chelsea", crop=24)
    assert [one.kind for one in made] == ["noisy", "JPEG"]
    titles = list(made[0].images)
    assert titles[:2] == ["input", "target"]
    assert titles[-1] == "baseline"
    assert len(titles) == 6
    assert "without 1 % for denoising" in show.pictures(made).html
