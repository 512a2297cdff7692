"""Putting off Ctrl-C and its like while several things change that belong together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def interruptible(received: list[int]) -> Iterator[None]:
    """Let the signals that end a program raise KeyboardInterrupt, and list them.

    A signal that is ignored, such as Ctrl-C for a program that a shell script started in the background, stays so.

    Args:
        received: gets the numbers of the signals, in their order.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, interrupt)
        yield
    finally:
        for number in SIGNALS:
            signal.signal(number, before[number])


def ended_by_signals(program: Callable[[], int]) -> int:
    """Exit status of a program: its own, or 128 + the number of the signal that ended it after it had cleaned up."""
    received: list[int] = []
    try:
        with interruptible(received):
            return program()
    except KeyboardInterrupt:
        return 128 + (received[0] if received else signal.SIGINT)


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
