"""Proposals whose time is over: nobody confirmed them, and they are forgotten, each on record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gerbang_service.changing.writer import Writer
from gerbang_service.domain.changes import ProposalsChanged
from gerbang_service.domain.errors import DataDamaged, GerbangError
from gerbang_service.domain.proposals import Proposal
from gerbang_service.store.port import Operation, Outcome, Store, Transaction
from gerbang_service.threads.told import done

log = logging.getLogger(__name__)

# Looked for so often, seconds, or as often as a tenth of how long they wait; and so many at a time.
_EVERY_S: Final = 600.0
_FOUND_AT_ONCE: Final = 1000
# Forgotten together: each transaction checks all proposals that there are.
_ENDED_AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True)
class Ended:
    """A proposal that is gone. `revision`: of that change."""

    proposal: Proposal
    revision: int


class Ending:
    """Forgets proposals whose time is over. Belongs to the event loop.

    Nothing is lost by a clock that jumps ahead: who still wants the change proposes it again.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        kept_s: float,
        *,
        check: Callable[[], None],
        record: Callable[[Ended], Awaitable[None]],
    ) -> None:
        """`kept_s`: how long they wait, seconds. `check`, `record`: as of Expiring."""
        self._store, self._writer = store, writer
        self._every_s = min(_EVERY_S, max(0.1, kept_s / 10))
        self._check, self._record = check, record

    async def run(self, stopping: asyncio.Event) -> None:
        """Forget them, until `stopping`. What fails is logged, and tried again."""
        while not stopping.is_set():
            try:
                await self._pass(stopping)
            except (GerbangError, DataDamaged) as error:
                log.warning("proposals whose time is over are still there: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self._every_s)

    async def _pass(self, stopping: asyncio.Event) -> None:
        now = time.time_ns()
        found = await asyncio.to_thread(self._find, now)
        for at in range(0, len(found), _ENDED_AT_ONCE):
            if stopping.is_set():
                return
            self._check()
            written = self._writer.submit_all([end_proposal(each, now) for each in found[at : at + _ENDED_AT_ONCE]])
            await done(written)
            outcomes = written.result()
            ended = [each for each in outcomes if isinstance(each, Ended)]
            # Whatever else failed: what is done is recorded.
            recorded = await asyncio.gather(*map(self._record, ended), return_exceptions=True)
            for failure in (*outcomes, *recorded):
                if isinstance(failure, BaseException):
                    raise failure

    def _find(self, now_ns: int) -> list[int]:
        with self._store.reading() as reader:
            return reader.ended_proposals(now_ns, _FOUND_AT_ONCE)


def end_proposal(proposal_id: int, now_ns: int) -> Operation[Ended | None]:
    """Delete a proposal whose time is over then; answers None, and does nothing, for one that is gone."""

    def operation(transaction: Transaction) -> Outcome[Ended | None]:
        proposal = transaction.proposal(proposal_id)
        if proposal is None or not proposal.ended_by(now_ns):
            return Outcome(None)
        transaction.delete_proposal(proposal_id)
        revision = transaction.next_revision()
        return Outcome(Ended(proposal, revision), ProposalsChanged(revision), erases=True)

    return operation
