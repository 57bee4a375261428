"""Deleted content, erased from the database's files: at once, or as soon as no query reads it any more."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from gerbang_service.store.port import Store

log = logging.getLogger(__name__)

# What queries keep from being erased is tried again so often, and said to be an error after so long, seconds: a backup,
# or another process that loads the gallery, may read for a while.
_TRIED_EVERY_S: Final = 1.0
_LATE_AFTER_S: Final = 60.0


class Erasing:
    """What is left to be erased. Belongs to the thread that writes."""

    def __init__(self, store: Store, meanwhile: Callable[[], object], hurried: Callable[[], bool]) -> None:
        """`meanwhile` is called now and then while this waits for queries; while `hurried`, it does not wait."""
        self._store = store
        self._meanwhile = meanwhile
        self._hurried = hurried
        # When to try again. At first: another process, or this one's predecessor, may have ended before it had erased.
        self._due: float | None = 0.0
        self._late_at: float | None = None

    @property
    def left(self) -> bool:
        """Whether there may be something to be erased."""
        return self._due is not None

    def erase(self) -> None:
        """Erase what was deleted, or note that it is left. Raises what `meanwhile` raises."""
        failure = self._store.erase(self._meanwhile, self._hurried)
        now = time.monotonic()
        if failure is None:
            self._due = self._late_at = None
            return
        self._due = now + _TRIED_EVERY_S
        self._late_at = self._late_at or now + _LATE_AFTER_S
        if now >= self._late_at:
            self._late_at = now + _LATE_AFTER_S
            log.error("deleted content may still be stored: %s", failure)

    def go_on(self) -> None:
        """Erase what is left when it is time to try again. Raises what `meanwhile` raises."""
        if self._due is not None and time.monotonic() >= self._due:
            self.erase()
