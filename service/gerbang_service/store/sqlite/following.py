"""What other processes changed since a revision, as the changes that bring a gallery from there to now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.changes import Change, SubjectGone, SubjectPut, WatchlistGone, WatchlistPut
from gerbang_service.domain.subjects import Subject
from gerbang_service.store.port import FellBehind, Follower
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.reading import SqliteReader

_Row = tuple[str | None, str | None, int]


def changes_since(connection: Connection, known: Follower, model: str) -> tuple[list[Change], int]:
    """Return the changes that bring `known` to the present state, and that state's revision.

    What was changed several times is changed once, to what it is now. The connection must be in a transaction, so that
    all is of one state. `model`: the recogniser whose templates count. Raises FellBehind, and sqlite3.Error.
    """
    reader = SqliteReader(connection)
    now = reader.revision()
    if now == known.revision:
        return [], now
    query = "SELECT subject_id, watchlist_id, gone FROM changes WHERE revision > ? ORDER BY revision"
    rows: list[_Row] = connection.execute(query, (known.revision,)).fetchall()
    if len(rows) != now - known.revision:
        raise FellBehind(f"{len(rows)} of the {now - known.revision} changes since revision {known.revision} are known")
    return list(_in_order(reader, rows, known, model, now)), now


def _in_order(
    reader: SqliteReader, rows: Sequence[_Row], known: Follower, model: str, revision: int
) -> Iterator[Change]:
    """Yield the changes so that nobody is off all lists on the way who was on one all the time.

    Searches go on meanwhile: who moved from a list that was then deleted has to be on the new one before the old one
    goes. Who was on a list that was deleted and made again, and is on that one alone, is off it for a moment.
    """
    touched = dict.fromkeys(each for _, each, _ in rows if each is not None)
    stored = {each: found for each in touched if (found := reader.watchlist(each)) is not None}
    deleted = {each for _, each, gone in rows if each is not None and gone}.intersection(known.watchlist_ids)
    yield from (WatchlistPut(revision, each) for name, each in stored.items() if name not in deleted)
    names = dict.fromkeys(each for each, _, _ in rows if each is not None)
    subjects = [put for each in names if (put := _subject(reader, each, known, model, revision)) is not None]
    yield from subjects
    for each in (each for each in touched if each in deleted):
        yield WatchlistGone(revision, each)
        if each in stored:
            yield WatchlistPut(revision, stored[each])
            for change in subjects:
                if isinstance(change, SubjectPut) and each in change.subject.watchlists:
                    yield SubjectPut(revision, change.subject, {})


def _subject(reader: SqliteReader, subject_id: str, known: Follower, model: str, revision: int) -> Change | None:
    before = known.template_ids(subject_id)
    subject = reader.subject(subject_id)
    if subject is None:
        return None if before is None else SubjectGone(revision, subject_id)
    return SubjectPut(revision, subject, dict(_added(reader, subject, set(before or ()), model)))


def _added(
    reader: SqliteReader, subject: Subject, before: set[int], model: str
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for each in subject.templates:
        if each.template_id not in before and each.model == model:
            yield each.template_id, np.frombuffer(reader.vector(each.template_id), "<f4")
