"""Reading what is stored of lists and subjects: what the watchlist office asks, answered by the store alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
class ShownSubject:
    """A subject as a caller is shown it, and the ids of the proposals to change it that wait."""

    subject: Subject
    proposals: tuple[int, ...]


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
            waiting = reader.proposal_counts().get(watchlist_id, 0)
            return CountedWatchlist(found, reader.subject_count(watchlist_id), waiting)

        return await self._read(query, deadline)

    async def watchlists(
        self, after: str, limit: int | None, caller: Identity, deadline: Deadline
    ) -> list[CountedWatchlist]:
        """Return up to `limit` watchlists that the caller may use with an id greater than `after`, by id.

        `limit`: None for all.
        """

        def query(reader: Reader) -> list[CountedWatchlist]:
            waiting = reader.proposal_counts()
            found = reader.counted_watchlists(after=after, limit=limit, within=caller.watchlists)
            return [replace(each, proposals=waiting.get(each.watchlist.watchlist_id, 0)) for each in found]

        return await self._read(query, deadline)

    async def subject(self, subject_id: str, caller: Identity, deadline: Deadline) -> ShownSubject:
        """Return what the caller is shown of a subject. Raises SubjectNotFound."""
        return await self._read(
            lambda reader: _shown(caller, reader, [bounds.seen(caller, reader, subject_id)])[0], deadline
        )

    async def subjects(
        self, wanted: Wanted, after: str, size: int, caller: Identity, deadline: Deadline
    ) -> tuple[list[ShownSubject], str]:
        """Return a page of subjects with ids greater than `after`, by id, as the caller is shown them, and its end.

        That is the id after which the next page begins, empty for the last one. `size`: of the page, which has fewer at
        the end, or where those who are wanted are few. Raises WatchlistNotFound, WatchlistDenied.
        """
        if wanted.watchlist_id:
            caller.check_watchlists([wanted.watchlist_id])

        def query(reader: Reader) -> tuple[list[ShownSubject], str]:
            if wanted.watchlist_id and reader.watchlist(wanted.watchlist_id) is None:
                raise _no_watchlist(wanted.watchlist_id)
            lists = [wanted.watchlist_id] if wanted.watchlist_id else caller.watchlists
            # One more than asked for tells whether there is another page. Labels are sealed: who has them is found by
            # looking at a number of subjects that keeps the time of a page within bounds.
            seen = size if not wanted.labels else max(size, _LOOKED_AT)
            found = reader.subjects(after=after, limit=seen + 1, watchlists=lists, ended_by_ns=wanted.ended_by_ns)
            fitting = [each for each in found[:seen] if wanted.labels.items() <= each.labels.items()]
            page = _shown(caller, reader, [bounds.shown(caller, each) for each in fitting[:size]])
            if len(fitting) > size:
                return page, page[-1].subject.subject_id
            return page, found[seen - 1].subject_id if len(found) > seen else ""

        return await self._read(query, deadline)

    async def _read(self, query: Callable[[Reader], T], deadline: Deadline) -> T:
        def work() -> T:
            with self.store.reading() as reader:
                return query(reader)

        return await self.queries.run(work, deadline)


def _shown(caller: Identity, reader: Reader, subjects: Sequence[Subject]) -> list[ShownSubject]:
    now = time.time_ns()
    waiting: dict[str, list[int]] = {}
    for each in reader.proposals_about(subject_ids=[each.subject_id for each in subjects]):
        if not each.ended_by(now) and bounds.sees_proposal(caller, reader, each):
            waiting.setdefault(each.change.subject_id, []).append(each.proposal_id)
    return [ShownSubject(each, tuple(waiting.get(each.subject_id, ()))) for each in subjects]


def _no_watchlist(watchlist_id: str) -> WatchlistNotFound:
    return WatchlistNotFound(f"no watchlist {watchlist_id}", watchlist_id=watchlist_id)
