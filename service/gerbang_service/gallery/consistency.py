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


class Disturbed(Exception):
    """Raised by `work` when what was prepared holds no more: both are made again."""


class NotAtOnce(Exception):
    """Raised where something would have to be waited for, or would take long, and that may not be."""


class Consistency:
    """One writer, any number of readers. Thread-safe."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        # Held while waiting for the other: who has just had that can't have it again before who waits.
        self._turn = threading.Lock()
        self._owner = 0
        self._version = 0
        # The thread that may not wait now.
        self._hurried = 0

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Hold off changes by others; also inside itself. Raises NotAtOnce inside `at_once`."""
        me = threading.get_ident()
        if self._owner == me:
            yield
            return
        if self._hurried == me:
            raise NotAtOnce
        with self._turn:
            self._changing.acquire()
        self._owner = me
        try:
            yield
        finally:
            self._owner = 0
            self._changing.release()

    @contextmanager
    def taking_away(self) -> Iterator[None]:
        """Hold while changing or taking away what searches may be reading: those under way are then made again."""
        with self.held_off():
            self._version += 1
            try:
                yield
            finally:
                self._version += 1

    def read(self, work: Callable[[Any], T], prepare: Callable[[], object] = lambda: None) -> T:
        """Return `work(prepare())`, all of which was made while nothing was taken away.

        What `work` reads, it must read itself, and anew each time: it may be called several times, as may `prepare`,
        which may take away something itself. With changes held off, `work` must not be disturbed.
        """
        for _ in range(_DISTURBED_AT_MOST):
            prepared = prepare()
            version = self._version
            if version % 2:
                with self.held_off():
                    version = self._version
            try:
                result = work(prepared)
            except Disturbed:
                continue
            except Exception:
                if self._version == version:
                    raise
            else:
                if self._version == version:
                    return result
        with self.held_off():
            return work(prepare())

    def at_once(self, work: Callable[[Any], T], prepare: Callable[[], object]) -> T:
        """Do as `read` where that waits for nobody and is done once, else raise NotAtOnce. Belongs to one thread."""
        self._hurried = threading.get_ident()
        try:
            prepared = prepare()
            version = self._version
            if version % 2:
                raise NotAtOnce
            try:
                result = work(prepared)
            except Exception as error:
                if isinstance(error, Disturbed) or self._version != version:
                    raise NotAtOnce from None
                raise
            if self._version != version:
                raise NotAtOnce
            return result
        finally:
            self._hurried = 0
