"""Changes of watchlists: each runs inside one transaction and says what it changed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from gerbang_service.domain.changes import WatchlistGone, WatchlistPut
from gerbang_service.domain.errors import WatchlistExists, WatchlistNotEmpty, WatchlistNotFound
from gerbang_service.domain.watchlists import CountedWatchlist, Watchlist
from gerbang_service.store.port import Operation, Outcome, Reader, Transaction


def create_watchlist(watchlist: Watchlist) -> Operation[tuple[CountedWatchlist, int]]:
    """Create a watchlist; answers it and the revision."""

    def operation(transaction: Transaction) -> Outcome[tuple[CountedWatchlist, int]]:
        name = watchlist.watchlist_id
        if transaction.watchlist(name) is not None:
            raise WatchlistExists(f"watchlist {name} is already there", watchlist_id=name)
        now = time.time_ns()
        return _put(transaction, dataclasses.replace(watchlist, create_time_ns=now, update_time_ns=now))

    return operation


def update_watchlist(watchlist_id: str, changed: Mapping[str, Any]) -> Operation[tuple[CountedWatchlist, int]]:
    """Change fields of a watchlist (title, direction, action, threshold, labels); answers it and the revision."""

    def operation(transaction: Transaction) -> Outcome[tuple[CountedWatchlist, int]]:
        stored = _stored(transaction, watchlist_id)
        return _put(transaction, dataclasses.replace(stored, **changed, update_time_ns=time.time_ns()))

    return operation


def delete_watchlist(watchlist_id: str, *, force: bool) -> Operation[int]:
    """Delete a watchlist that is empty, or with `force` any; answers the revision."""

    def operation(transaction: Transaction) -> Outcome[int]:
        _stored(transaction, watchlist_id)
        count = transaction.subject_count(watchlist_id)
        if count and not force:
            raise WatchlistNotEmpty(
                f"watchlist {watchlist_id} is not empty, subjects: {count}", watchlist_id=watchlist_id, subjects=count
            )
        transaction.delete_watchlist(watchlist_id)
        revision = transaction.next_revision()
        return Outcome(revision, WatchlistGone(revision, watchlist_id), erases=True)

    return operation


def _put(transaction: Transaction, watchlist: Watchlist) -> Outcome[tuple[CountedWatchlist, int]]:
    transaction.put_watchlist(watchlist)
    revision = transaction.next_revision()
    counted = CountedWatchlist(watchlist, transaction.subject_count(watchlist.watchlist_id))
    return Outcome((counted, revision), WatchlistPut(revision, watchlist))


def _stored(reader: Reader, watchlist_id: str) -> Watchlist:
    watchlist = reader.watchlist(watchlist_id)
    if watchlist is None:
        raise WatchlistNotFound(f"no watchlist {watchlist_id}", watchlist_id=watchlist_id)
    return watchlist
