"""What a caller that is bound to watchlists may change. For one that is not: everything, at no cost.

- It changes subjects that are on its own lists only. One that it does not see does not exist for it
  (SUBJECT_NOT_FOUND); one that it shares with others is WATCHLIST_DENIED: deleting or replacing somebody would take
  them off those lists too.
- It enrols onto its own lists. An id that is taken by somebody it does not see is SUBJECT_EXISTS, whatever
  `on_existing` says.
- It leaves nobody on no list, where it would not see them any more: that is WATCHLIST_DENIED too.

The checks are made inside the transaction of the change.
"""

from __future__ import annotations

from gerbang_service.access.bounds import shown_lists, subject_not_found
from gerbang_service.access.identity import Identity
from gerbang_service.domain.errors import SubjectExists, WatchlistDenied
from gerbang_service.domain.subjects import Subject
from gerbang_service.store.port import Reader


def check_change(caller: Identity, reader: Reader, subject_id: str) -> None:
    """Raise SubjectNotFound or WatchlistDenied unless the caller may change this subject."""
    if caller.watchlists is None:
        return
    lists = reader.lists_of(subject_id) or ()
    if not caller.sees(lists):
        raise subject_not_found(subject_id)
    _check_own(caller, subject_id, lists)


def check_enrolment(caller: Identity, reader: Reader, subject_id: str) -> None:
    """Raise SubjectExists or WatchlistDenied unless the caller may add to who has this id, if anybody has."""
    if caller.watchlists is None or not subject_id:
        return
    lists = reader.lists_of(subject_id)
    if lists is None:
        return
    if not caller.sees(lists):
        raise SubjectExists(f"subject {subject_id} is already enrolled", subject_id=subject_id)
    _check_own(caller, subject_id, lists)


def check_left(caller: Identity, subject: Subject) -> None:
    """Raise WatchlistDenied when a change leaves a subject where the caller does not see it any more."""
    if not caller.sees(subject.watchlists):
        raise WatchlistDenied(f"{caller.name} may leave nobody on no watchlist: name one of its own")


def _check_own(caller: Identity, subject_id: str, lists: tuple[str, ...]) -> None:
    if shown_lists(caller, lists) != lists:
        raise WatchlistDenied(f"subject {subject_id} is on lists beyond those of {caller.name}", subject_id=subject_id)
