"""What a caller that is bound to watchlists may search, see and change. For one that is not: everything, at no cost.

- It searches its own lists: all of them when it names none, and naming another is WATCHLIST_DENIED.
- It sees subjects that are on one of its lists, or on none; any other does not exist for it (SUBJECT_NOT_FOUND). Of
  a subject's lists it is shown its own.
- It changes subjects that are on its own lists only. One that it shares with others is WATCHLIST_DENIED: deleting or
  replacing somebody would take them off those lists too.
- It enrols onto its own lists. An id that is taken by somebody it does not see is SUBJECT_EXISTS, whatever
  `on_existing` says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from gerbang_service.access.identity import Identity
from gerbang_service.domain.errors import SubjectExists, SubjectNotFound, WatchlistDenied
from gerbang_service.domain.subjects import Subject
from gerbang_service.store.transaction import Transaction

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
    if identity.watchlists is None:
        return subject
    return dataclasses.replace(
        subject, watchlists=tuple(each for each in subject.watchlists if each in identity.watchlists)
    )


def seen(identity: Identity, subject_id: str, subject: Subject | None) -> Subject:
    """Return what a caller is shown of a stored subject; raise SubjectNotFound for none, and for one it does not see.

    Both in the same words: nobody learns that a subject is on a list of others.
    """
    if subject is None or not identity.sees(subject.watchlists):
        raise SubjectNotFound(f"no subject {subject_id}", subject_id=subject_id)
    return shown(identity, subject)


def changing(identity: Identity, subject_id: str, operation: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
    """Return an operation on a subject that first asks, in its transaction, whether the caller may change that."""
    if identity.watchlists is None:
        return operation

    def asked(transaction: Transaction) -> T:
        subject = transaction.subject(subject_id)
        seen(identity, subject_id, subject)
        _check_own(identity, subject)
        return operation(transaction)

    return asked


def enrolling(identity: Identity, subject_id: str, operation: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
    """Return an enrolment that first asks, in its transaction, whether the caller may add to who is there already."""
    if identity.watchlists is None:
        return operation

    def asked(transaction: Transaction) -> T:
        subject = transaction.subject(subject_id) if subject_id else None
        if subject is not None and not identity.sees(subject.watchlists):
            raise SubjectExists(f"subject {subject_id} is already enrolled", subject_id=subject_id)
        _check_own(identity, subject)
        return operation(transaction)

    return asked


def _check_own(identity: Identity, subject: Subject | None) -> None:
    if (
        subject is not None
        and identity.watchlists is not None
        and not identity.watchlists.issuperset(subject.watchlists)
    ):
        raise WatchlistDenied(
            f"subject {subject.subject_id} is on lists beyond those of {identity.name}", subject_id=subject.subject_id
        )
