"""Answers to requests that may be repeated, forgotten when they are older than they are kept."""

from __future__ import annotations

import time
from typing import Final

from gerbang_service.store.port import Outcome, Transaction

# Looked for so often, seconds; and so many at once: more than a group of changes adds, in some milliseconds.
_EVERY_S: Final = 60.0
_AT_ONCE: Final = 1000


class Forgetting:
    """An operation that is written with other changes now and then. Belongs to the thread that writes."""

    def __init__(self, kept_s: float) -> None:
        """`kept_s`: how long answers are kept, seconds."""
        self._kept_ns = int(kept_s * 1e9)
        self._next = 0.0

    @property
    def wait_s(self) -> float:
        """Seconds until it is to be written again; 0 for now."""
        return max(0.0, self._next - time.monotonic())

    def begin(self) -> None:
        """Note that it is tried: should it fail, it is tried again as if it had been done."""
        self._next = time.monotonic() + _EVERY_S

    def __call__(self, transaction: Transaction) -> Outcome[int]:
        """Forget some of the answers that are too old; answers how many. The oldest go first."""
        forgotten = transaction.forget_answers(time.time_ns() - self._kept_ns, _AT_ONCE)
        if forgotten == _AT_ONCE:
            self._next = 0.0
        return Outcome(forgotten)
