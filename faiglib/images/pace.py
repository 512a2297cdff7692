"""How fast a server may be asked, by what it says itself."""

from __future__ import annotations

import email.utils
import threading
import time
from datetime import UTC, datetime

from tqdm import tqdm

from faiglib.errors import DatasetError

#: Longest wait in seconds that a server is granted.
LONGEST_WAIT = 120.0


def seconds_asked_for(header: str) -> float:
    """Seconds to wait by a ``Retry-After``, which holds seconds or a date (RFC 9110, section 10.2.3); 0 if neither."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


class Pace:
    """When the next request may be sent; shared by all connections to a server, which go one by one once it asked."""

    def __init__(self) -> None:
        self._until = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when a request may be sent."""
        with self._lock:
            left = self._until - time.monotonic()
            if left > 0:
                time.sleep(left)

    def slow_down(self, seconds: float, url: str) -> None:
        """Send nothing for some seconds.

        Args:
            seconds: that the server asked for.
            url: which address it was.

        Raises:
            DatasetError: they are too many.
        """
        if seconds > LONGEST_WAIT:
            raise DatasetError(f"{url} could not be fetched: the server asks to come back in {seconds:,.0f} s")
        until = time.monotonic() + seconds
        if until > self._until + 1:
            tqdm.write(f"The server asks for a pause of {seconds:.0f} s.")
        self._until = max(self._until, until)
