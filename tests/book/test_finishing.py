"""What is put right on finished pages: heads and captions of tables, the theme's faults, boxes that scroll."""

from __future__ import annotations

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from PIL import Image

from bookmaker.checks import axe, check, visits
from bookmaker.finish import finishing
from bookmaker.layout import Layout

TABLE = (
    "<article><h2>What is there<a class='headerlink'>#</a></h2><div class='cell'><div class='cell_output'><table>{}"
    "<thead><tr><th></th><th colspan='2'>both</th></tr><tr><th>name</th><th>a</th><th>b</th></tr></thead>"
    "<tbody><tr><td>x</td><td>1</td><td>2</td></tr></tbody></table></div></div></article>"
)


def finished(folder, body):
    path = folder / "page.html"
    path.write_text(f"<!doctype html><html><head></head><body>{body}</body></html>", encoding="utf-8")
    finishing.finish(folder)
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_heads_say_what_they_are_heads_of(tmp_path):
    page = finished(tmp_path, TABLE.format(""))
    scopes = [cell.get("scope") for cell in page.select("thead tr > *")]
    assert scopes == [None, "colgroup", "col", "col", "col"]
    assert page.select_one("thead tr > *").name == "td"  # an empty head is none
    assert page.select_one('tbody th[scope="row"]').get_text() == "x"
    assert page.find("caption").get_text() == "What is there"
    assert "scrolls" in page.find("table").parent["class"]


def test_several_processes_finish_the_same_pages(tmp_path):
    for folder in ("one", "two"):
        for number in range(finishing.FEW + 1):
            path = tmp_path / folder / f"{number}.html"
            path.parent.mkdir(exist_ok=True)
            body = TABLE.format(f"<caption>{number}</caption>") if number % 2 else TABLE.format("")
            path.write_text(f"<!doctype html><html><head></head><body>{body}</body></html>", encoding="utf-8")
    before = (tmp_path / "one" / "0.html").read_text()
    finishing.finish(tmp_path / "one")
    finishing.finish(tmp_path / "two", workers=2)
    first, second = (
        {path.name: path.read_text() for path in (tmp_path / folder).iterdir()} for folder in ("one", "two")
    )
    assert first == second
    assert first["0.html"] != before
    (tmp_path / "two" / "9.html").write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        finishing.finish(tmp_path / "two", workers=2)


def test_a_number_and_its_unit_stay_on_one_line(tmp_path):
    body = (
        "<article><p>the top 1 % of <span>2.5</span> % at 3 dB, 4 dBm, 5 percent</p><code>6 % 7</code>"
        "<figure><svg><text>8 %</text></svg></figure><p>% 9</p><script>'1 %'</script></article>"
    )
    page = finished(tmp_path, body)
    first, second = (paragraph.get_text() for paragraph in page.find_all("p"))
    assert first == "the top 1\xa0% of 2.5\xa0% at 3\xa0dB, 4 dBm, 5 percent"
    assert second == "% 9"
    assert page.code.get_text() == "6 % 7"
    assert page.svg.get_text() == "8 %"
    assert page.script.string == "'1 %'"


def test_a_caption_stays_as_it_is(tmp_path):
    page = finished(tmp_path, TABLE.format("<caption>Mine</caption>"))
    assert [caption.get_text() for caption in page.find_all("caption")] == ["Mine"]


def test_tables_of_prose_are_cards_on_a_phone(tmp_path, browser):
    text = TABLE.format("").replace("<table>", "<table class='docutils'>")
    page = finished(tmp_path, text)
    assert [cell["data-head"] for cell in page.select("tbody td")] == ["a", "b"]
    assert {part["role"] for part in page.select("table, table tr, table td, table th")} == {
        "table",
        "row",
        "cell",
        "rowheader",
        "columnheader",
    }


def test_wide_tables_and_figures_take_the_width_of_the_window(tmp_path):
    Image.new("RGBA", (900, 10)).save(tmp_path / "wide.png")
    Image.new("RGBA", (500, 10)).save(tmp_path / "narrow.png")
    cells = "".join(
        f"<div class='cell'><div class='cell_output'><img alt='a' src='{name}.png'></div></div>"
        for name in ("wide", "narrow")
    )
    wide, narrow = finished(tmp_path, cells).select(".cell")
    assert "tag_full-width" in wide["class"]
    assert "tag_full-width" not in narrow["class"]
    assert wide.select_one(".plot")["style"] == "--natural: 900px"


def test_a_figure_with_labels_too_small_is_found(tmp_path):
    (tmp_path / "page.html").write_text('<div class="plot" style="--natural: 1570px"></div>')
    assert any("1570 pixels wide" in line for line in check.page_complaints(tmp_path / "page.html"))


@pytest.mark.parametrize(
    ("href", "text"), [("03_masking.html", "3 Masking"), ("12_own.html", "12 Masking"), ("b.html", "Masking")]
)
def test_chapters_are_numbered_as_their_files(tmp_path, href, text):
    page = finished(tmp_path, f'<nav class="bd-links"><a class="reference" href="notebooks/{href}">Masking</a></nav>')
    assert page.find("a").get_text() == text


def test_the_own_entry_is_numbered_too(tmp_path):
    page = finished(
        tmp_path,
        '<nav class="bd-links"><a class="reference" href="#">Masking</a></nav>'
        '<a href="../_sources/notebooks/03_masking.ipynb">.ipynb</a>',
    )
    assert page.find("a").get_text() == "3 Masking"


def test_faults_of_the_theme_are_mended(tmp_path):
    page = finished(
        tmp_path,
        '<div class="bd-sidebar-primary"><nav><ul><li><a>Reference</a><details><summary><i></i></summary></details>'
        '</li></ul></nav></div><button class="search-button-field" aria-label="Search">Search Ctrl+K</button>'
        "<ul><li>a</li><ul><li>b</li></ul></ul><dl><dd>one,</dd><dd>two</dd></dl>"
        '<div class="citation-list" role="list"><div role="doc-biblioentry">c</div></div>',
    )
    assert page.find("summary")["aria-label"] == "Pages below Reference"
    assert not page.find("button").has_attr("aria-label")
    assert page.select("li > ul")
    assert not page.select("ul > ul")
    assert page.find("dl") is None
    assert not page.select(".citation-list[role], .citation-list [role]")
    assert page.select_one(".bd-sidebar-primary")["role"] == "complementary"


def test_axe_finds_what_is_wrong_and_nothing_else(tmp_path, browser):
    script = axe.find(Layout(Path(__file__).resolve().parents[2]))
    if script is None:
        pytest.skip("axe-core is not installed; `nox -s axe` does that")
    page = '<!doctype html><html lang="en"><title>A</title><main><h1>A</h1>{}</main></html>'
    path = tmp_path / "page.html"
    path.write_text(page.format("<p>Fine.</p>"))
    assert list(visits.page_complaints(browser, path, tmp_path, script)) == []
    path.write_text(page.format('<p style="color: #aaa; background: #fff">Pale.</p><button></button>'))
    found = "\n".join(visits.page_complaints(browser, path, tmp_path, script))
    assert "color-contrast (light) at p" in found
    assert "color-contrast (dark) at p" in found
    assert "button-name (light) at button" in found
