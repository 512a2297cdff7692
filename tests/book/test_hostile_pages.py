"""Whatever manifests, records and names say, a page shows it: no tag, no script, no address of theirs is in it."""

import json

import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt

from bookmaker.checks import browser, check
from bookmaker.finish import finishing, policy, sources
from bookmaker.layout import Layout
from bookmaker.pages import colophon, drift
from faiglib.companion.page import interactive, tables
from faiglib.companion.page.budget import budget_box
from faiglib.companion.page.escaping import as_html, as_json, as_markdown
from faiglib.companion.speed import report
from tests.book import test_reproduce
from tests.book.test_reproduce import reproduce, write_notebook

root = test_reproduce.root

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</td></tr></table><script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "a | b || c",
    "[click](javascript:alert(1))",
    "![x](https://example.org/x.png)",
    "`code` **bold** _em_ ~~no~~",
    "{glue:text}`secret` {{name}} $x^2$ \\(y\\)",
    "# Heading\n\n<b>after a blank line</b>",
    "1. list\n- list\n> quote\n:::{note}\n```\n",
    "<https://example.org> &lt;b&gt; &amp;",
    "\\<b> \\\\ \\",
    "javascript:alert(1)",
    "\x00\x1b[31m\u202egnp",
)
PLAIN_TAGS = {"style", "table", "caption", "thead", "tbody", "tr", "th", "td", "p", "strong", "em", "code", "figure"}


def words(text: str) -> str:
    return " ".join(text.replace("\x00", "\ufffd").split())


def parsed(html: str) -> BeautifulSoup:
    return BeautifulSoup(html, "html.parser")


def assert_harmless(html: str, more: set[str] = frozenset()) -> BeautifulSoup:
    soup = parsed(html)
    tags = {tag.name for tag in soup.find_all(True)}
    assert tags <= PLAIN_TAGS | more, tags
    assert not [name for tag in soup.find_all(True) for name in tag.attrs if name.startswith("on")]
    return soup


@pytest.mark.parametrize("text", HOSTILE)
def test_cells_heads_and_captions_of_tables(text):
    table = pd.DataFrame({"network": [text], "cpu": [text], text.replace("_", " "): [text], "number": [1.5]})
    soup = assert_harmless(tables.plain(table, {"number": "{:.1f}"}, text).to_html())
    cells = [cell.get_text() for cell in soup.find_all("td")]
    assert [words(cell) for cell in cells[:3]] == [words(text)] * 3
    assert words(soup.caption.get_text()) == words(text.rstrip(".") + ".")
    assert words(text.replace("_", " ")) in [words(head.get_text()) for head in soup.find_all("th")]


@pytest.mark.parametrize("text", HOSTILE)
def test_figures_that_readers_move(text):
    image = torch.zeros(1, 3, 8, 8)
    made = [
        interactive.compare({text: image, "b": image}, text),
        interactive.frames({(text,): image, ("b",): image}, [text], (text,), text, text, [text]),
        interactive.Interactive("map", "", text, {text: [text]}),
    ]
    more = {"figcaption", "div", "span", "img", "input", "label", "output", "script"}
    for figure in made:
        soup = assert_harmless(figure.html, more)
        assert words(soup.figcaption.get_text()) == words(text)
        assert all(image["src"].startswith("data:image/webp;base64,") for image in soup.find_all("img"))
        for script in soup.find_all("script"):
            assert script["type"] == "application/json"
            json.loads(script.get_text())
            assert "<" not in script.get_text()


@pytest.mark.parametrize("text", HOSTILE)
def test_boxes_and_lines_below_outputs(bench, text):
    boxes = [
        budget_box(bench, {"row": text}),
        colophon._box({text: text}, ""),
        sources._line(text, "<strong>Table</strong> ", text, [(text, text), ("b", text)]),
    ]
    for box in boxes:
        soup = assert_harmless(box, {"details", "summary", "a"})
        assert words(text) in words(soup.get_text())


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown(text):
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    soup = assert_harmless(reader.render(f"Before {as_markdown(text)}"))
    assert {tag.name for tag in soup.find_all(True)} == {"p"}
    assert words(soup.get_text()) == words(f"Before {text}")
    html = reader.render(drift._markdown(pd.DataFrame({"where": [text], "n": [1.0], "last": ["x"]})))
    row = assert_harmless(html).find_all("td")
    assert [words(cell.get_text()) for cell in row] == [words(text), "1", "x"]
    recorded = report.load()
    hostile = report.Recorded(
        text, text, {}, {}, {}, recorded.made_on | dict.fromkeys(("cpu", "torch", "faiglib"), text)
    )
    assert words(text) in words(assert_harmless(reader.render(report.machine(hostile))).get_text())


@pytest.mark.parametrize("text", HOSTILE)
def test_json_in_a_script_comes_back_whole(text):
    soup = parsed(f"<script>{as_json({text: [text]})}</script><p>after</p>")
    assert json.loads(soup.script.get_text()) == {text: [text]}
    assert soup.p.get_text() == "after"
    assert parsed(f'<i title="{as_html(text)}"></i>').i["title"].split() == text.split()


NOTEBOOK = """
import pandas as pd
from IPython.display import HTML, Markdown, display
from faiglib.companion.page import interactive, tables
from faiglib.companion.page.glue import glue
from faiglib.companion.speed import report as speed
import torch
texts = {texts!r}
for text in texts:
    display(tables.plain(pd.DataFrame({{"network": [text], "cpu": [text]}}), caption=text))
    display(interactive.compare({{text: torch.zeros(1, 3, 8, 8), "b": torch.zeros(1, 3, 8, 8)}}, text))
    recorded = speed.load()
    made_on = recorded.made_on | {{"cpu": text, "torch": text}}
    display(Markdown(speed.machine(speed.Recorded("full", text, {{}}, {{}}, {{}}, made_on))))
glue(said=" ".join(texts))
display(HTML("<script>document.title = 'taken over'</script>"))  # what escaping forgot
"""


def test_a_book_of_hostile_data(root, capsys):
    """The whole way to HTML, and into a browser if there is one."""
    texts = [text for text in HOSTILE if "\x00" not in text]
    write_notebook(root, "01_one", code=NOTEBOOK.format(texts=texts))
    (root / "book" / "index.md").write_text("# Tiny\n\nSays {glue:text}`notebooks/01_one.ipynb::said:s`.\n")
    (root / "book" / "record.md").write_text(f"# Record\n\n{drift.PLACE}\n")
    assert reproduce(root) == 0, capsys.readouterr().err
    folder = root / "build" / "html"
    pages = finishing.pages(folder)
    assert len(pages) > 3
    for path in pages:
        page = parsed(path.read_text())
        assert not page.find_all(attrs={"onerror": True}), path
        assert not page.find_all(attrs={"onmouseover": True}), path
        assert "alert(1)" not in "".join(script.get_text() for script in page.find_all("script", type=None)), path
        assert not page.find_all("a", href=lambda address: address and address.startswith("javascript:")), path
        assert page.head.find("meta")["http-equiv"] == "Content-Security-Policy", path
    program = browser.find()
    if program is None:
        pytest.skip("no Chromium or Chrome on this machine")
    with browser.Browser(program) as opened:
        tab = opened.open((folder / "notebooks" / "01_one.html").as_uri())
        assert tab.evaluate("document.title") != "taken over"
        assert [error for error in tab.errors if "Content Security Policy" in error]


def test_the_policy_names_the_themes_scripts_alone():
    text = "<html><head></head><body><script>theme()</script><article><script>data()</script></article></body></html>"
    page = parsed(text)
    assert list(policy.own_scripts(page)) == ["theme()"]
    policy.add(page)
    assert page.head.contents[0]["content"].count("sha256-") == 2


@pytest.mark.parametrize("file", ["page.html", "data/table.csv", "_sources/a.md", "searchindex.js"])
@pytest.mark.parametrize("name", ["root", "home", "host"])
def test_traces_of_the_building_machine_are_found(tmp_path, monkeypatch, file, name):
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "jane"))
    layout = Layout(tmp_path / "project")
    path = layout.html / file
    path.parent.mkdir(parents=True)
    path.write_text("harmless, /elsewhere")
    assert list(check.traces(layout)) == []
    named = {"root": str(layout.root), "home": str(tmp_path / "home" / "jane" / "x"), "host": "janes-machine"}[name]
    monkeypatch.setattr("platform.node", lambda: "janes-machine")
    path.write_text(f"before {named} after")
    (complaint,) = check.traces(layout)
    assert complaint.startswith(f"{path} names ")
