"""A lock that many searches share, or one writer has alone.

hnswlib is not safe when templates are added while others search (nmslib/hnswlib issues 562, 590, 205).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """Readers share, a writer excludes all, and the two take turns: neither can starve the other.

    While a writer waits, new readers queue behind it; when it is done, those queued go before the next writer.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._readers = 0
        self._readers_queued = 0
        self._writing = False
        self._writers_waiting = 0
        self._readers_turn = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock together with other readers."""
        with self._changed:
            self._readers_queued += 1
            while self._writing or (self._writers_waiting and not self._readers_turn):
                self._changed.wait()
            self._readers_queued -= 1
            self._readers += 1
            if not self._readers_queued and self._readers_turn:
                self._readers_turn = False
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                if not self._readers:
                    self._changed.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock alone."""
        with self._changed:
            self._writers_waiting += 1
            while self._writing or self._readers or (self._readers_turn and self._readers_queued):
                self._changed.wait()
            self._writers_waiting -= 1
            self._writing = True
        try:
            yield
        finally:
            with self._changed:
                self._writing = False
                self._readers_turn = bool(self._readers_queued)
                self._changed.notify_all()
