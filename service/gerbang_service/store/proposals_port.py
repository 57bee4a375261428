"""What the service asks of a store about changes that wait for a second person: a part of store/port.py."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from gerbang_service.domain.proposals import Proposal


class ProposalReader(Protocol):
    """Queries of proposals: all that are stored, those whose time is over too. A part of Reader."""

    def proposal(self, proposal_id: int) -> Proposal | None:
        """Return one proposal, or None."""

    def proposals(self, *, after: int, limit: int) -> list[Proposal]:
        """Return up to `limit` proposals with an id greater than `after`, by id."""

    def proposals_about(
        self, *, subject_ids: Collection[str] = (), watchlist_ids: Collection[str] = ()
    ) -> list[Proposal]:
        """Return the proposals to change one of these subjects, or one of these lists itself, by id."""

    def proposal_of(self, request_id: str) -> Proposal | None:
        """Return the proposal that a request came to, or None."""

    def proposal_counts(self) -> dict[str, int]:
        """Return by how many proposals each list would be weakened, by id of the list; those with none are left out."""

    def ended_proposals(self, before_ns: int, limit: int) -> list[int]:
        """Return the ids of up to `limit` proposals whose time was over then, ns since 1970."""


class ProposalWriter(Protocol):
    """Changes of proposals. A part of Transaction."""

    def put_proposal(self, proposal: Proposal) -> int:
        """Insert a proposal and return its id, which is never given twice."""

    def delete_proposal(self, proposal_id: int) -> None:
        """Delete a proposal."""
