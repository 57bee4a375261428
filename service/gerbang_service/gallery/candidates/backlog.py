"""Rows that a generator was told of and does not hold yet."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.reserved import regrown, reserved

# What is known of a row: nothing; it waits in the queue; it is being taken in.
_UNKNOWN: Final = 0
_WAITS: Final = 1
_TAKEN: Final = 2


class Backlog:
    """A queue of rows, each of which may be dropped at any time. Needs a lock around it."""

    def __init__(self, *rows: NDArray[np.int64]) -> None:
        self._queue: deque[NDArray[np.int64]] = deque()
        self._state = reserved(np.uint8, 1)
        self._taken = np.empty(0, np.int64)
        self.count = 0
        """Rows that wait or are being taken in."""
        for each in rows:
            self.put(each)

    def put(self, rows: NDArray[np.int64]) -> None:
        """Queue rows, each once."""
        if not len(rows):
            return
        if (most := int(rows.max())) >= len(self._state):
            self._state = regrown(self._state, len(self._state), 2 * (most + 1))
        self._state[rows] = _WAITS
        self._queue.append(rows)
        self.count += len(rows)
        self._merge()

    def _merge(self) -> None:
        """Keep each part twice as long as the next: who takes nothing has few, without rows dropped or put again."""
        queue = self._queue
        while len(queue) > 1 and len(queue[-2]) < 2 * len(queue[-1]):
            rows = np.unique(np.concatenate([queue.pop(), queue.pop()]))
            queue.append(rows[self._state[rows] == _WAITS])

    def drop(self, row: int) -> bool:
        """Forget a row; tell whether it was in here."""
        if row >= len(self._state) or self._state[row] == _UNKNOWN:
            return False
        if self._state[row] == _TAKEN:
            self._taken[self._taken == row] = -1
        self._state[row] = _UNKNOWN
        self.count -= 1
        return True

    def rows(self) -> NDArray[np.int64]:
        """Return all rows in here; int64."""
        parts = [self._taken[self._taken >= 0], *(each[self._state[each] == _WAITS] for each in self._queue)]
        return np.unique(np.concatenate(parts))

    def take(self, most: int) -> NDArray[np.int64]:
        """Return the next rows, at most so many; they stay in here until `taken_in`."""
        parts: list[NDArray[np.int64]] = []
        while most and self._queue:
            first = self._queue.popleft()
            part, rest = first[:most], first[most:]
            if len(rest):
                self._queue.appendleft(rest)
            # One that was dropped and put again waits further back too: the first place is as good.
            waiting = part[self._state[part] == _WAITS]
            self._state[waiting] = _TAKEN
            parts.append(waiting)
            most -= len(waiting)
        self._taken = np.concatenate(parts) if parts else np.empty(0, np.int64)
        return self._taken.copy()

    def taken_in(self) -> NDArray[np.int64]:
        """Note that what was taken is held now, and return it; -1 in the place of a row that was dropped meanwhile."""
        taken, self._taken = self._taken, np.empty(0, np.int64)
        held = taken[taken >= 0]
        # A row that was dropped, and put again as another template's, waits still.
        self._state[held] = _UNKNOWN
        self.count -= len(held)
        return taken
