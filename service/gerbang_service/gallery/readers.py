"""Who is reading the table right now: what lets the writer reuse a freed row without a lock in the search's way.

A search that started before a row was freed may still hold its number. If the row were given to another subject
meanwhile, the search could report the old face's score for the new subject. So a freed row waits until every search
that was running when it was freed has ended (the idea of read-copy-update).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_POLL_S = 0.0005


class Readers:
    """Counts running searches by the epoch they started in. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoch = 0
        self._active: Counter[int] = Counter()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Mark a search as running."""
        with self._lock:
            epoch = self._epoch
            self._active[epoch] += 1
        try:
            yield
        finally:
            with self._lock:
                self._active[epoch] -= 1
                if not self._active[epoch]:
                    del self._active[epoch]

    def next_epoch(self) -> int:
        """Start a new epoch and return the number of the one that ended: what was freed, was freed in it."""
        with self._lock:
            self._epoch += 1
            return self._epoch - 1

    def wait_for_earlier(self, timeout_s: float) -> bool:
        """Wait until every search that runs now has ended; returns whether it did within `timeout_s` seconds."""
        ended, give_up = self.next_epoch(), time.monotonic() + timeout_s
        while self.oldest() <= ended:
            if time.monotonic() > give_up:
                return False
            time.sleep(_POLL_S)
        return True

    def oldest(self) -> int:
        """Return the epoch of the longest running search; what was freed in an earlier one may be reused."""
        with self._lock:
            return min(self._active, default=self._epoch)
