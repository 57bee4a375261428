"""Changes that wait for the writer: bounded, and taken many at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from gerbang_service.domain.errors import Overloaded
from gerbang_service.store.port import Operation, Outcome


@dataclass(frozen=True, slots=True, eq=False)
class Submitted:
    """Operations that were submitted together, at least one.

    `settle` is given what became of each, once, and completes `future`; `begun` is called before they are written.
    """

    operations: Sequence[Operation[Any]]
    settle: Callable[[Sequence[Outcome[Any] | Exception]], object]
    future: Future[Any]
    begun: Callable[[], object] = lambda: None

    def begin(self) -> bool:
        """Begin to write them, after which they can't be called back; False when they were."""
        wanted = self.future.set_running_or_notify_cancel()
        if wanted:
            self.begun()
        return wanted


class Waiting:
    """What was submitted and not taken, in order. Thread-safe; one thread takes."""

    def __init__(self, limit: int) -> None:
        """`limit`: changes that may wait; one free place is enough for many that belong together."""
        self._limit = limit
        self._submitted: deque[Submitted] = deque()
        self._changed = threading.Condition()
        self._woken = False
        self.count = 0
        """Changes that wait."""

    def put(self, submitted: Submitted) -> None:
        """Have something wait. Raises Overloaded when too much waits already."""
        with self._changed:
            self.check()
            self._submitted.append(submitted)
            self.count += len(submitted.operations)
            self._changed.notify()

    def check(self, others: int = 0) -> None:
        """Raise Overloaded when too much waits already, together with `others` that are to be put here."""
        if self.count + others >= self._limit:
            raise Overloaded("too many changes are waiting to be written", retry_after_s=1.0)

    def wake(self) -> None:
        """Have who takes return, with nothing if nothing waits."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def take(self, most: int, patience_s: float) -> list[Submitted]:
        """Wait until something waits, or for so long, and return it: until it has `most` changes or more."""
        with self._changed:
            if not self._submitted and not self._woken:
                self._changed.wait(patience_s)
            self._woken = False
            taken: list[Submitted] = []
            size = 0
            while self._submitted and size < most:
                taken.append(self._submitted.popleft())
                size += len(taken[-1].operations)
            self.count -= size
            return taken

    def take_all(self) -> list[Submitted]:
        """Return all that waits, at once."""
        with self._changed:
            taken = list(self._submitted)
            self._submitted.clear()
            self.count = 0
            return taken
