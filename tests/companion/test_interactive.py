"""What readers move works in a browser: by pointer, by keyboard, and not at all without scripts."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from bookmaker.checks.browser import Browser, Tab
from faiglib.companion.page import interactive
from faiglib.errors import FaiglibError

ASSETS = Path(__file__).resolve().parents[2] / "book" / "assets"


def plain(level: float, size: int = 16) -> torch.Tensor:
    return torch.full((1, 3, size, size), level)


def page(browser: Browser, folder: Path, figure: interactive.Interactive, script: bool = True) -> Tab:
    head = f'<!doctype html><meta charset="utf-8"><style>{(ASSETS / "book.css").read_text()}</style>'
    if script:
        head += f"<script>{(ASSETS / 'interactive.js').read_text()}</script>"
    path = folder / "page.html"
    path.write_text(head + figure.html, encoding="utf-8")
    tab = browser.open(path.as_uri())
    assert tab.errors == []
    return tab


def press(tab: Tab, key: str) -> None:
    text = {"text": "\r"} if key == "Enter" else {}
    for kind, more in (("keyDown", text), ("keyUp", {})):
        tab.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key], **more)


def click(tab: Tab, selector: str) -> None:
    """A click of the mouse on the middle of an element."""
    x, y = tab.evaluate(
        f"(box => [box.x + box.width / 2, box.y + box.height / 2])"
        f"(document.querySelector({selector!r}).getBoundingClientRect())"
    )
    for kind, buttons in (("mousePressed", 1), ("mouseReleased", 0)):
        tab.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=buttons, clickCount=1, x=x, y=y)


KEYS = {"Escape": 27, "Enter": 13, "ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35}
KNOBS = [(first, second) for first in ("0", "1", "2") for second in ("a", "b")]


def two_knobs() -> interactive.Interactive:
    images = {setting: plain(number / 10) for number, setting in enumerate(KNOBS)}
    return interactive.frames(images, ["λ", "letter"], ("1", "a"), "A <caption>", 'Gray "levels"')


def level(tab: Tab) -> int:
    """Mean gray level of the picture that is shown."""
    source = tab.evaluate("document.querySelector('img').src")
    pixels = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
    return round(float(np.asarray(pixels).mean()) / 25.5)


def test_pictures_are_what_they_show():
    image = torch.rand(1, 3, 4, 6).repeat_interleave(8, 2).repeat_interleave(8, 3)
    address = interactive.picture(image)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGB")) / 255
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels - image[0].permute(1, 2, 0).numpy()).mean() < 0.1


def test_montage_puts_images_in_rows():
    sheet = interactive.montage([[plain(0.1), plain(0.2)], [plain(0.3), plain(0.4)]], gap=2)
    assert sheet.shape == (1, 3, 34, 34)
    corners = sheet[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert torch.allclose(corners, torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert (sheet[..., 16:18, :] == 1).all()


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(FaiglibError, match="every setting"):
        interactive.frames({("0", "a"): plain(0), ("1", "b"): plain(1)}, ["x", "y"], ("0", "a"), "", "")
    with pytest.raises(FaiglibError, match="two pictures, not 1"):
        interactive.compare({"a": plain(0)}, "")


def test_text_stays_text():
    html = two_knobs().html
    assert "A &lt;caption&gt;" in html
    assert 'alt="Gray &quot;levels&quot;"' in html
    tricky = interactive.Interactive("map", "", "", {"layers": ["</script><b>"]}).html
    assert tricky.count("</script>") == 1


def test_two_knobs_choose_the_picture_by_keyboard(browser, tmp_path):
    tab = page(browser, tmp_path, two_knobs())
    assert level(tab) == KNOBS.index(("1", "a"))
    assert tab.evaluate("document.querySelector('figure').hidden") is False
    tab.evaluate("document.querySelectorAll('input')[0].focus()")
    press(tab, "ArrowRight")
    assert level(tab) == KNOBS.index(("2", "a"))
    tab.evaluate("document.querySelectorAll('input')[1].focus()")
    press(tab, "End")
    assert level(tab) == KNOBS.index(("2", "b"))
    assert tab.evaluate("document.querySelector('img').alt") == 'Gray "levels", λ 2, letter b'
    shown = "[...document.querySelectorAll('input')].map(one => one.getAttribute('aria-valuetext')).join()"
    assert tab.evaluate(shown) == "2,b"
    tab.close()


def test_the_edge_between_two_pictures_follows_slider_and_pointer(browser, tmp_path):
    tab = page(browser, tmp_path, interactive.compare({"black": plain(0, 100), "white": plain(1, 100)}, "Edge"))
    box = tab.evaluate("(box => [box.x, box.y, box.width])(document.querySelector('.stage').getBoundingClientRect())")

    def is_white(share: float) -> bool:
        image = Image.open(io.BytesIO(tab.screenshot())).convert("L")
        return image.getpixel((int(box[0] + share * box[2]), int(box[1] + 20))) > 128

    assert [is_white(0.4), is_white(0.6)] == [False, True]
    tab.evaluate("document.querySelector('input').focus()")
    press(tab, "Home")
    assert [is_white(0.05), is_white(0.6)] == [True, True]
    for kind, buttons in (("mousePressed", 1), ("mouseMoved", 1), ("mouseReleased", 0)):
        place = {"x": box[0] + 0.8 * box[2], "y": box[1] + 10}
        tab.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=buttons, **place)
    assert [is_white(0.7), is_white(0.9)] == [False, True]

    def at(share: float) -> dict[str, float]:
        return {"x": box[0] + share * box[2], "y": box[1] + 20}

    # A mouse that is dragged over the picture, and out of it, as a hand does: the browser must not drag the picture.
    tab.call("Input.dispatchMouseEvent", type="mousePressed", button="left", buttons=1, clickCount=1, **at(0.5))
    for share in (0.45, 0.4, 0.35, 0.3, 0.25, 0.2):
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **at(share))
    assert [is_white(0.15), is_white(0.25)] == [False, True]
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", button="left", buttons=1, **at(1.2))
    assert [is_white(0.5), is_white(0.95)] == [False, False]
    tab.call("Input.dispatchMouseEvent", type="mouseReleased", button="left", buttons=0, clickCount=1, **at(1.2))
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", button="none", buttons=0, **at(0.3))
    assert not is_white(0.5)
    # A finger.
    for kind, share in (("touchStart", 0.5), ("touchMove", 0.6), ("touchMove", 0.7)):
        tab.call("Input.dispatchTouchEvent", type=kind, touchPoints=[at(share)])
    tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert [is_white(0.65), is_white(0.75)] == [False, True]
    tab.close()


@pytest.fixture
def places() -> pd.DataFrame:
    rows = [(0, 2, 1, 0.1, 0.5, 3.0), (1, 7, 5, 0.9, 0.5, 9.0), (1, 0, 0, 0.5, 0.1, 6.0)]
    columns = ["number", "output_channel", "input_channel", "input", "output", "score"]
    return pd.DataFrame(rows, columns=columns).assign(filters=["denoising", "denoising", "deblurring"])


def test_the_map_names_the_filter_by_pointer_and_key(browser, tmp_path, places):
    tab = page(browser, tmp_path, interactive.filter_map(places, ["first", "last"], "Map"))
    words = "document.querySelector('output').value"
    assert tab.evaluate(words) == "no. 1 of 3: denoising filter, layer last, output 7, input 5, score 9.00"
    tab.evaluate("document.querySelector('canvas').focus()")
    press(tab, "End")
    assert tab.evaluate(words) == "no. 3 of 3: denoising filter, layer first, output 2, input 1, score 3.00"
    press(tab, "ArrowLeft")
    assert "no. 2 of 3: deblurring filter, layer last, output 0, input 0" in tab.evaluate(words)
    x, y, width, height = tab.evaluate(
        "(box => [box.x, box.y, box.width, box.height])(document.querySelector('canvas').getBoundingClientRect())"
    )
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + 0.08 * width, y=y + 0.5 * height)
    assert "layer first, output 2, input 1" in tab.evaluate(words)
    tab.evaluate("document.querySelector('input[value=deblurring]').focus()")
    click(tab, "input[value=deblurring]")
    assert tab.evaluate(words) == "no. 1 of 1: deblurring filter, layer last, output 0, input 0, score 6.00"
    click(tab, "input[value=both]")
    assert "of 3: " in tab.evaluate(words)
    tab.close()


def test_without_scripts_nothing_is_shown(browser, tmp_path):
    tab = page(browser, tmp_path, two_knobs(), script=False)
    assert tab.evaluate("document.querySelector('figure').offsetHeight") == 0
    tab.close()
