"""Figures and tables say what made them, and the book makes links of it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing
from itertools import count

import nbformat
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from bookmaker.finish import sources
from faiglib import companion
from faiglib.companion.page import tables
from faiglib.companion.page.gallery import Gallery
from faiglib.companion.page.source import MIME, with_source

TABLE = pd.DataFrame({"name": ["θ", "b, c"], "value": [1 / 3, float("nan")]}, index=[5, 7])


@with_source
def drawn(table, more=None, title=""):
    return Figure()


def shown(thing):
    return DisplayFormatter().format(thing)[0]


def test_a_figure_carries_its_function_and_tables():
    made_of = shown(drawn(TABLE, title="x"))[MIME]
    assert made_of["function"] == f"{__name__}.drawn"
    assert made_of["tables"] == {"table": 'name,value\nθ,0.33333333\n"b, c",\n'}


def test_a_mapping_of_tables_is_one_table_with_keys():
    made_of = shown(drawn(None, more={"first": TABLE, "second": TABLE}))[MIME]
    lines = [line.split(",")[0] for line in made_of["tables"]["more"].splitlines()]
    assert lines == ["key", "first", "first", "second", "second"]


def test_a_table_is_shown_as_html_and_carries_unrounded_data():
    bundle = shown(tables.plain(TABLE, {"value": "{:.1f}"}))
    assert ">0.3<" in bundle["text/html"]
    assert "0.33333333" in bundle[MIME]["tables"]["table"]
    assert bundle[MIME]["function"] == "faiglib.companion.page.tables.plain"


def makers():
    found = pkgutil.walk_packages(companion.__path__, "faiglib.companion.")
    names = [one.name for one in found if one.name.endswith((".show", ".tables"))]
    for module in map(importlib.import_module, names):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            own = (
                function.__module__ == module.__name__
                and not name.startswith("_")
                and name not in ("finished", "styled")
            )
            if own and typing.get_type_hints(inspect.unwrap(function)).get("return") in (Figure, Styler, Gallery):
                yield pytest.param(function, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("maker", list(makers()))
def test_every_figure_and_table_of_the_library_knows_its_source(maker):
    assert inspect.unwrap(maker) is not maker


def test_the_book_links_code_and_data(tmp_path):
    def output(kind, source):
        return nbformat.v4.new_output("display_data", {kind: "x", MIME: source})

    figure = {"function": "faiglib.companion.masking.show.gallery", "tables": {"a": "x\n1\n", "b": "y\n2\n"}}
    table = {"function": "faiglib.companion.page.tables.plain", "tables": {"table": "z\n3\n"}}
    drawing = nbformat.v4.new_code_cell("x", outputs=[output("image/png", figure)])
    drawing.metadata = {"mystnb": {"figure": {"name": "fig-a"}}}
    outputs = [output("text/html", table), nbformat.v4.new_output("stream", text="s")]
    outputs[0]["data"]["text/html"] = '<table id="t">x</table>'
    heading = nbformat.v4.new_markdown_cell("Words.\n\n## Does it <hold>?\n\nMore.")
    page = nbformat.v4.new_notebook(cells=[heading, drawing, nbformat.v4.new_code_cell("y", outputs=outputs)])
    sources.add(page, "03_x", tmp_path, count(4))
    assert MIME not in str(page)
    assert [cell.cell_type for cell in page.cells] == ["markdown", "code", "markdown", "code"]
    line = page.cells[2].source
    assert 'href="../_modules/faiglib/companion/masking/show.html#gallery"' in line
    assert 'href="../data/03_x/fig-a-b.csv"' in line
    shown_table, line, stream = page.cells[3].outputs
    assert 'id="table-4"' in line["data"]["text/html"]
    assert (tmp_path / "extra/data/03_x/fig-a-b.csv").read_text() == "y\n2\n"
    assert (tmp_path / "extra/data/03_x/table-4.csv").read_text() == "z\n3\n"
    assert shown_table["data"] == {
        "text/html": '<table id="t"><caption><strong>Table 4.</strong> Does it &lt;hold&gt;?</caption>x</table>'
    }
    assert stream.text == "s"
