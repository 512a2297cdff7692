"""Photographs and plots on a page: no ground of their own, light ink in the dark, and full size by click and key."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from bookmaker.checks.browser import Browser, Tab
from faiglib.companion.page import gallery, style
from tests.companion.test_interactive import click, press

ASSETS = Path(__file__).resolve().parents[2] / "book" / "assets"
OPEN = "document.querySelector('dialog')?.open ?? false"


def plot() -> Image.Image:
    """A black line and a word, as a notebook draws them."""
    with plt.rc_context():
        style.style()
        figure, axis = plt.subplots(figsize=(10, 4))
        axis.plot([0, 1], [0, 1], color="black", lw=6)
        axis.set_title("A word", fontsize=5)
        style.finished(figure)
        assert axis.title.get_fontsize() == style.SMALLEST
        file = io.BytesIO()
        figure.savefig(file, dpi=110, facecolor=figure.get_facecolor())
    return Image.open(file).convert("RGBA")


def page(browser: Browser, folder: Path, body: str, *, dark: bool = False, width: int = 1280) -> Tab:
    path = folder / "page.html"
    script = (ASSETS / "enlarge.js").read_text()
    path.write_text(
        f'<!doctype html><html data-theme="{"dark" if dark else "light"}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{(ASSETS / 'book.css').read_text()}"
        "body { background: var(--pst-color-background); margin: 0 }</style>"
        f'<script>{script}</script><article class="bd-article bd-content">{body}</article></html>',
        encoding="utf-8",
    )
    tab = browser.open(path.as_uri(), width=width)
    assert tab.errors == []
    return tab


def drawn(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return f'<div class="scrolls plot" style="--natural: {picture.width}px"><img alt="A plot" src="{address}"></div>'


def two() -> str:
    light, dark = torch.full((1, 3, 40, 40), 0.8), torch.zeros(1, 3, 40, 40)
    images = {"target": gallery.Shot(light), "masked <1 %>": gallery.Shot(dark, "9 dB")}
    return gallery.gallery({"noisy": images}).html


def test_plots_have_no_ground():
    alpha = np.asarray(plot())[..., 3]
    assert alpha[0, 0] == 0
    assert alpha[alpha.shape[0] // 3, alpha.shape[1] // 2] in (0, 255)
    assert np.mean(alpha == 0) > 0.7


@pytest.mark.parametrize("dark", [False, True])
def test_ink_stands_out_in_both_themes(browser, tmp_path, dark):
    tab = page(browser, tmp_path, drawn(plot()), dark=dark)
    pixels = np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("L")).astype(int)
    tab.close()
    ground = np.bincount(pixels.ravel()).argmax()
    assert ground < 40 if dark else ground > 240
    assert abs(pixels - ground).max() > 200
    assert np.mean(abs(pixels - ground) > 20) < 0.2  # and no slab


def test_photographs_are_shown_as_they_are_in_the_dark(browser, tmp_path):
    tab = page(browser, tmp_path, two(), dark=True)
    x, y = tab.evaluate("(box => [box.x + 20, box.y + 20])(document.querySelector('img').getBoundingClientRect())")
    shown = Image.open(io.BytesIO(tab.screenshot())).convert("L").getpixel((int(x), int(y)))
    assert abs(shown - 204) < 6
    tab.close()


def test_words_stay_words():
    assert "masked &lt;1 %&gt;" in two()
    assert 'alt="noisy, masked &lt;1 %&gt;, 9 dB"' in two()


def test_a_photograph_opens_by_click_and_escape_closes(browser, tmp_path):
    tab = page(browser, tmp_path, two())
    assert tab.evaluate(OPEN) is False
    click(tab, ".gallery img")
    assert tab.evaluate(OPEN) is True
    assert tab.evaluate("document.querySelector('dialog img').width") >= 400  # by a whole factor
    assert tab.evaluate("document.querySelector('dialog img').width") % 40 == 0
    press(tab, "ArrowRight")
    assert tab.evaluate("document.querySelector('dialog img').alt") == "noisy, masked <1 %>, 9 dB"
    press(tab, "ArrowRight")
    assert tab.evaluate("document.querySelector('dialog p').textContent") == "noisy, target"
    press(tab, "Escape")
    assert tab.evaluate(OPEN) is False
    assert tab.evaluate("document.activeElement.className") == "enlarge"
    tab.close()


def test_a_plot_opens_by_key_in_its_full_size(browser, tmp_path):
    tab = page(browser, tmp_path, drawn(plot()), width=390)
    natural = tab.evaluate("document.querySelector('img').naturalWidth")
    label = style.SMALLEST / 72 * 110
    assert label * tab.evaluate("document.querySelector('img').width") / natural >= 9
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.evaluate("document.querySelector('.scrolls').className") == "scrolls plot cut-right"
    tab.evaluate("document.querySelector('button.enlarge').focus()")
    press(tab, "Enter")
    assert tab.evaluate(OPEN) is True
    assert tab.evaluate("document.querySelector('dialog img').width") >= natural - 1
    tab.close()
