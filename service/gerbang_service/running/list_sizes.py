"""How many subjects are on each watchlist, without counting them at every look."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

# After a count there is none for so many times as long as it took, so that it is a twentieth of a core at most, however
# many lists there are and however often somebody looks.
_RESTS = 19


class ListSizes:
    """Remembers the counts of a revision. Belongs to one thread at a time."""

    def __init__(self) -> None:
        self._revision = -1
        self._resting_until = 0.0
        self._counts: Mapping[str, int] = {}

    def at(self, revision: int, count: Callable[[], Mapping[str, int]]) -> Mapping[str, int]:
        """Return how many subjects are on each list: counted anew if `revision` is another, and it is not too soon.

        `count` may see a later revision than this one: then they are counted once more. What it raises passes through.
        """
        began = time.monotonic()
        if revision != self._revision and began >= self._resting_until:
            self._counts = count()
            self._revision = revision
            ended = time.monotonic()
            self._resting_until = ended + _RESTS * (ended - began)
        return self._counts
