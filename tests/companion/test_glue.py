"""What notebooks hand to the prose of the book."""

import numpy as np
import pandas as pd
import pytest

from faiglib.companion.page.glue import glue


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (3, 3),
        (np.int64(3), 3),
        ((pd.Series([1, 2]) > 1).sum(), 1),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (pd.Series([1.5]).max(), 1.5),
        ("words", "words"),
    ],
)
def test_numbers_are_pythons_own(monkeypatch, value, kept):
    found = {}
    monkeypatch.setattr("myst_nb.glue", lambda name, value, display: found.update({name: (value, display)}))
    glue(one=value)
    assert found == {"one": (kept, False)}
    assert type(found["one"][0]) is type(kept)


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, 1j, b"words", pd.Series([1])])
def test_anything_else_is_refused(value):
    with pytest.raises(TypeError, match=r"one is \w+; a number, words or HTML was expected"):
        glue(one=value)
