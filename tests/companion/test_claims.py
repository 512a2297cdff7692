"""Claims are judged by network and setup, by the limits that are declared, on tables made for the purpose."""

from __future__ import annotations

import itertools
import math

import pandas as pd
import pytest

from faiglib.companion import claims, criteria, paper, verdicts
from faiglib.companion.baseline_ablation import report as baseline_report
from faiglib.companion.criteria import Part, Verdict
from faiglib.companion.discovery import BASELINES, KINDS, OWN_FUNCTION
from faiglib.companion.one_versus_two.report import RaceVerdict
from faiglib.errors import StoreError
from faiglib.images.degradations import FUNCTIONS

IMAGES = 4


def drops(own=5.0, other=0.5, chance=0.1, image_set="set14", network="srresnet", percents=(1.0,), **values):
    """Drop 10 when all filters are masked; PSNR 25 of the target and 20 of the baseline, SSIM 0.9 and 0.4.

    Masking FAIG's filters takes ``own`` and ``other`` of these 10, and as large a part of the 5 dB and of the 0.5;
    random filters take ``chance`` of it; the others' drop is 1.
    """
    rows = []
    for method, function, kind, percent, image in itertools.product(
        paper.MASKED, FUNCTIONS, KINDS, percents, range(IMAGES)
    ):
        taken = {"faig": own if OWN_FUNCTION[kind] == function else other, "random": chance}.get(method, 1.0)
        rows.append(
            {
                "network": network,
                "seed": 0,
                "baseline": 0,
                "image_set": image_set,
                "method": method,
                "filters": function,
                "percent": percent,
                "input": kind,
                "image": str(image),
                "drop": taken,
                "drop_blue": 1.0,
                "drop_all": 10.0,
                "psnr": 25 - 0.5 * taken,
                "psnr_target": 25.0,
                "psnr_baseline": 20.0,
                "ssim": 0.9 - 0.05 * taken,
                "ssim_target": 0.9,
                "ssim_baseline": 0.4,
                "luminance_shift": 0.0,
            }
            | values
        )
    return pd.DataFrame(rows)


def judged(table) -> dict[str, Verdict]:
    return {verdict.claim: verdict for verdict in claims.masking(table)}


@pytest.mark.parametrize(
    ("own", "other", "grade"),
    [
        (5.01, 0.99, "held"),  # half of what masking everything costs, and a tenth
        (4.99, 0.99, "partly"),
        (5.01, 1.01, "partly"),
        (2.0, 0.8, "did not hold"),  # not three times the other
        (5.01, -3.0, "held"),  # a gain of the other input is no loss
    ],
)
def test_selectivity_is_judged_by_shares(own, other, grade):
    verdict = judged(drops(own, other))["b"]
    assert verdict.paper.grades == {"SRResNet": grade}
    assert verdict.beyond.grades == {"SRResNet": grade}


def test_the_papers_setup_looks_at_the_drop_alone():
    verdict = judged(drops(5.0, 1.0, psnr=24.9))["b"]
    assert verdict.paper.grade == "held"
    assert verdict.beyond.grade == "did not hold"


def test_brightness_alone_is_told_apart():
    """Masking that only shifts the mean by 20 levels costs PSNR, but none of it with the level put right."""
    target = 10 ** (-25 / 10)
    shifted = -10 * math.log10(target + (20 / 255) ** 2)
    shares = claims.masking_report.removed_shares(drops(psnr=shifted, luminance_shift=20.0))
    level = shares[shares["measure"] == "psnr_level"]
    assert level[["own", "other"]].to_numpy() == pytest.approx(0, abs=1e-9)
    psnr = shares[shares["measure"] == "psnr"]
    assert psnr["own"].to_numpy() == pytest.approx((25 - shifted) / 5)


@pytest.mark.parametrize(("chance", "grade"), [(0.25, "held"), (0.26, "partly"), (0.76, "did not hold")])
def test_chance_is_judged_by_its_share_of_faigs_drop(chance, grade):
    assert judged(drops(5.0, 0.5, chance))["c"].paper.grades == {"SRResNet": grade}


@pytest.mark.parametrize(("chance", "grade"), [(0.19, "held"), (-0.4, "partly"), (0.62, "did not hold")])
def test_beyond_it_chance_is_judged_by_what_can_be_seen(chance, grade):
    verdict = judged(drops(50.0, 0.5, chance))["c"]
    assert verdict.beyond.grades == {"SRResNet": grade}
    assert "−" in verdict.beyond.measured or chance < 0


def spread(table, faig):
    """FAIG's drop differs from image to image, so that intervals have a width."""
    changed = table["method"] == "faig"
    return table.assign(drop=table["drop"].where(~changed, [faig[int(image)] for image in table["image"]]))


@pytest.mark.parametrize(
    ("faig", "grade", "words"),
    [
        ([4, 5, 6, 5], "held", "ahead in 4 of 4 cells"),
        ([0.2, 3, 0.5, 0.6], "did not hold", "tied in 4"),  # ahead in the mean, but not surely
        ([0.2, 0.3, 0.5, 0.6], "did not hold", "behind in 4"),
    ],
)
def test_a_tie_is_a_tie(faig, grade, words):
    verdict = judged(spread(drops(percents=(1.0, 5.0)), faig))["d"]
    assert verdict.paper.grades == {"SRResNet": grade}
    assert words in verdict.paper.measured


def test_both_changes_of_filters_count():
    table = drops()
    ahead = table["method"] == paper.RELATIVE_CHANGE
    verdict = judged(table.assign(drop=table["drop"].where(~ahead, 9.0)))["d"]
    assert "behind in 2" in verdict.paper.measured


def test_other_proportions_are_beyond_the_paper():
    table = drops(percents=(1.0, 3.0, 5.0, 10.0))
    behind = (table["method"] == "intinf") & table["percent"].isin((3.0, 10.0))
    verdict = judged(table.assign(drop=table["drop"].where(~behind, 9.0)))["d"]
    assert verdict.paper.grades == {"SRResNet": "held"}
    assert verdict.beyond.grades == {"SRResNet": "partly"}
    assert "ahead in 4 of 8 cells" in verdict.beyond.measured


def test_without_the_papers_images_only_what_is_beyond_it_is_judged():
    for verdict in claims.masking(drops(image_set="skimage")):
        assert verdict.paper == Part(why="not the paper’s images")
        assert verdict.paper.grade == "not tested"
        assert verdict.beyond.grades


def test_networks_of_the_book_alone_are_beyond_the_paper():
    both = pd.concat([drops(), drops(network="srresnet_s")], ignore_index=True)
    for verdict in claims.masking(both):
        assert set(verdict.paper.grades) == {"SRResNet"}
        assert len(verdict.beyond.grades) == 2


# ---------------------------------------------------------------- the other claims


def race(**changes):
    values = {
        "outcomes": {"dan": "equivalent", "dasr": "better"},
        "leads": {"dan": -0.01, "dasr": 0.2},
        "sensitive": {"dan": True, "dasr": True},
        "share": 0.5,
        "complete": True,
        "seeds": 3,
        "elsewhere": {"dan": ["better", "inferior"], "dasr": ["better"]},
    }
    return claims.one_branch(RaceVerdict(**(values | changes)))


@pytest.mark.parametrize(
    ("changes", "dan", "dasr"),
    [
        ({}, "held", "held"),
        ({"share": 0.09}, "partly", "partly"),
        ({"sensitive": {"dan": False, "dasr": True}}, "not tested", "held"),
        ({"outcomes": {"dan": "inferior", "dasr": "inconclusive"}}, "did not hold", "not tested"),
        ({"seeds": 1}, "not tested", "not tested"),
        ({"complete": False}, "not tested", "not tested"),
    ],
)
def test_the_race_is_judged_by_contest(changes, dan, dasr):
    assert race(**changes).paper.grades == {"DAN": dan, "DASR": dasr}


def test_the_other_tests_of_the_race_are_beyond_the_paper():
    verdict = race()
    assert verdict.beyond.grades == {"DAN": "partly", "DASR": "held"}
    assert "not inferior in 1 of 2 other tests" in verdict.beyond.measured
    assert "−0.01 dB" in verdict.paper.measured
    blind = race(elsewhere={"dan": [], "dasr": ["better"]}).beyond
    assert blind.grades == {"DAN": "not tested", "DASR": "held"}
    assert "against DAN half of the network is not told from the whole in any other test" in blind.measured


def runs(ends, network="srcnn_style"):
    """Two re-trainings of every kind: FAIG's own end ``ends[0]``, its other function's ``ends[1]``, others 1 dB."""
    rows = []
    for task, function in itertools.product(FUNCTIONS, FUNCTIONS):
        for method in ("all", *paper.METHODS):
            end = (ends[0] if task == function else ends[1]) if method == "faig" else 3.0 if method == "all" else 1.0
            filters = "all" if method == "all" else function
            for step, psnr in ((0, 0.0), (50, end)):
                rows.append((network, 0, task, method, filters, step, psnr))
    columns = ["network", "seed", "task", "method", "filters", "step", "psnr"]
    return pd.DataFrame(rows, columns=columns).drop_duplicates()


@pytest.mark.parametrize(
    ("ends", "share", "grade"),
    [
        ((2.0, 1.0), 0.5, "held"),
        ((2.0, 1.0), 0.01, "partly"),
        ((2.0, 2.5), 0.5, "did not hold"),
        ((0.5, 0.1), 0.5, "did not hold"),
    ],
)
def test_retraining_is_judged_against_methods_functions_and_budget(ends, share, grade):
    verdict = claims.retraining(runs(ends), share, "set14")
    assert verdict.paper.grades == {"SRCNN-style": grade}
    assert verdict.beyond == Part(why="no other network")
    assert claims.retraining(runs(ends, network="srresnet"), share, "set14").beyond.grades == {"SRResNet": grade}
    assert claims.retraining(runs(ends), share, "skimage").paper.grade == "not tested"


def ablated(network="srcnn_style", found=(3.0, 1.0, 1.0), shifts=(0.2, 9.0, 12.0)):
    rows = [
        (network, function, first, second, found[i], shifts[j], 0.1)
        for function in FUNCTIONS
        for (i, first), (j, second) in itertools.product(enumerate(BASELINES), enumerate(BASELINES))
    ]
    columns = ["network", "filters", "found_with", "replaced_by", "drop_own", "shift_own", "lost_other"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({}, "held"),
        ({"shifts": (0.2, 1.0, 12.0)}, "partly"),
        ({"found": (1.0, 2.0, 1.0), "shifts": (20.0, 1.0, 12.0)}, "did not hold"),
    ],
)
def test_baselines_are_judged_by_finding_and_brightness(changes, grade):
    verdict = claims.baseline(ablated(**changes), "set14")
    assert verdict.paper.grades == {"SRCNN-style": grade}
    assert claims.baseline(ablated("srresnet", **changes), "set14").beyond.grades == {"SRResNet": grade}


def test_elimination_is_judged_by_proportion_and_network():
    rows = [
        ("srresnet", function, percent, method, 2.0 if (method == "with") == (percent == 1) else 1.0, 1.0, 0.1)
        for function, percent, method in itertools.product(FUNCTIONS, (1, 5), ("with", "without"))
    ]
    columns = ["network", "filters", "percent", "method", "selectivity", "drop_own", "lost_other"]
    verdict = claims.elimination(pd.DataFrame(rows, columns=columns), "set14")
    assert verdict.paper.grades == {"SRResNet": "held"}
    assert verdict.beyond.grades == {"SRResNet": "partly"}
    assert baseline_report.elimination_verdict(pd.DataFrame(rows, columns=columns)).more_selective == 2


def knobs(**changes):
    values = {"approaches": 0.95, "curve_approaches": True, "continuous": True, "monotone": 0.95, "gained": 1.0}
    columns = values | {"other_moved": 0.1} | changes
    return pd.DataFrame([{"network": "srresnet", "filters": name} | columns for name in FUNCTIONS])


@pytest.mark.parametrize(
    ("changes", "own", "beyond"),
    [
        ({}, "held", "held"),
        ({"approaches": 0.89}, "did not hold", "held"),
        ({"curve_approaches": False}, "did not hold", "held"),
        ({"gained": 0.01}, "held", "did not hold"),  # a knob that gains nothing controls nothing
        ({"continuous": False}, "held", "did not hold"),
    ],
)
def test_control_is_judged_by_the_way_to_the_target_and_by_its_effect(changes, own, beyond):
    verdict = claims.interpolation(knobs(**changes), "set14")
    assert (verdict.paper.grade, verdict.beyond.grade) == (own, beyond)


# ---------------------------------------------------------------- the whole


@pytest.mark.parametrize(
    ("grades", "grade"),
    [
        ((), "not tested"),
        (("held", "held"), "held"),
        (("held", "did not hold"), "partly"),
        (("did not hold", "not tested"), "did not hold"),
        (("not tested",), "not tested"),
    ],
)
def test_a_verdict_over_networks_is_partly_where_they_differ(grades, grade):
    assert Part(dict(zip("xyz", grades, strict=False))).grade == grade


def test_every_claim_has_criteria_for_both_setups_a_reason_and_a_date():
    assert list(criteria.CLAIMS) == list("abcdefghij")
    for claim in criteria.CLAIMS.values():
        assert claim.paper
        assert claim.beyond
        assert claim.reason.endswith(".")
        assert "2026" in claim.declared or "before" in claim.declared


def test_questions_of_the_book_have_criteria_of_their_own():
    assert list(criteria.QUESTIONS) == list("klmn")
    for question in criteria.QUESTIONS.values():
        assert not question.paper
        assert question.beyond
        assert question.reason.endswith(".")
        assert "2026" in question.declared


def test_the_papers_own_chance_is_the_largest_of_its_cells():
    cells = {(one.table, one.input, one.percent, one.method): one.mean for one in paper.drops()}
    shares = [cells[(*key[:3], "random")] / mean for key, mean in cells.items() if key[2:] == (1, "faig")]
    assert max(shares) == criteria.PAPERS_CHANCE
    assert len(shares) == 8


def test_a_kept_verdict_comes_back_and_a_damaged_one_is_named(bench, monkeypatch):
    monkeypatch.setattr(verdicts, "glue", lambda **_: None)
    verdict = race()
    verdicts.keep(bench, verdict)
    folder = bench.places.measured(bench.profile.name)
    kept = verdicts.read(folder, "a")
    assert kept is not None
    assert (kept.paper, kept.beyond) == (verdict.paper, verdict.beyond)
    assert kept.image_sets == [one.title for one in bench.image_sets.values()]
    assert verdicts.read(folder, "b") is None
    (folder / "verdict_a.json").write_text('{"claim": "a"}')
    with pytest.raises(StoreError, match=r"verdict_a\.json cannot be read"):
        verdicts.read(folder, "a")


def test_words_say_why_and_what():
    assert Part({}, "", "DIV2K is not here").in_words == "not tested (DIV2K is not here)"
    assert Part({"x": "held"}, "3 of 3").in_words == "held (3 of 3)"
