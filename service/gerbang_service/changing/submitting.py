"""Changes that calls make: begun only when they can be recorded, and seen through even when the caller goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from gerbang_service.access import calls
from gerbang_service.access.calls import Call
from gerbang_service.changing.writer import Writer
from gerbang_service.domain.errors import SecondPersonNeeded
from gerbang_service.store.port import AboutSubject, Operation, Outcome, Transaction
from gerbang_service.threads.told import done

T = TypeVar("T")


class Writing:
    """Submits changes for the calls that make them. Belongs to the event loop."""

    def __init__(self, writer: Writer, check: Callable[[], None]) -> None:
        """`check` raises AuditUnavailable when what would be changed could not be recorded."""
        self._writer = writer
        writer.tell = asyncio.get_running_loop().call_soon_threadsafe
        self._check = check
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def followed(self) -> int:
        """How often this process was brought what others wrote; as it was when a change that was awaited was made."""
        return self._writer.followed

    async def write(self, operation: Operation[T]) -> T:
        """Have an operation written; raises what `Writer.submit` and its future do, and AuditUnavailable."""
        return await seen_through(self.submit(operation))

    def submit(self, operation: Operation[T]) -> Future[T]:
        """Have an operation written, to be awaited with `seen_through`; those submitted earlier are written earlier."""
        self._check()
        change = self._writer.submit(noted(operation, calls.current()))
        self.watch(asyncio.current_task())
        return change

    def submit_all(
        self, operations: Sequence[Operation[T]], begun: Callable[[], object]
    ) -> Future[list[T | Exception]]:
        """Have operations written together, each `noted` by its call: see Writer."""
        self._check()
        return self._writer.submit_all(operations, begun)

    @property
    def stalled(self) -> bool:
        """Whether what is submitted is refused at once, since the disk has not answered for long."""
        return self._writer.stalled

    def check_room(self, others: int) -> None:
        """Raise Overloaded when too many wait already; `others`: changes that are to be submitted before."""
        self._writer.waiting.check(others)

    def watch(self, task: asyncio.Task[Any] | None) -> None:
        """Count a task among those that `finished` waits for: it answers, or records, what was submitted."""
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def finished(self, timeout_s: float) -> None:
        """Wait until all that submitted a change have been answered and recorded, or so long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)


async def seen_through(change: Future[T]) -> T:
    """Return what a submitted change answers.

    When the call is cancelled before its turn came, nothing is written. One that is being written can't be called back:
    it goes on as if nobody had gone away, so that what was done is recorded like everything else. Cancelled once more,
    as the event loop does with all that is left in the end, it is given up: a disk that hangs must not keep a process.
    """
    gone = False
    while not change.done():
        try:
            await done(change)
        except asyncio.CancelledError:
            if gone or change.cancel():
                raise
            gone = True
    if gone and (task := asyncio.current_task()) is not None:
        task.uncancel()
    try:
        return change.result()
    except Exception as error:
        forget(calls.current(), error)
        raise


def forget(call: Call, error: Exception) -> None:
    """Have a call that failed have made no change, unless what it asked for was proposed."""
    if not isinstance(error, SecondPersonNeeded):
        call.revision = None


def noted(operation: Operation[T], call: Call) -> Operation[T]:
    """Return the operation, which tells the call the revision that it makes, and which lists it weakens."""

    def run(transaction: Transaction) -> Outcome[T]:
        outcome = operation(transaction)
        if outcome.change is not None:
            call.revision, call.weakened = outcome.change.revision, outcome.weakened
        return outcome

    return AboutSubject(operation.subject_id, run) if isinstance(operation, AboutSubject) else run
