"""Every plot of the book, one module a chapter; nothing is computed here.

Functions take tidy tables or images and return a matplotlib figure that a notebook shows as the result of its cell.
"""

from faiglib.figures.common import style

__all__ = ["style"]
