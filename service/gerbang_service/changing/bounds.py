"""What a caller that is bound to watchlists may search, see and change. For one that is not: everything, at no cost.

- It searches its own lists: all of them when it names none, and naming another is WATCHLIST_DENIED.
- It sees subjects that are on one of its lists; any other does not exist for it (SUBJECT_NOT_FOUND). Those on no list
  are others' references for 1:1, or were left there when a list was deleted. Of a subject's lists it is shown its own.
- It changes subjects that are on its own lists only. One that it shares with others is WATCHLIST_DENIED: deleting or
  replacing somebody would take them off those lists too.
- It enrols onto its own lists. An id that is taken by somebody it does not see is SUBJECT_EXISTS, whatever
  `on_existing` says.
- It leaves nobody on no list, where it would not see them any more: that is WATCHLIST_DENIED too.
"""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from gerbang_service.access.identity import Identity
from gerbang_service.domain.changes import SubjectPut
from gerbang_service.domain.errors import SubjectExists, SubjectNotFound, WatchlistDenied
from gerbang_service.domain.subjects import Subject
from gerbang_service.store.port import Operation, Outcome, Reader, Transaction

T = TypeVar("T")


def searched(identity: Identity, named: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lists to search for a caller who named these; none named: its own. Raises WatchlistDenied."""
    if identity.watchlists is None:
        return named
    identity.check_watchlists(named)
    # Sorted: so that the same question is recognised as the same.
    return named or tuple(sorted(identity.watchlists))


def shown(identity: Identity, subject: Subject) -> Subject:
    """Return what a caller is shown of a subject that it sees."""
    return dataclasses.replace(subject, watchlists=shown_lists(identity, subject.watchlists))


def shown_lists(identity: Identity, watchlists: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of a subject's lists a caller is shown."""
    own = identity.watchlists
    return watchlists if own is None else tuple(each for each in watchlists if each in own)


def sees(identity: Identity, reader: Reader, subject_id: str) -> bool:
    """Tell whether a caller sees who has this id. Who is bound sees nobody where nobody is."""
    return identity.watchlists is None or identity.sees(_lists(reader, subject_id))


def seen(identity: Identity, reader: Reader, subject_id: str) -> Subject:
    """Return what a caller is shown of a subject; raise SubjectNotFound for none, and for one that it does not see.

    Both in the same words, and after the same work: nothing but lists is read of somebody whom it does not see.
    """
    subject = reader.subject(subject_id) if sees(identity, reader, subject_id) else None
    # Once more: lists may have changed between the two.
    if subject is None or not identity.sees(subject.watchlists):
        raise _not_found(subject_id)
    return shown(identity, subject)


def changing(identity: Identity, subject_id: str, operation: Operation[T]) -> Operation[T]:
    """Return an operation on a subject that first asks, in its transaction, whether the caller may change that."""
    if identity.watchlists is None:
        return operation

    def asked(transaction: Transaction) -> Outcome[T]:
        lists = _lists(transaction, subject_id)
        if not identity.sees(lists):
            raise _not_found(subject_id)
        _check_own(identity, subject_id, lists)
        return _kept(identity, operation(transaction))

    return asked


def enrolling(identity: Identity, subject_id: str, operation: Operation[T]) -> Operation[T]:
    """Return an enrolment that first asks, in its transaction, whether the caller may add to who is there already."""
    if identity.watchlists is None:
        return operation

    def asked(transaction: Transaction) -> Outcome[T]:
        if subject_id and transaction.lists_of(subject_id) is not None:
            lists = _lists(transaction, subject_id)
            if not identity.sees(lists):
                raise SubjectExists(f"subject {subject_id} is already enrolled", subject_id=subject_id)
            _check_own(identity, subject_id, lists)
        return _kept(identity, operation(transaction))

    return asked


def _lists(reader: Reader, subject_id: str) -> tuple[str, ...]:
    """Return the lists that a subject is on, none for one that is not there; without anything else of it."""
    return reader.lists_of(subject_id) or ()


def _check_own(identity: Identity, subject_id: str, lists: tuple[str, ...]) -> None:
    if shown_lists(identity, lists) != lists:
        raise WatchlistDenied(
            f"subject {subject_id} is on lists beyond those of {identity.name}", subject_id=subject_id
        )


def _kept(identity: Identity, outcome: Outcome[T]) -> Outcome[T]:
    """Pass on what an operation came to; raising rolls it back."""
    change = outcome.change
    if isinstance(change, SubjectPut) and not identity.sees(change.subject.watchlists):
        raise WatchlistDenied(f"{identity.name} may leave nobody on no watchlist: name one of its own")
    return outcome


def _not_found(subject_id: str) -> SubjectNotFound:
    return SubjectNotFound(f"no subject {subject_id}", subject_id=subject_id)
