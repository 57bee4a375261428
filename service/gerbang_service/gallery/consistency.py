"""Every answer is of one state, though searches take no lock and changes don't wait for them.

What is added can be told from what was there by its revision, and is left out by a search of an earlier one. Changing
or taking away what a search may be reading is done inside `taking_away`: a search that finds that this happened
meanwhile is made again, from the new state. One that is disturbed twice is made with changes held off, so that it ends.
(The idea of a sequence lock.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

_DISTURBED_AT_MOST: Final = 2


class Consistency:
    """One writer, any number of readers. Thread-safe."""

    def __init__(self) -> None:
        self.changing: Final = threading.RLock()
        """Held by whoever changes anything, and by who must not be disturbed."""
        self._version = 0

    @contextmanager
    def taking_away(self) -> Iterator[None]:
        """Hold while changing or taking away what searches may be reading: those under way are then made again."""
        with self.changing:
            self._version += 1
            try:
                yield
            finally:
                self._version += 1

    def read(self, work: Callable[[Any], T], prepare: Callable[[], object] = lambda: None) -> T:
        """Return `work(prepare())`, all of which was made while nothing was taken away.

        What `work` reads, it must read itself, and anew each time: it may be called several times, as may `prepare`,
        which may take away something itself.
        """
        for _ in range(_DISTURBED_AT_MOST):
            prepared = prepare()
            version = self._version
            if version % 2:
                with self.changing:
                    version = self._version
            try:
                result = work(prepared)
            except Exception:
                if self._version == version:
                    raise
            else:
                if self._version == version:
                    return result
        with self.changing:
            return work(prepare())
