"""The built book works in a browser without a network, and the check of that finds what does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pypdf
import pytest

from bookmaker import html, pdf, stage
from bookmaker.checks import visits
from bookmaker.checks.browser import VARIABLE, Browser, find
from bookmaker.errors import BookError
from bookmaker.finish.finishing import pages
from bookmaker.layout import Layout
from faiglib.system import provenance

PROJECT = Path(__file__).resolve().parents[2]
PAGE = '<!doctype html><meta name="viewport" content="width=device-width"><title>A page</title><body>{}</body>'


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ('<script src="https://a.example/x.js"></script>', "asks for https://a.example/x.js, which is not in the book"),
        ('<img alt="a" src="https://a.example/a.png">', "asks for https://a.example/a.png, which is not in the book"),
        ('<script>fetch("http://127.0.0.1:9/")</script>', "asks for http://127.0.0.1:9/, which is not in the book"),
        ('<link rel="stylesheet" href="../outside.css">', "outside.css, which is not in the book"),
        ('<script>new Image().src = "//a.example/b.png"</script>', "could not load file://a.example/b.png"),
        ('<img alt="a" src="gone.png">', "shows no picture where"),
        ('<img alt="a" loading="lazy" style="margin-top: 9999px" src="gone.png">', "shows no picture where"),
        ('<link rel="stylesheet" href="gone.css">', "could not load file:"),
        ("<script>throw new Error('ouch')</script>", "has an error in its scripts: Error: ouch"),
        ("<script>console.error('boo', 1)</script>", "has an error in its scripts: boo 1"),
        ("<script>Promise.reject(new Error('late'))</script>", "has an error in its scripts: Error: late"),
        (r"<p>Let \(x\) be</p>", r"shows a formula as TeX: Let \(x\) be"),
        (r"<details><p>\[ x \]</p></details>", r"shows a formula as TeX: \[ x \]"),
        ('<div style="width: 500px">wide</div>', "pixels wider than a phone of 390"),
    ],
)
def test_every_defect_is_found(browser, tmp_path, body, complaint):
    (tmp_path / "outside.css").write_text("")
    book = tmp_path / "book"
    book.mkdir()
    (book / "page.html").write_text(PAGE.format(body))
    found = list(visits.page_complaints(browser, book / "page.html", book))
    assert any(complaint in line for line in found), found


def test_a_sound_page_has_no_complaints(browser, tmp_path):
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
    sound = rf'<p><code>\(x\)</code> costs $5</p><img alt="a" src="{pixel}"><script>console.log("fine")</script>'
    (tmp_path / "page.html").write_text(PAGE.format(sound))
    assert list(visits.page_complaints(browser, tmp_path / "page.html", tmp_path)) == []


def test_pages_that_browsers_share_are_all_visited_and_named(browser, tmp_path):
    bodies = {
        "a": "",
        "b": "<script>throw new Error('b')</script>",
        "c": "",
        "d": "<script>throw new Error('d')</script>",
    }
    for name, body in bodies.items():
        (tmp_path / f"{name}.html").write_text(PAGE.format(body))
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "template.html").write_text(PAGE.format(bodies["b"]))
    found = visits.complaints(find(), tmp_path, None, 2)
    assert found == [f"{tmp_path / name}.html: has an error in its scripts: Error: {name}" for name in "bd"]
    with pytest.raises(BookError, match="did not start"):
        visits.complaints(shutil.which("true") or "true", tmp_path, None, 2)


def test_a_browser_that_is_none_is_one_sentence(monkeypatch):
    monkeypatch.setenv(VARIABLE, "no-such-browser")
    with pytest.raises(BookError, match="FAIGLIB_BROWSER names no-such-browser, which is not a program"):
        find()
    with pytest.raises(BookError, match="did not start"):
        Browser(shutil.which("true") or "true")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book with the project's configuration, assets and written pages, and one small chapter."""
    root = tmp_path_factory.mktemp("toy")
    shutil.copytree(PROJECT / "book", root / "book", ignore=shutil.ignore_patterns("tools", "*.md", "items.yml"))
    shutil.copy(PROJECT / "_config.yml", root)
    (root / "notebooks").mkdir()
    (root / "faiglib").mkdir()
    (root / "book/_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n  - file: notebooks/01_one\n")
    (root / "book/index.md").write_text(
        "# Toy\n\n$\\theta_\\lambda = (1-\\lambda)\\bar\\theta$ {cite}`xie2021finding`\n\n"
        "```{image} assets/path.svg\n:alt: A path.\n```\n\n```{bibliography}\n```\n"
    )
    (root / "notebooks/01_one.py").write_text(
        '# %% [markdown]\n# # One\n#\n# $$ \\int_0^1 x \\, dx $$\n\n# %% tags=["parameters"]\nseed = 0\n\n# %%\nseed\n'
    )
    stage.stage(Layout(root))
    html.build(Layout(root), strict=True)
    return root / "build" / "html"


@pytest.mark.slow
def test_a_book_with_this_configuration_works_offline(browser, toy):
    assert {path.name for path in toy.rglob("*.html")} >= {"index.html", "01_one.html", "search.html"}
    assert [one for path in pages(toy) for one in visits.page_complaints(browser, path, toy)] == []
    tab = browser.open((toy / "index.html").as_uri())
    assert tab.evaluate("document.querySelectorAll('mjx-container svg').length") >= 1
    tab.close()


@pytest.mark.slow
def test_the_search_works_offline(browser, toy):
    tab = browser.open((toy / "search.html").as_uri() + "?q=toy")
    found = tab.evaluate(
        "new Promise(done => { const look = () => { const hits = document.querySelectorAll('ul.search li a');"
        " hits.length ? done([...hits].map(hit => hit.textContent)) : setTimeout(look, 100) }; look() })"
    )
    assert "Toy" in found
    tab.close()


@pytest.mark.slow
def test_the_pdf_has_all_pages_bookmarks_and_no_links_to_files(browser, toy):
    layout = Layout(toy.parents[1])
    pdf.make(layout, browser)
    document = pypdf.PdfReader(layout.pdf)
    text = "\n".join(page.extract_text() for page in document.pages)
    assert "Toy" in text
    assert "One" in text
    assert str(toy.parents[1]) not in text
    assert "Toy" in str(document.outline)
    assert "One" in str(document.outline)
    links = [link.get_object() for page in document.pages for link in page.get("/Annots", [])]
    addresses = [str(link["/A"]["/URI"]) for link in links if "/URI" in link.get("/A", {})]
    assert links
    assert not [address for address in addresses if address.startswith("file:")]


def test_a_pdf_of_nothing_is_one_sentence(tmp_path, browser):
    with pytest.raises(BookError, match=r"there is no book in .* yet; nox -s reproduce makes one"):
        pdf.make(Layout(tmp_path), browser)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_book_works_offline_where_it_has_been_built(browser):
    built = Layout(PROJECT).html
    if not built.is_dir():
        pytest.skip("the book has not been built here")
    assert visits.complaints(find(), built, None, provenance.cores() or 1) == []
