"""What other processes changed since a revision, as the changes that bring a gallery from there to now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.changes import (
    Change,
    ProposalsChanged,
    SubjectGone,
    SubjectPut,
    WatchlistGone,
    WatchlistPut,
)
from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.port import FellBehind, Follower

Touched: TypeAlias = tuple[str | None, str | None, int]
"""What a change was about: a subject or a watchlist, by id, neither for proposals, and whether it is gone."""


class Followed(Protocol):
    """One state of a store, with what its last changes were about."""

    def revision(self) -> int:
        """Return the revision of the last change."""

    def changed_since(self, revision: int) -> list[Touched]:
        """Return what the changes after a revision were about, in order; those that are known."""

    def watchlist(self, watchlist_id: str) -> Watchlist | None:
        """Return one watchlist, or None."""

    def subject(self, subject_id: str) -> Subject | None:
        """Return one subject, or None."""

    def vector(self, template_id: int) -> bytes:
        """Return the vector of a stored template, little-endian float32."""


def touched_by(change: Change) -> Touched:
    """Return what a change was about."""
    match change:
        case SubjectPut():
            return change.subject.subject_id, None, 0
        case SubjectGone():
            return change.subject_id, None, 1
        case WatchlistPut():
            return None, change.watchlist.watchlist_id, 0
        case WatchlistGone():
            return None, change.watchlist_id, 1
        case ProposalsChanged():
            return None, None, 0


def changes_since(state: Followed, known: Follower, model: str) -> tuple[list[Change], int]:
    """Return the changes that bring `known` to a state, and that state's revision.

    What was changed several times is changed once, to what it is now. `model`: the recogniser whose templates count.
    Raises FellBehind, and what `state` raises.
    """
    now = state.revision()
    if now == known.revision:
        return [], now
    rows = state.changed_since(known.revision)
    if len(rows) != now - known.revision:
        raise FellBehind(f"{len(rows)} of the {now - known.revision} changes since revision {known.revision} are known")
    return list(_changes(state, rows, known, model, now)), now


def _changes(state: Followed, rows: Sequence[Touched], known: Follower, model: str, revision: int) -> Iterator[Change]:
    """Yield the changes, which become visible all at once. Who was on a list that was made again is put on it last."""
    touched = dict.fromkeys(each for _, each, _ in rows if each is not None)
    gone = {each for _, each, ended in rows if each is not None and ended}.intersection(known.watchlist_ids)
    yield from (WatchlistGone(revision, each) for each in touched if each in gone)
    stored = (state.watchlist(each) for each in touched)
    yield from (WatchlistPut(revision, each) for each in stored if each is not None)
    for name in dict.fromkeys(each for each, _, _ in rows if each is not None):
        change = _subject(state, name, known, model, revision)
        if change is not None:
            yield change


def _subject(state: Followed, subject_id: str, known: Follower, model: str, revision: int) -> Change | None:
    before = known.template_ids(subject_id)
    subject = state.subject(subject_id)
    if subject is None:
        return None if before is None else SubjectGone(revision, subject_id)
    return SubjectPut(revision, subject, dict(_added(state, subject, set(before or ()), model)))


def _added(
    state: Followed, subject: Subject, before: set[int], model: str
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for each in subject.templates:
        if each.template_id not in before and each.model == model:
            yield each.template_id, np.frombuffer(state.vector(each.template_id), "<f4")
