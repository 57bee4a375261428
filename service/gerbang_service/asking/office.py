"""Reading what is stored of lists and subjects: what the watchlist office asks, answered by the store alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from gerbang_service.access import bounds
from gerbang_service.access.identity import Identity
from gerbang_service.domain.errors import WatchlistNotFound
from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.watchlists import CountedWatchlist
from gerbang_service.store.port import Reader, Store
from gerbang_service.threads.admission import Deadline
from gerbang_service.threads.pool import Pool

T = TypeVar("T")

# So many subjects are looked at for a page of those with some labels: tens of milliseconds.
_LOOKED_AT: Final = 5000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which subjects to list. `watchlist_id`: only those on it; empty: all that the caller sees.

    `ended_by_ns`: only those whose time is over at that moment, ns since the epoch; None: whenever it ends. `labels`:
    only those that have all of these.
    """

    watchlist_id: str = ""
    ended_by_ns: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


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
        self, wanted: Wanted, after: str, size: int, caller: Identity, deadline: Deadline
    ) -> tuple[list[Subject], str]:
        """Return a page of subjects with ids greater than `after`, by id, as the caller is shown them, and its end.

        That is the id after which the next page begins, empty for the last one. `size`: of the page, which has fewer at
        the end, or where those who are wanted are few. Raises WatchlistNotFound, WatchlistDenied.
        """
        if wanted.watchlist_id:
            caller.check_watchlists([wanted.watchlist_id])

        def query(reader: Reader) -> tuple[list[Subject], str]:
            if wanted.watchlist_id and reader.watchlist(wanted.watchlist_id) is None:
                raise _no_watchlist(wanted.watchlist_id)
            lists = [wanted.watchlist_id] if wanted.watchlist_id else caller.watchlists
            # One more than asked for tells whether there is another page. Labels are sealed: who has them is found by
            # looking at a number of subjects that keeps the time of a page within bounds.
            seen = size if not wanted.labels else max(size, _LOOKED_AT)
            found = reader.subjects(after=after, limit=seen + 1, watchlists=lists, ended_by_ns=wanted.ended_by_ns)
            fitting = [each for each in found[:seen] if wanted.labels.items() <= each.labels.items()]
            page = [bounds.shown(caller, each) for each in fitting[:size]]
            if len(fitting) > size:
                return page, page[-1].subject_id
            return page, found[seen - 1].subject_id if len(found) > seen else ""

        return await self._read(query, deadline)

    async def _read(self, query: Callable[[Reader], T], deadline: Deadline) -> T:
        def work() -> T:
            with self.store.reading() as reader:
                return query(reader)

        return await self.queries.run(work, deadline)


def _no_watchlist(watchlist_id: str) -> WatchlistNotFound:
    return WatchlistNotFound(f"no watchlist {watchlist_id}", watchlist_id=watchlist_id)
