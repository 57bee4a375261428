"""Who has expired is erased after a while, where a setting says so: a few at a time, and each on record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from gerbang_service.changing.seen_time import SeenTime
from gerbang_service.changing.writer import Writer
from gerbang_service.domain.changes import SubjectGone
from gerbang_service.domain.errors import DataDamaged, GerbangError
from gerbang_service.store.port import Operation, Outcome, Store, Transaction
from gerbang_service.threads.told import done

log = logging.getLogger(__name__)

_NS: Final = 1_000_000_000
# Looked for so often, seconds, or as often as a tenth of how long they are kept; and so many at a time.
_EVERY_S: Final = 600.0
_FOUND_AT_ONCE: Final = 10_000
# Erased together, and how long others then have their turn, seconds.
_ERASED_AT_ONCE: Final = 20
_BREATH_S: Final = 0.05
# What the time that counts may be behind the clock before that is said, ns.
_BEHIND_NS: Final = 86_400 * _NS


@dataclass(frozen=True, slots=True)
class Erased:
    """Somebody who was erased. Times: ns since 1970. `revision`: of that change."""

    subject_id: str
    expire_time_ns: int
    revision: int


class Expiring:
    """Erases who expired longer ago than they are kept. Belongs to the event loop."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        kept_s: float,
        *,
        check: Callable[[], None],
        record: Callable[[Erased], Awaitable[None]],
        seen_time: Callable[[int | None], SeenTime] = SeenTime,
    ) -> None:
        """`kept_s`: how long after they have expired they are kept, seconds.

        `check` raises AuditUnavailable when nothing could be recorded now; `record`: has somebody recorded durably.
        """
        self._store, self._writer = store, writer
        self._kept_ns = int(kept_s * _NS)
        self._every_s = min(_EVERY_S, max(0.1, kept_s / 10))
        self._check, self._record = check, record
        self._seen_time = seen_time
        self._time: SeenTime | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Erase them, until `stopping`. What fails is logged, and tried again."""
        while not stopping.is_set():
            try:
                await self._pass(stopping)
            except (GerbangError, DataDamaged) as error:
                log.warning("who has expired is not erased yet: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self._every_s)

    async def _pass(self, stopping: asyncio.Event) -> None:
        if self._time is None:
            self._time = self._seen_time(await asyncio.to_thread(self._last_time))
        now = self._time.now_ns()
        if self._time.behind_ns > _BEHIND_NS:
            log.warning(
                "who has expired is kept longer, after a stop or a jump of the clock: by the time that the server has "
                "seen pass it is %.1f days earlier than by the clock",
                self._time.behind_ns / _BEHIND_NS,
            )
        _, failure = await self._written([_noting(now)])
        if failure is not None:
            raise failure
        before, erased = now - self._kept_ns, 0
        while found := await asyncio.to_thread(self._find, before):
            for at in range(0, len(found), _ERASED_AT_ONCE):
                if stopping.is_set():
                    return
                erased += await self._erase(found[at : at + _ERASED_AT_ONCE], before)
                await asyncio.sleep(_BREATH_S)
        if erased:
            log.info("erased %d subjects who had expired", erased)

    def _last_time(self) -> int | None:
        with self._store.reading() as reader:
            return reader.seen_time()

    def _find(self, before_ns: int) -> list[str]:
        with self._store.reading() as reader:
            return reader.expired(before_ns, _FOUND_AT_ONCE)

    async def _erase(self, subject_ids: Sequence[str], before_ns: int) -> int:
        self._check()
        gone, failure = await self._written([erase_expired(each, before_ns) for each in subject_ids])
        erased = [each for each in gone if each is not None]
        # Whatever else failed: what is done is recorded.
        recorded = await asyncio.gather(*map(self._record, erased), return_exceptions=True)
        for each in (failure, *recorded):
            if each is not None:
                raise each
        return len(erased)

    async def _written(
        self, operations: Sequence[Operation[Erased | None]]
    ) -> tuple[list[Erased | None], Exception | None]:
        """Have operations written; return what they answer, those that were, and a failure of any."""
        futures: list[Future[Erased | None]] = []
        failure: Exception | None = None
        try:
            futures += map(self._writer.submit, operations)
        except GerbangError as error:
            failure = error
        answers = []
        for each in futures:
            await done(each)
            try:
                answers.append(each.result())
            except GerbangError as error:
                failure = error
        return answers, failure


def erase_expired(subject_id: str, before_ns: int) -> Operation[Erased | None]:
    """Delete a subject with all its templates who has expired by then; answers None, and does nothing, for others.

    No removal that anybody has to agree to: it was decided when the date was given.
    """

    def operation(transaction: Transaction) -> Outcome[Erased | None]:
        subject = transaction.subject(subject_id)
        # Whoever was enrolled anew, or had the date changed, meanwhile stays.
        if subject is None or subject.expire_time_ns is None or subject.expire_time_ns > before_ns:
            return Outcome(None)
        transaction.delete_subject(subject_id)
        revision = transaction.next_revision()
        erased = Erased(subject_id, subject.expire_time_ns, revision)
        return Outcome(erased, SubjectGone(revision, subject_id), erases=True)

    return operation


def _noting(now_ns: int) -> Operation[Erased | None]:
    def operation(transaction: Transaction) -> Outcome[Erased | None]:
        transaction.note_seen_time(now_ns)
        return Outcome(None)

    return operation
