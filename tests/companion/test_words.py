from __future__ import annotations

import math

import pandas as pd
import pytest

from faiglib.companion.page import tables
from faiglib.companion.page.words import beside, counted, listed, number, percent, printed, seeds_named, typeset


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1.50 dB", "−1.50 dB"),
        ("from -1.5 to -.5", "from −1.5 to −.5"),
        ("(-2)", "(−2)"),
        ("-0.00 dB", "0.00 dB"),
        ("+0.0", "0.0"),
        ("-0", "0"),
        ("-0.001", "−0.001"),
        ("−0.05", "−0.05"),
        ("48% and 0.5%", "48 % and 0.5 %"),
        ("1 %", "1 %"),
        ("FAIG's, |θ|'s, the others' way", "FAIG’s, |θ|’s, the others’ way"),
        ("2e-04 and 1.5e+10", "2·10⁻⁴ and 1.5·10¹⁰"),
        ("2026-11-26, seed-1, top-1, 3-4, a/-1, 2026\\-11", "2026-11-26, seed-1, top-1, 3-4, a/-1, 2026\\-11"),
        ("", ""),
    ],
)
def test_numbers_in_a_text_have_one_form(text, expected):
    assert printed(text) == expected
    assert printed(expected) == expected


def test_numbers_by_themselves():
    assert [number(value) for value in (-0.001, 0.004, -1.234, math.nan, None)] == ["0.00", "0.00", "−1.23", "–", "–"]
    assert [number(value, "+.1f") for value in (-0.04, 0.04, 0.2, -0.2)] == ["0.0", "0.0", "+0.2", "−0.2"]
    assert [percent(0.484), percent(-0.5), percent(0.0123, 1)] == ["48 %", "−50 %", "1.2 %"]
    assert number(1e-5, ".0e") == "1·10⁻⁵"


def test_a_number_is_told_from_the_limit_beside_it():
    assert beside(0.3, 0.25, ".0%") == "30 %"
    assert beside(0.2504, 0.25, ".0%") == "25.04 %"
    assert beside(0.25, 0.25, ".0%") == "25 %"
    assert beside(0.0999, 0.1) == "0.0999"
    assert beside(-0.0999, 0.1) == "−0.10"


def test_words_are_counted_and_listed():
    assert [counted(count, "crop") for count in (0, 1, 2, 1200)] == ["0 crops", "1 crop", "2 crops", "1,200 crops"]
    assert counted(2, "matrix", "matrices") == "2 matrices"
    assert [listed("abc"[:count]) for count in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert listed(["a", "b"], "or") == "a or b"
    assert [seeds_named([0]), seeds_named([0, 1, 2])] == ["seed 0", "seeds 0, 1 and 2"]
    assert typeset(lambda share: f"{share:.0%} of FAIG's")(0.5) == "50 % of FAIG’s"


def test_tables_print_their_cells_heads_and_caption():
    table = pd.DataFrame({"image_set": ["set14"], "pflop": [-0.004], "gain (50%)": ["-0.5"], "n": [3], "x": [1.5]})
    made = tables.plain(table, {"pflop": "{:.2f}"}, "FAIG's -1 <b>")
    html = made.to_html()
    assert "<caption>FAIG’s −1 &lt;b&gt;.</caption>" in html
    assert [f">{cell}<" in html for cell in ("Set14", "0.00", "−0.5", "3", "1.5")] == [True] * 5
    assert [f">{head}<" in html for head in ("image set", "operations (10¹⁵ FLOP)", "gain (50 %)")] == [True] * 3
    assert "-0" not in html


def test_no_table_is_headed_by_a_name_in_code():
    with pytest.raises(ValueError, match="drop_own"):
        tables.plain(pd.DataFrame({"drop_own": [1.0]}))
    assert not [head for head in tables.HEADS.values() if "_" in head]
