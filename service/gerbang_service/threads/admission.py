"""How much work may wait: beyond it a call is refused at once, rather than answered too late to be of use."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gerbang_service.domain.errors import DeadlineTooShort, Overloaded


class Admission:
    """Counts work of one kind that waits or runs, `admitted`, up to `limit`. Belongs to the event loop."""

    def __init__(self, what: str, limit: int) -> None:
        self._what = what
        self.limit = limit
        self.admitted = 0

    @contextmanager
    def admit(self, count: int = 1) -> Iterator[None]:
        """Hold places for work that belongs together; raise Overloaded when there is none.

        One free place is enough: what is larger than the limit would never be done.
        """
        if self.admitted >= self.limit:
            raise Overloaded(f"{self.admitted} {self._what} are waiting already", retry_after_s=0.5, limit=self.limit)
        self.admitted += count
        try:
            yield
        finally:
            self.admitted -= count


@dataclass(frozen=True, slots=True)
class Deadline:
    """When the caller stops waiting; `at` is on the clock of time.monotonic, infinite for never."""

    at: float

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Return the deadline `seconds` from now, or none for None."""
        return cls(float("inf") if seconds is None else time.monotonic() + seconds)

    @property
    def remaining_s(self) -> float:
        """Seconds left, negative when it has passed."""
        return self.at - time.monotonic()

    def check(self) -> None:
        """Raise DeadlineTooShort when it has passed: work that nobody waits for is not started."""
        if self.remaining_s <= 0:
            raise DeadlineTooShort("the call's deadline passed before its work was done")
