"""Numbers and sentences of a notebook for the prose of the book."""

from __future__ import annotations

from numbers import Integral, Real

from IPython.display import HTML

from faiglib.companion.page.words import printed


def glue(**values: object) -> None:
    """Let pages say ``{glue:text}`name``` of every value, as Python's own number or as the words that it is, printed.

    Args:
        values: integers and other real numbers, NumPy's included, strings, or HTML, by name.

    Raises:
        TypeError: a value is none of these.
    """
    from myst_nb import glue as keep

    for name, value in values.items():
        if isinstance(value, Integral):
            keep(name, int(value), display=False)
        elif isinstance(value, Real):
            keep(name, float(value), display=False)
        elif isinstance(value, str):
            keep(name, printed(value), display=False)
        elif isinstance(value, HTML):
            keep(name, value, display=False)
        else:
            raise TypeError(f"{name} is {type(value).__qualname__}; a number, words or HTML was expected")
