from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
import torch
from matplotlib.figure import Figure

from faiglib.companion import discovery, paper
from faiglib.companion.masking import show as masking_show
from faiglib.companion.method import show as method_show
from faiglib.companion.page import style, tables
from faiglib.companion.page.style import apart


def cells(measured=None):
    rows = [
        {
            "network": cell.network,
            "image_set": cell.image_set,
            "input": cell.input,
            "percent": float(cell.percent),
            "method": cell.method,
            "measured": cell.mean / 2 if measured is None else measured,
            "spread": math.nan,
            "low": 0.9 * cell.mean / 2,
            "high": 1.1 * cell.mean / 2,
            "seeds": 1,
            "independent": 1,
            "images": 14,
            "paper": cell.mean,
            "paper_std": cell.std,
        }
        for cell in paper.drops()
    ]
    return pd.DataFrame(rows)


def test_masking_table_shows_measured_beside_published():
    first = ["network", "image_set", "input", "percent"]
    leads = cells()[first].drop_duplicates().assign(ratio=4.04, low=1.24, high=7.0)
    html = masking_show.drop_table(cells(), leads, "srresnet", "set14").to_html()
    assert "3.34" in html  # half of the published 6.68, measured
    assert "6.68 ± 0.63" in html
    assert "1.5×" in html  # 6.68 / 4.31
    assert "3.01 to 3.67" in html  # 3.34 ± 10 %
    assert "4.0×" in html
    assert "1.2 to 7.0" in html
    assert "14 images, 1 training run here" in html


def test_spread_leaves_out_what_is_not_there():
    assert tables.spread(1.234, 0.5) == "1.23 ± 0.50"
    assert tables.spread(1.234, math.nan) == "1.23"
    assert tables.spread(math.nan, math.nan) == "–"


def test_columns_that_say_nothing_are_left_out_and_told():
    table = pd.DataFrame(
        {"network": ["srresnet"] * 3, "psnr": [1.0, 2.0, 3.0], "paper": [math.nan] * 3, "share": [0.5] * 3}
    )
    html = tables.plain(table, {"psnr": "{:.1f}", "share": "{:.0%}"}, "Found here").to_html()
    assert "Found here. The same in all rows: network SRResNet; share 50" in html
    assert "Without values: paper." in html
    assert html.count("<th id") == 1
    assert tables.plain(table.head(2)).to_html().count("<th id") == 4  # few rows: nothing to gain


def test_what_decides_comes_first_and_stays():
    first = ["network", "image_set", "input", "percent"]
    leads = cells()[first].drop_duplicates().assign(ratio=4.04, low=1.24, high=7.0)
    shown = masking_show.drop_table(cells(), leads, "srresnet", "set14").data
    assert list(dict.fromkeys(name for name, _ in shown.columns))[:3] == ["", masking_show.LEAD, "FAIG"]


def test_bars_have_the_measured_and_published_heights():
    figure = masking_show.drop_bars(cells(), "set14", 1)
    assert isinstance(figure, Figure)
    panel = next(axis for axis in figure.axes if axis.get_title().startswith("SRResNet, blurry"))
    heights = [bar.get_height() for bar in panel.patches]
    assert heights[:4] == [3.34, 2.155, 0.09, 0.035]
    assert heights[4:] == [6.68, 4.31, 0.18, 0.07]
    first = panel.collections[0].get_segments()[0]
    assert sorted(first[:, 1]) == pytest.approx([0.9 * 3.34, 1.1 * 3.34])


def test_curves_draw_every_function_once_and_chance_once():
    rows = [
        {"network": "srresnet", "seed": 0, "input": kind, "method": m, "filters": f, "percent": p, "drop": p / 10}
        for kind in discovery.KINDS
        for m in ("faig", "random")
        for f in ("deblurring", "denoising")
        for p in (0.0, 1.0, 100.0)
    ]
    figure = masking_show.masking_curves(pd.DataFrame(rows))
    assert [len(axis.lines) for axis in figure.axes] == [3, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "deblurring filters (FAIG)",
        "denoising filters (FAIG)",
        "random filters",
    ]


def test_pictures_are_shown_as_they_are():
    image = torch.rand(1, 3, 5, 7)
    picture = style.as_picture(image)
    assert picture.shape == (5, 7, 3)
    assert torch.equal(torch.from_numpy(picture).permute(2, 0, 1), image[0])
    assert method_show.inputs({"a": image, "b": image}).html.count("<img ") == 2


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0.0, 5.0], [0.0, 5.0]),
        ([1.0, 1.0], [0.5, 1.5]),
        ([1.2, 1.0, 4.0], [1.6, 0.6, 4.0]),
        ([1.0, 1.1, 1.9, 9.0], [1 / 3, 4 / 3, 7 / 3, 9.0]),
        ([0.0, 0.9, 1.8], [-0.1, 0.9, 1.9]),
    ],
)
def test_labels_stand_apart_and_near_their_places(places, expected):
    """Groups of labels that touch have the mean of their places in their middle, as least squares would put them."""
    assert apart(places, 1.0) == pytest.approx(expected)


def test_labels_keep_their_order_and_distance():
    wanted = list(np.random.default_rng(0).normal(0, 3, 20))
    found = apart(wanted, 0.5)
    assert sorted(range(20), key=lambda n: wanted[n]) == sorted(range(20), key=lambda n: found[n])
    assert np.diff(sorted(found)).min() >= 0.5 - 1e-12


def test_a_heat_map_is_seaborns_and_draws_no_other_panel(monkeypatch):
    numbers = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=list("abcd"))
    pictures, drawn = [], []
    for draw in (
        lambda axis: style.heatmap(axis, numbers, numbers.map(str), "Blues", vmin=0),
        lambda axis: sns.heatmap(numbers, annot=numbers.map(str), fmt="", cmap="Blues", vmin=0, cbar=False, ax=axis),
    ):
        figure, (first, second, unused) = plt.subplots(1, 3)
        unused.set_visible(False)
        first.plot([1, 2])
        with monkeypatch.context() as patch:
            patch.setattr(first.lines[0], "draw", lambda *_: drawn.append(len(pictures)), raising=False)
            draw(second)
        assert [axis.get_visible() for axis in (first, second, unused)] == [True, True, False]
        figure.canvas.draw()
        pictures.append(np.asarray(figure.canvas.buffer_rgba()).copy())
        plt.close(figure)
    assert np.array_equal(*pictures)
    assert set(drawn) == {1}, "seaborn itself draws the other panel, and what stands in for it does not"
