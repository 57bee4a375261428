"""What a caller that is bound to watchlists may search and see. For one that is not: everything, at no cost.

- It searches its own lists: all of them when it names none, and naming another is WATCHLIST_DENIED.
- It sees subjects that are on one of its lists; any other does not exist for it (SUBJECT_NOT_FOUND). Those on no list
  are others' references for 1:1, or were left there when a list was deleted. Of a subject's lists it is shown its own.

What it may change: changing/bounds.py.
"""

from __future__ import annotations

import dataclasses

from gerbang_service.access.identity import Identity
from gerbang_service.domain.errors import ProposalNotFound, SubjectNotFound
from gerbang_service.domain.proposals import Proposal
from gerbang_service.domain.subjects import Subject
from gerbang_service.store.port import Reader


def searched(caller: Identity, named: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lists to search for a caller who named these; none named: its own. Raises WatchlistDenied."""
    if caller.watchlists is None:
        return named
    caller.check_watchlists(named)
    # Sorted: so that the same question is recognised as the same.
    return named or tuple(sorted(caller.watchlists))


def shown(caller: Identity, subject: Subject) -> Subject:
    """Return what a caller is shown of a subject that it sees."""
    return dataclasses.replace(subject, watchlists=shown_lists(caller, subject.watchlists))


def shown_lists(caller: Identity, watchlists: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of a subject's lists a caller is shown."""
    own = caller.watchlists
    return watchlists if own is None else tuple(each for each in watchlists if each in own)


def seen(caller: Identity, reader: Reader, subject_id: str) -> Subject:
    """Return what a caller is shown of a subject; raise SubjectNotFound for none, and for one that it does not see.

    Both in the same words, and after the same work: nothing but lists is read of somebody whom it does not see.
    """
    if caller.watchlists is not None and not caller.sees(reader.lists_of(subject_id) or ()):
        raise subject_not_found(subject_id)
    subject = reader.subject(subject_id)
    if subject is None:
        raise subject_not_found(subject_id)
    return shown(caller, subject)


def sees_proposal(caller: Identity, reader: Reader, proposal: Proposal) -> bool:
    """Tell whether a caller sees a proposal: bound, one that concerns no list but its own."""
    if caller.watchlists is None:
        return True
    lists = {*proposal.watchlists, *proposal.change.named_lists}
    if proposal.change.subject_id:
        lists.update(reader.lists_of(proposal.change.subject_id) or ())
    return bool(lists) and lists <= caller.watchlists


def open_proposal(caller: Identity, reader: Reader, proposal_id: int, now_ns: int) -> Proposal:
    """Return a proposal whose time is not over; raise ProposalNotFound for none, and for one that is not seen."""
    proposal = reader.proposal(proposal_id)
    if proposal is None or proposal.ended_by(now_ns) or not sees_proposal(caller, reader, proposal):
        raise ProposalNotFound(f"no open proposal {proposal_id}", proposal_id=proposal_id)
    return proposal


def subject_not_found(subject_id: str) -> SubjectNotFound:
    """Return the error for a subject that is not there, or that the caller does not see."""
    return SubjectNotFound(f"no subject {subject_id}", subject_id=subject_id)
