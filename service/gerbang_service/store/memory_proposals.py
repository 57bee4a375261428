"""Proposals in the fake of a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace

from gerbang_service.domain.proposals import Proposal
from gerbang_service.store.memory_state import State


class MemoryProposals:
    """A ProposalReader of one state, and a ProposalWriter on one that nobody else reads yet."""

    def __init__(self, state: State) -> None:
        self._state = state

    def proposal(self, proposal_id: int) -> Proposal | None:
        """Return one proposal, or None."""
        return self._state.proposals.get(proposal_id)

    def proposals(self, *, after: int, limit: int) -> list[Proposal]:
        """Return up to `limit` proposals with an id greater than `after`, by id."""
        return [each for key, each in sorted(self._state.proposals.items()) if key > after][:limit]

    def proposals_about(
        self, *, subject_ids: Collection[str] = (), watchlist_ids: Collection[str] = ()
    ) -> list[Proposal]:
        """Return the proposals to change one of these subjects, or one of these lists itself, by id."""
        found = (each for _, each in sorted(self._state.proposals.items()))
        return [
            each for each in found if each.change.subject_id in subject_ids or each.change.watchlist_id in watchlist_ids
        ]

    def proposal_of(self, request_id: str) -> Proposal | None:
        """Return the proposal that a request came to, or None."""
        return next((each for each in self._state.proposals.values() if each.request_id == request_id), None)

    def proposal_counts(self) -> dict[str, int]:
        """Return by how many proposals each list would be weakened."""
        return Counter(name for each in self._state.proposals.values() for name in each.watchlists)

    def ended_proposals(self, before_ns: int, limit: int) -> list[int]:
        """Return the ids of up to `limit` proposals whose time was over then."""
        return [key for key, each in self._state.proposals.items() if each.ended_by(before_ns)][:limit]

    def put_proposal(self, proposal: Proposal) -> int:
        """Insert a proposal and return its id."""
        self._state.last_proposal += 1
        key = self._state.last_proposal
        self._state.proposals[key] = replace(proposal, proposal_id=key)
        return key

    def delete_proposal(self, proposal_id: int) -> None:
        """Delete a proposal."""
        self._state.proposals.pop(proposal_id, None)

    def _drop_proposals(self, gone: Callable[[Proposal], bool]) -> None:
        for key in [key for key, each in self._state.proposals.items() if gone(each)]:
            del self._state.proposals[key]
