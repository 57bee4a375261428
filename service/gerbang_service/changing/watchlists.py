"""Changes of watchlists: each runs inside one transaction and says what it changed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gerbang_service.changing.safeguards import UNGUARDED, Safeguards
from gerbang_service.changing.subjects import Deleted
from gerbang_service.changing.two_people import Agreement, alone
from gerbang_service.domain.changes import WatchlistGone, WatchlistPut
from gerbang_service.domain.errors import FieldInvalid, WatchlistExists, WatchlistNotEmpty, WatchlistNotFound
from gerbang_service.domain.watchlists import CountedWatchlist, Watchlist
from gerbang_service.domain.weakening import of_watchlist
from gerbang_service.store.port import AnsweredRequest, Operation, Outcome, Reader, Transaction


@dataclass(frozen=True, slots=True)
class ChangedWatchlist:
    """A watchlist as it is stored now. `replayed`: an earlier request was answered so, and nothing was changed."""

    counted: CountedWatchlist
    revision: int
    replayed: bool = False


def create_watchlist(watchlist: Watchlist, safeguards: Safeguards = UNGUARDED) -> Operation[ChangedWatchlist]:
    """Create a watchlist."""

    def operation(transaction: Transaction) -> Outcome[ChangedWatchlist]:
        name = watchlist.watchlist_id
        if (earlier := safeguards.earlier(transaction)) is not None:
            return _replayed(transaction, name, earlier)
        if transaction.watchlist(name) is not None:
            raise WatchlistExists(f"watchlist {name} is already there", watchlist_id=name)
        now = time.time_ns()
        return _put(transaction, dataclasses.replace(watchlist, create_time_ns=now, update_time_ns=now), safeguards)

    return operation


def update_watchlist(
    watchlist_id: str,
    changed: Mapping[str, Any],
    safeguards: Safeguards = UNGUARDED,
    agreement: Agreement = alone,
) -> Operation[ChangedWatchlist]:
    """Change fields of a watchlist (title, direction, action, threshold, labels, target_fpir, two_person_removal)."""

    def operation(transaction: Transaction) -> Outcome[ChangedWatchlist]:
        if (earlier := safeguards.earlier(transaction)) is not None:
            return _replayed(transaction, watchlist_id, earlier)
        stored = _stored(transaction, watchlist_id)
        safeguards.check(stored.revision, watchlist_id=watchlist_id)
        wanted = dataclasses.replace(stored, **changed, update_time_ns=time.time_ns())
        # First: what can't be made must not be proposed.
        _check_one_threshold(wanted)
        weakened = of_watchlist(stored, wanted)
        if (instead := agreement(transaction, weakened, lambda: stored.revision)) is not None:
            return instead
        return dataclasses.replace(_put(transaction, wanted, safeguards), weakened=weakened)

    return operation


def delete_watchlist(
    watchlist_id: str, *, force: bool, safeguards: Safeguards = UNGUARDED, agreement: Agreement = alone
) -> Operation[Deleted]:
    """Delete a watchlist that is empty, or with `force` any."""

    def operation(transaction: Transaction) -> Outcome[Deleted]:
        if (earlier := safeguards.earlier(transaction)) is not None:
            return Outcome(Deleted(earlier.revision, replayed=True))
        stored = _stored(transaction, watchlist_id)
        safeguards.check(stored.revision, watchlist_id=watchlist_id)
        count = transaction.subject_count(watchlist_id)
        if count and not force:
            raise WatchlistNotEmpty(
                f"watchlist {watchlist_id} is not empty, subjects: {count}", watchlist_id=watchlist_id, subjects=count
            )
        weakened = of_watchlist(stored, None)
        if (instead := agreement(transaction, weakened, lambda: stored.revision)) is not None:
            return instead
        transaction.delete_watchlist(watchlist_id)
        revision = transaction.next_revision()
        safeguards.keep(transaction, revision)
        gone = WatchlistGone(revision, watchlist_id)
        return Outcome(Deleted(revision), gone, erases=True, weakened=weakened)

    return operation


def _put(transaction: Transaction, wanted: Watchlist, safeguards: Safeguards) -> Outcome[ChangedWatchlist]:
    _check_one_threshold(wanted)
    revision = transaction.next_revision()
    watchlist = dataclasses.replace(wanted, revision=revision)
    transaction.put_watchlist(watchlist)
    safeguards.keep(transaction, revision)
    return Outcome(ChangedWatchlist(_counted(transaction, watchlist), revision), WatchlistPut(revision, watchlist))


def _check_one_threshold(wanted: Watchlist) -> None:
    """Raise FieldInvalid for a list with a threshold and a target: of an update only the whole shows it."""
    if wanted.threshold is not None and wanted.target_fpir is not None:
        raise FieldInvalid("watchlist.target_fpir", "not together with threshold: clear the one for the other")


def _replayed(reader: Reader, watchlist_id: str, earlier: AnsweredRequest) -> Outcome[ChangedWatchlist]:
    counted = _counted(reader, _stored(reader, watchlist_id))
    return Outcome(ChangedWatchlist(counted, earlier.revision, replayed=True))


def _counted(reader: Reader, watchlist: Watchlist) -> CountedWatchlist:
    return CountedWatchlist(watchlist, reader.subject_count(watchlist.watchlist_id))


def _stored(reader: Reader, watchlist_id: str) -> Watchlist:
    watchlist = reader.watchlist(watchlist_id)
    if watchlist is None:
        raise WatchlistNotFound(f"no watchlist {watchlist_id}", watchlist_id=watchlist_id)
    return watchlist
