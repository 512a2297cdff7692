"""How numbers and words are printed on pages: one form for all sentences, captions, tables and figures.

A minus is a minus (U+2212) and not a hyphen, zero has no sign, a percentage is a number, a space and %, a power of ten
is one, and an apostrophe is curly.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import ParamSpec

P = ParamSpec("P")

MINUS = "\u2212"
#: Stands where there is no value.
DASH = "–"

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NEGATIVE = re.compile(r"(?<![\w)\]./\\-])-(?=\.?\d)")
_SIGNED_ZERO = re.compile(rf"(?<![\w)\]])[+{MINUS}](?=0(?:\.0+)?(?![\d.,]*[\d·]))")
_PERCENT = re.compile(r"(?<=\d)%")
_POWER = re.compile(r"(?<=\d)e([+-])0*(\d+)\b")
_APOSTROPHE = re.compile(r"(?<=[\w|])'(?=\w)|(?<=s)'(?=\s)")


def printed(text: str) -> str:
    """A text with its numbers, percentages and apostrophes in the form of the book.

    >>> printed("-0.00 and -1.50 dB, 48% of FAIG's, 2e-04")
    '0.00 and −1.50 dB, 48 % of FAIG’s, 2·10⁻⁴'
    """
    text = _POWER.sub(lambda found: f"·10{_power(found)}", text)
    text = _SIGNED_ZERO.sub("", _NEGATIVE.sub(MINUS, text))
    return _APOSTROPHE.sub("’", _PERCENT.sub(" %", text))


def _power(found: re.Match[str]) -> str:
    sign, digits = found.groups()
    return (digits if sign == "+" else f"-{digits}").translate(_SUPERSCRIPTS)


def number(value: float, form: str = ".2f") -> str:
    """A number in a format of Python, or a dash for none: ``number(-0.001)`` is ``0.00``.

    Args:
        value: the number.
        form: as behind the colon of an f-string; ``.0%`` makes a percentage of a share.
    """
    if value is None or math.isnan(value):
        return DASH
    return printed(format(value, form))


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage: ``percent(0.48)`` is ``48 %``."""
    return number(share, f".{digits}%")


def beside(value: float, limit: float, form: str = ".2f") -> str:
    """A number with as many digits as it takes to tell it from a limit that a sentence holds it against.

    Args:
        value: the number.
        limit: what it is compared with.
        form: a point, the digits to begin with, and ``f`` or ``%``.
    """
    digits, kind = int(form[1:-1]), form[-1]
    for more in range(digits, digits + 5):
        text = number(value, f".{more}{kind}")
        if value == limit or text != number(limit, f".{more}{kind}"):
            return text
    return number(value, form)


def begun(words: str) -> str:
    """The words as a sentence begins."""
    return words[0].upper() + words[1:]


def counted(count: int, noun: str, plural: str = "") -> str:
    """So many of something: ``1 crop``, ``3 crops``, ``2 matrices``; the plural where it is not the noun and an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or f'{noun}s'}"


def listed(items: Iterable[str], last: str = "and") -> str:
    """Items in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    names = list(items)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}" if names else ""


def seeds_named(seeds: Sequence[int]) -> str:
    """Seeds in words: ``seed 0``, ``seeds 0, 1 and 2``."""
    return f"seed{'s' if len(seeds) > 1 else ''} {listed(map(str, seeds))}"


def typeset(make: Callable[P, str]) -> Callable[P, str]:
    """Let what a function says be :func:`printed`."""

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> str:
        return printed(make(*args, **kwargs))

    return made
