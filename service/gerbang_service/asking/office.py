"""Reading what is stored of lists and subjects: what the watchlist office asks, answered by the store alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gerbang_service.access import bounds
from gerbang_service.access.identity import Identity
from gerbang_service.domain.errors import WatchlistNotFound
from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.watchlists import CountedWatchlist
from gerbang_service.store.port import Reader, Store
from gerbang_service.threads.admission import Deadline
from gerbang_service.threads.pool import Pool

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OfficeReads:
    """Reads lists and subjects, within what a caller is bound to. Its methods belong to the event loop.

    Each is one piece of work in a thread, and of one state of the store: that of the last acknowledged change or later,
    whichever process wrote it.
    """

    store: Store
    queries: Pool

    async def watchlist(self, watchlist_id: str, caller: Identity, deadline: Deadline) -> CountedWatchlist:
        """Return one watchlist. Raises WatchlistNotFound, WatchlistDenied."""
        caller.check_watchlists([watchlist_id])

        def query(reader: Reader) -> CountedWatchlist:
            found = reader.watchlist(watchlist_id)
            if found is None:
                raise _no_watchlist(watchlist_id)
            return CountedWatchlist(found, reader.subject_count(watchlist_id))

        return await self._read(query, deadline)

    async def watchlists(
        self, after: str, limit: int | None, caller: Identity, deadline: Deadline
    ) -> list[CountedWatchlist]:
        """Return up to `limit` watchlists that the caller may use with an id greater than `after`, by id.

        `limit`: None for all.
        """
        return await self._read(
            lambda reader: reader.counted_watchlists(after=after, limit=limit, within=caller.watchlists), deadline
        )

    async def subject(self, subject_id: str, caller: Identity, deadline: Deadline) -> Subject:
        """Return what the caller is shown of a subject. Raises SubjectNotFound."""
        return await self._read(lambda reader: bounds.seen(caller, reader, subject_id), deadline)

    async def subjects(
        self, watchlist_id: str, after: str, limit: int, caller: Identity, deadline: Deadline
    ) -> list[Subject]:
        """Return up to `limit` subjects with an id greater than `after`, by id, as the caller is shown them.

        `watchlist_id`: only those on it; empty: all that the caller sees. Raises WatchlistNotFound, WatchlistDenied.
        """
        if watchlist_id:
            caller.check_watchlists([watchlist_id])

        def query(reader: Reader) -> list[Subject]:
            if watchlist_id and reader.watchlist(watchlist_id) is None:
                raise _no_watchlist(watchlist_id)
            lists = [watchlist_id] if watchlist_id else caller.watchlists
            found = reader.subjects(after=after, limit=limit, watchlists=lists)
            return [bounds.shown(caller, each) for each in found]

        return await self._read(query, deadline)

    async def _read(self, query: Callable[[Reader], T], deadline: Deadline) -> T:
        def work() -> T:
            with self.store.reading() as reader:
                return query(reader)

        return await self.queries.run(work, deadline)


def _no_watchlist(watchlist_id: str) -> WatchlistNotFound:
    return WatchlistNotFound(f"no watchlist {watchlist_id}", watchlist_id=watchlist_id)
