"""Putting off Ctrl-C and its like while several things change that belong together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back the signals that end a program until the block is done, then let them act as before.

    Signals without a Python handler (ignored, or left to the operating system) are not touched. Only the main thread
    can do this; in another one the block runs as it is, since Python's handlers never run there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    caught = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in caught:
        signal.signal(number, lambda received, _: waiting.append(received))
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
    for number in dict.fromkeys(waiting):
        signal.raise_signal(number)
