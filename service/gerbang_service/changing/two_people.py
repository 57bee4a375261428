"""Who may weaken a list: anybody whose role it is or, where the list asks for two people, two of them together.

An operation asks an Agreement before it changes anything. What it is told in place of the change is all it does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from gerbang_service.access.identity import Identity
from gerbang_service.changing.safeguards import UNGUARDED, Safeguards, needed
from gerbang_service.domain.changes import ProposalsChanged
from gerbang_service.domain.errors import SecondPersonNeeded, TooManyProposals
from gerbang_service.domain.proposals import Proposal, ProposedChange
from gerbang_service.domain.weakening import Weakened
from gerbang_service.store.port import Outcome, Reader, Transaction

MOST_ABOUT_ONE: Final = 20
"""Proposals of one person about one subject or list: all of them are read for each change of it, and for each look."""

Agreement: TypeAlias = Callable[[Transaction, Weakened, Callable[[], int]], Outcome[Any] | None]
"""How many people want a change: returns what is done in the place of one that weakens these lists, or None to make it.

Its last argument tells the revision of what would be changed. It is called before anything is.
"""


def _asks_for_two(reader: Reader, weakened: Weakened) -> bool:
    lists = (reader.watchlist(name) for name in sorted({name for name, _ in weakened}))
    return any(each is not None and each.two_person_removal for each in lists)


def alone(transaction: Transaction, weakened: Weakened, _: Callable[[], int]) -> None:
    """One person wants it, who can't propose: raises SecondPersonNeeded."""
    if _asks_for_two(transaction, weakened):
        raise SecondPersonNeeded("a second person has to agree")


def agreed(*_: object) -> None:
    """Two people want it."""


@dataclass(frozen=True, slots=True)
class Proposing:
    """One person, whose change is proposed where a second one is needed.

    `change`: makes what is kept of it; `kept_s`: for how long, seconds.
    """

    caller: Identity
    change: Callable[[], ProposedChange]
    kept_s: float
    safeguards: Safeguards = UNGUARDED

    def __call__(
        self, transaction: Transaction, weakened: Weakened, made_from: Callable[[], int]
    ) -> Outcome[Any] | None:
        """Propose it, unless the same is proposed already. Raises TooManyProposals."""
        if not _asks_for_two(transaction, weakened):
            return None
        now, caller, once = time.time_ns(), self.caller, self.safeguards
        wanted = Proposal(
            self.change(),
            weakened,
            made_from(),
            caller.name,
            caller.role.value,
            now,
            now + int(self.kept_s * 1e9),
            once.note,
            once.request_id,
            once.digest,
        )
        waiting = _waiting(transaction, wanted)
        same = next((each for each in waiting if each.is_same_as(wanted)), None)
        if same is not None:
            return Outcome(None, failure=needed(same))
        own = sum(not caller.may_be_another_than(each.proposed_by) for each in waiting)
        if own >= MOST_ABOUT_ONE:
            about = wanted.change.subject_id or wanted.change.watchlist_id
            raise TooManyProposals(
                f"not done: {own} changes of {about} that you proposed wait for a second person already, the most that "
                "may; withdraw some, or have them confirmed",
                proposals=own,
            )
        stored = replace(wanted, proposal_id=transaction.put_proposal(wanted))
        return Outcome(None, ProposalsChanged(transaction.next_revision()), failure=needed(stored))


def _waiting(reader: Reader, wanted: Proposal) -> list[Proposal]:
    """Return the open proposals about the same subject or list."""
    change = wanted.change
    subjects, lists = ([each] if each else [] for each in (change.subject_id, change.watchlist_id))
    found = reader.proposals_about(subject_ids=subjects, watchlist_ids=lists)
    return [each for each in found if not each.ended_by(wanted.propose_time_ns)]
