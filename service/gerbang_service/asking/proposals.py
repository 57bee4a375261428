"""Reading the changes that wait for a second person."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from gerbang_service.access.bounds import open_proposal, sees_proposal
from gerbang_service.access.identity import Identity
from gerbang_service.domain.errors import WatchlistNotFound
from gerbang_service.domain.proposals import Proposal
from gerbang_service.store.port import Reader, Store
from gerbang_service.threads.admission import Deadline
from gerbang_service.threads.pool import Pool

T = TypeVar("T")

# So many proposals are looked at for a page of those that the caller sees, or of one list.
_LOOKED_AT: Final = 1000


@dataclass(frozen=True, slots=True)
class ShownProposal:
    """A proposal that waits. `stale`: its subject or list was changed since, and it can't be confirmed any more."""

    proposal: Proposal
    stale: bool


@dataclass(frozen=True, slots=True)
class ProposalReads:
    """Reads proposals that wait, within what a caller is bound to. Its methods belong to the event loop."""

    store: Store
    queries: Pool

    async def proposal(self, proposal_id: int, caller: Identity, deadline: Deadline) -> ShownProposal:
        """Return one proposal. Raises ProposalNotFound."""
        return await self._read(
            lambda reader: _shown(reader, open_proposal(caller, reader, proposal_id, time.time_ns())), deadline
        )

    async def proposals(
        self, watchlist_id: str, after: int, size: int, caller: Identity, deadline: Deadline
    ) -> tuple[list[ShownProposal], int]:
        """Return up to `size` proposals with ids greater than `after`, by id, and the page's end; 0 for the last page.

        `watchlist_id`: only those that would weaken this list; empty: all that the caller sees. Raises WatchlistDenied,
        WatchlistNotFound.
        """
        if watchlist_id:
            caller.check_watchlists([watchlist_id])

        def query(reader: Reader) -> tuple[list[ShownProposal], int]:
            if watchlist_id and reader.watchlist(watchlist_id) is None:
                raise WatchlistNotFound(f"no watchlist {watchlist_id}", watchlist_id=watchlist_id)
            seen = max(size, _LOOKED_AT)
            found = reader.proposals(after=after, limit=seen + 1)
            now = time.time_ns()
            fitting = [
                each
                for each in found[:seen]
                if not each.ended_by(now)
                and (not watchlist_id or watchlist_id in each.watchlists)
                and sees_proposal(caller, reader, each)
            ]
            page = [_shown(reader, each) for each in fitting[:size]]
            if len(fitting) > size:
                return page, page[-1].proposal.proposal_id
            return page, found[seen - 1].proposal_id if len(found) > seen else 0

        return await self._read(query, deadline)

    async def _read(self, query: Callable[[Reader], T], deadline: Deadline) -> T:
        def work() -> T:
            with self.store.reading() as reader:
                return query(reader)

        return await self.queries.run(work, deadline)


def _shown(reader: Reader, proposal: Proposal) -> ShownProposal:
    change = proposal.change
    about = reader.subject(change.subject_id) if change.subject_id else reader.watchlist(change.watchlist_id)
    return ShownProposal(proposal, about is None or about.revision != proposal.revision)
