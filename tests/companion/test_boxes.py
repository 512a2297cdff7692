"""Boxes of a page, and what made it in words."""

from bs4 import BeautifulSoup

from faiglib.companion.page.boxes import box
from faiglib.system import provenance


def test_a_box_has_a_row_for_each_text():
    html = BeautifulSoup(
        box("A & B", {"one": "<b>", "none": "", "two": "x"}, "budget more", more="<p>end</p>"), "html.parser"
    )
    assert html.details["class"] == ["budget", "more"]
    assert not html.details.has_attr("open")
    assert html.summary.get_text() == "A & B"
    assert [row.get_text("|") for row in html.find_all("tr")] == ["one|<b>", "two|x"]
    assert html.p.get_text() == "end"
    assert BeautifulSoup(box("", {}, opened=True), "html.parser").details.has_attr("open")


def test_what_made_something_in_words():
    made = {"faiglib": "1.2", "commit": "0123456789abcdef", "dirty": True, "torch": "3", "cpu": "CPU", "gpu": None}
    assert provenance.in_words(made) == "faiglib 1.2, commit 01234567 with changes, PyTorch 3, CPU"
    assert provenance.in_words(made | {"dirty": False}, 12) == "faiglib 1.2, commit 0123456789ab, PyTorch 3, CPU"
    assert provenance.in_words(made | {"commit": None, "gpu": "GPU"}) == "faiglib 1.2, PyTorch 3, GPU"
    assert provenance.in_words(provenance.collect("cpu")).startswith("faiglib ")
