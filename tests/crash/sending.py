"""The items of one stream, taken by a thread of gRPC's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gerbang import EnrollRequest

# Sent and not answered yet, at most.
_WINDOW = 16


@dataclass
class Sending:
    """Makes each item when gRPC takes it: `most` at most, and none after `end`, which also lets gRPC's thread end."""

    make: Callable[[], EnrollRequest]
    most: int
    _places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_WINDOW))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: bool = False

    def __iter__(self) -> Iterator[EnrollRequest]:
        for _ in range(self.most):
            self._places.acquire()
            with self._lock:
                if self._ended:
                    return
                item = self.make()
            yield item

    def answered(self) -> None:
        """Let another one be sent."""
        self._places.release()

    def end(self) -> None:
        """Make no more; none is being made when this returns."""
        with self._lock:
            self._ended = True
        # It may be waiting for a place, which nobody would free any more.
        self._places.release()
