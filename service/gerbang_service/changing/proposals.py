"""Confirming changes that others proposed, and giving them up: each runs inside one transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Final

from gerbang_service.access.bounds import open_proposal
from gerbang_service.access.identity import Identity, whose
from gerbang_service.changing.safeguards import UNGUARDED, Safeguards
from gerbang_service.changing.storing import Stored
from gerbang_service.changing.subjects import ChangedSubject, Deleted
from gerbang_service.changing.submitting import Writing
from gerbang_service.changing.wanted import operation_of
from gerbang_service.changing.watchlists import ChangedWatchlist
from gerbang_service.domain.changes import ProposalsChanged
from gerbang_service.domain.errors import SamePerson
from gerbang_service.domain.proposals import Kind, Proposal
from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.watchlists import CountedWatchlist
from gerbang_service.domain.weakening import NOT_WEAKENED
from gerbang_service.store.port import Operation, Outcome, Transaction
from gerbang_service.threads.admission import Deadline

# Who may make a change may confirm it.
RPC_OF: Final = {
    Kind.UPDATE_SUBJECT: "UpdateSubject",
    Kind.DELETE_SUBJECT: "DeleteSubject",
    Kind.DELETE_TEMPLATE: "DeleteTemplate",
    Kind.REPLACE_SUBJECT: "Enroll",
    Kind.UPDATE_WATCHLIST: "UpdateWatchlist",
    Kind.DELETE_WATCHLIST: "DeleteWatchlist",
}


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A change that two people made, or with `withdraw` nobody. `proposal`: as it was; None when `replayed`.

    `subject`, `watchlist`: what was changed, as it is stored now, None for what is gone, or was not changed. `added`,
    `removed`: the lists that the subject was put on by the change, and left.
    """

    revision: int
    proposal: Proposal | None = None
    subject: Subject | None = None
    watchlist: CountedWatchlist | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class OfficeProposals:
    """Confirms and withdraws. Its methods belong to the event loop. `model`: the recogniser that is compared with."""

    writing: Writing
    model: str

    async def confirm(
        self, proposal_id: int, safeguards: Safeguards, caller: Identity, deadline: Deadline
    ) -> Confirmed:
        """Make a proposed change. Raises ProposalNotFound, SamePerson, RoleDenied, RevisionConflict.

        And whatever the change itself raises.
        """
        deadline.check()
        once = safeguards.about("confirm proposal", proposal_id)
        return await self.writing.write(confirm(caller, proposal_id, self.model, once))

    async def withdraw(
        self, proposal_id: int, safeguards: Safeguards, caller: Identity, deadline: Deadline
    ) -> Confirmed:
        """Give a proposal up. Raises ProposalNotFound, RoleDenied."""
        deadline.check()
        once = safeguards.about("withdraw proposal", proposal_id)
        return await self.writing.write(withdraw(caller, proposal_id, once))


def confirm(caller: Identity, proposal_id: int, model: str, safeguards: Safeguards = UNGUARDED) -> Operation[Confirmed]:
    """Make a proposed change, by the same operation as the change itself, and forget the proposal."""

    def operation(transaction: Transaction) -> Outcome[Confirmed]:
        if (earlier := safeguards.earlier(transaction)) is not None:
            return Outcome(Confirmed(earlier.revision, replayed=True))
        proposal = open_proposal(caller, transaction, proposal_id, time.time_ns())
        caller.check_rpc(RPC_OF[proposal.change.kind])
        if not caller.may_be_another_than(proposal.proposed_by):
            raise SamePerson(_why_one(caller, proposal), proposal_id=proposal_id)
        # First: or its own request would be found to be waiting still.
        transaction.delete_proposal(proposal_id)
        done = operation_of(proposal, caller, model)(transaction)
        change = done.change or ProposalsChanged(transaction.next_revision())
        safeguards.keep(transaction, change.revision)
        # Two people wanted it: it is none of the changes that somebody has to be told of.
        return replace(
            done, answer=_confirmed(proposal, change.revision, done.answer), change=change, erases=True,
            weakened=NOT_WEAKENED,
        )  # fmt: skip

    return operation


def _why_one(caller: Identity, proposal: Proposal) -> str:
    """Return why who confirms may be who proposed."""
    if not caller.told_apart:
        return "this server does not ask who calls: it can't tell two people apart"
    if not (whose(caller.name) and whose(proposal.proposed_by)):
        return f"{proposal.proposed_by} proposed this: an API token that was made without --name may be anybody's"
    return f"{proposal.proposed_by} proposed this: another person has to confirm it"


def withdraw(caller: Identity, proposal_id: int, safeguards: Safeguards = UNGUARDED) -> Operation[Confirmed]:
    """Forget a proposal: by who made it, or by whose role it is to make such changes."""

    def operation(transaction: Transaction) -> Outcome[Confirmed]:
        if (earlier := safeguards.earlier(transaction)) is not None:
            return Outcome(Confirmed(earlier.revision, replayed=True))
        proposal = open_proposal(caller, transaction, proposal_id, time.time_ns())
        if caller.name != proposal.proposed_by:
            caller.check_rpc(RPC_OF[proposal.change.kind])
        transaction.delete_proposal(proposal_id)
        revision = transaction.next_revision()
        safeguards.keep(transaction, revision)
        return Outcome(Confirmed(revision, proposal), ProposalsChanged(revision), erases=True)

    return operation


def _confirmed(proposal: Proposal, revision: int, answer: Any) -> Confirmed:  # noqa: ANN401 - of any change
    match answer:
        case ChangedSubject():
            return Confirmed(revision, proposal, answer.subject, added=answer.added, removed=answer.removed)
        case Stored():
            return Confirmed(revision, proposal, answer.subject, added=answer.added, removed=answer.removed)
        case ChangedWatchlist():
            return Confirmed(revision, proposal, watchlist=answer.counted)
        case Deleted():
            return Confirmed(revision, proposal, removed=answer.removed)
        case _:
            return Confirmed(revision, proposal)
