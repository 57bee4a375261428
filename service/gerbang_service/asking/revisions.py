"""Waiting for the gallery to reach a revision."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from gerbang_service.domain.errors import RevisionNotReached
from gerbang_service.threads.admission import Deadline

# A later revision is waited for no longer than this, whatever the call's deadline.
_WAIT_S = 5.0
# Of the time that a call has left, this share may go into waiting, so that the answer still arrives.
_WAIT_SHARE = 0.9


class Revisions:
    """Knows the revision that is visible, and wakes who waits for a later one. Belongs to the event loop."""

    def __init__(self, revision: int, on_wait: Callable[[], object] = lambda: None) -> None:
        """`on_wait` is called whenever a revision is waited for that is not visible yet."""
        self._revision = revision
        self._on_wait = on_wait
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def advance(self, revision: int) -> None:
        """Note that `revision` is visible now."""
        self._revision = max(self._revision, revision)
        while self._waiting and self._waiting[0][0] <= self._revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def reached(self, revision: int, deadline: Deadline) -> None:
        """Return when `revision` is visible; raise RevisionNotReached when it is not in time for the answer to arrive.

        Waits 5 seconds at most, whatever the deadline. Revision 0 is always visible.
        """
        if revision > self._revision:
            await self.reach(revision, min(_WAIT_S, _WAIT_SHARE * deadline.remaining_s))

    async def reach(self, revision: int, timeout_s: float) -> None:
        """Return when `revision` is visible; raise RevisionNotReached when it is not within `timeout_s` seconds."""
        if revision <= self._revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (revision, next(self._order), future)
        heapq.heappush(self._waiting, entry)
        self._on_wait()
        try:
            await asyncio.wait_for(future, max(0.0, timeout_s))
        except TimeoutError:
            raise RevisionNotReached(
                f"the gallery is at revision {self._revision}, {revision} was not reached in {timeout_s:.1f} s",
                revision=self._revision,
                min_revision=revision,
            ) from None
        finally:
            if entry in self._waiting:  # given up: one that waited for a revision far away must not stay for ever
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
