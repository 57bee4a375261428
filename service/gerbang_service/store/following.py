"""What other processes changed since a revision, as the changes that bring a gallery from there to now."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.changes import Change, SubjectGone, SubjectPut, WatchlistGone, WatchlistPut
from gerbang_service.domain.subjects import Subject
from gerbang_service.store import reading

_Row = tuple[str | None, str | None, int]


class Known(Protocol):
    """What a gallery holds already."""

    revision: int

    @property
    def watchlists(self) -> Collection[str]:
        """Ids of its watchlists."""

    def template_ids(self, subject_id: str) -> Sequence[int] | None:
        """Return the ids of a subject's templates, or None when there is no such subject."""


class FellBehind(Exception):
    """The changes since a revision are not recorded any more."""


def changes_since(connection: sqlite3.Connection, known: Known, model: str) -> tuple[list[Change], int]:
    """Return the changes that bring `known` to the present state, and that state's revision.

    What was changed several times is changed once, to what it is now. The connection must be in a transaction, so that
    all is of one state. `model`: the recogniser whose templates count. Raises FellBehind, and sqlite3.Error.
    """
    now = reading.revision(connection)
    if now == known.revision:
        return [], now
    query = "SELECT subject_id, watchlist_id, gone FROM changes WHERE revision > ? ORDER BY revision"
    rows: list[_Row] = connection.execute(query, (known.revision,)).fetchall()
    if len(rows) != now - known.revision:
        raise FellBehind(f"{len(rows)} of the {now - known.revision} changes since revision {known.revision} are known")
    subjects = dict.fromkeys(subject_id for subject_id, _, _ in rows if subject_id is not None)
    # Watchlists first: a subject may be on a new one.
    changes = list(_watchlists(connection, rows, set(known.watchlists), now))
    changes += [change for each in subjects if (change := _subject(connection, each, known, model, now)) is not None]
    return changes, now


def _watchlists(
    connection: sqlite3.Connection, rows: Sequence[_Row], there: set[str], revision: int
) -> Iterator[Change]:
    """Yield the changes of watchlists, in order: one that was deleted and made again lost its subjects in between."""
    for _, watchlist_id, gone in rows:
        if watchlist_id is None:
            continue
        if gone:
            if watchlist_id in there:
                there.remove(watchlist_id)
                yield WatchlistGone(revision, watchlist_id)
        elif (watchlist := reading.watchlist(connection, watchlist_id)) is not None:
            there.add(watchlist_id)
            yield WatchlistPut(revision, watchlist)


def _subject(connection: sqlite3.Connection, subject_id: str, known: Known, model: str, revision: int) -> Change | None:
    before = known.template_ids(subject_id)
    subject = reading.subject(connection, subject_id)
    if subject is None:
        return None if before is None else SubjectGone(revision, subject_id)
    return SubjectPut(revision, subject, dict(_added(connection, subject, set(before or ()), model)))


def _added(
    connection: sqlite3.Connection, subject: Subject, before: set[int], model: str
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for each in subject.templates:
        if each.template_id not in before and each.model == model:
            query = "SELECT vector FROM templates WHERE template_id = ?"
            (vector,) = connection.execute(query, (each.template_id,)).fetchone()
            yield each.template_id, np.frombuffer(vector, "<f4")
