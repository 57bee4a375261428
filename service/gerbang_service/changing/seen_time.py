"""The time that counts where something is erased for good when it has passed.

A clock may jump: a server that starts with one that is a year ahead must not erase whoever expires within that year. So
this time goes with the clock, but never faster than twice as fast as the process has seen time pass, and it goes on
where it was when it was last noted. After a stop, or a jump, it is behind, and comes back as fast as it may: what is to
be erased is kept longer, by about as long as the server was down. It is never ahead of the clock: one that is set back
takes it along.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_AT_MOST: Final = 2
"""How much faster than time that is seen to pass it goes, at most."""


def _seen_ns() -> int:
    # It does not stop while the machine is suspended, and nobody can set it.
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class SeenTime:
    """A clock for what is erased for good. Belongs to one thread."""

    def __init__(
        self, begun_ns: int | None, clock_ns: Callable[[], int] = time.time_ns, seen_ns: Callable[[], int] = _seen_ns
    ) -> None:
        """Begin where it was last, ns since 1970; None: where the clock is.

        `clock_ns`: may jump; `seen_ns`: grows as time passes.
        """
        self._clock_ns, self._seen_ns = clock_ns, seen_ns
        self._looked_ns = seen_ns()
        self._now_ns = clock_ns() if begun_ns is None else min(begun_ns, clock_ns())

    def now_ns(self) -> int:
        """Return the time, ns since 1970."""
        seen = self._seen_ns()
        passed, self._looked_ns = max(0, seen - self._looked_ns), seen
        self._now_ns = min(self._clock_ns(), self._now_ns + _AT_MOST * passed)
        return self._now_ns

    @property
    def behind_ns(self) -> int:
        """How far it was behind the clock when it was last asked for."""
        return self._clock_ns() - self._now_ns
