"""The one writer: it makes changes durable and then visible, in one order, many at a time.

Changes that arrive while a transaction is being committed wait and share the next one, so that one fsync serves all of
them (group commit).
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from gerbang_service.domain.changes import Change
from gerbang_service.domain.errors import Overloaded, ShuttingDown, StoreUnavailable
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.store.following import changes_since
from gerbang_service.store.store import Store
from gerbang_service.store.transaction import Transaction

T = TypeVar("T")
log = logging.getLogger(__name__)

_LARGEST_GROUP = 512
# With several processes: a group is small, so that the others' turn comes soon, and a process without anything to write
# looks for what others wrote so often, seconds.
_LARGEST_SHARED_GROUP = 64
_FOLLOWED_EVERY_S = 0.005


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What an operation answers, and the change it made. `erases`: stored content was deleted."""

    answer: T
    change: Change | None = None
    erases: bool = False


Operation = Callable[[Transaction], Outcome[T]]
_Submitted: TypeAlias = tuple[Operation[object], Future[object]]


class Writer:
    """A thread that owns the store's writing side and the gallery's changes. `submit` may be called from any thread."""

    def __init__(
        self,
        store: Store,
        gallery: Gallery,
        *,
        max_pending: int,
        follows: str | None = None,
        on_revision: Callable[[int], object],
        on_failure: Callable[[], object],
    ) -> None:
        """`follows`: None when no other process writes; else the recogniser whose templates count.

        `on_revision` is told each new revision, `on_failure` that memory and disk differ; both in this thread.
        """
        self._store = store
        self._gallery = gallery
        self._on_revision = on_revision
        self._on_failure = on_failure
        self._queue: queue.Queue[_Submitted | None] = queue.Queue(max_pending)
        self._follows = follows
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="writer")

    def start(self) -> None:
        """Start writing; the gallery is loaded, and its revision is the first that `on_revision` is told."""
        self._on_revision(self._gallery.revision)
        self._thread.start()

    def stop(self) -> None:
        """Write what was submitted, then end."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def submit(self, operation: Operation[T]) -> Future[T]:
        """Have an operation written; the future's result is there when it is durable and visible.

        Operations take effect in the order of their submission. Raises Overloaded when too many wait, ShuttingDown
        after `stop`. The future raises what the operation raised, or StoreUnavailable. One that is cancelled before
        its turn is not written; after that it can't be cancelled any more.
        """
        if self._closed:
            raise ShuttingDown("the server is shutting down")
        future: Future[T] = Future()
        try:
            self._queue.put_nowait((operation, future))  # type: ignore[arg-type]  # each pair shares its own T
        except queue.Full:
            raise Overloaded("too many changes are waiting to be written", retry_after_s=1.0) from None
        return future

    def _work(self) -> None:
        while True:
            group, last = self._next_group()
            if group:
                self._write(group)
            elif not last:
                self._look_at_others()
            if last:
                return

    def _next_group(self) -> tuple[list[_Submitted], bool]:
        """Wait for operations; return what there is, and whether these are the last ones."""
        largest, patience = (
            (_LARGEST_GROUP, None) if self._follows is None else (_LARGEST_SHARED_GROUP, _FOLLOWED_EVERY_S)
        )
        group: list[_Submitted] = []
        try:
            while len(group) < largest:
                item = self._queue.get(block=not group, timeout=patience)
                if item is None:
                    return group, True
                group.append(item)
        except queue.Empty:
            pass
        return group, False

    def _look_at_others(self) -> None:
        before = self._gallery.revision
        try:
            with self._store.snapshot() as connection:
                self._follow(connection)
        except StoreUnavailable as error:
            log.error("what other workers wrote can't be read: %s", error)  # noqa: TRY400 - the text says it all
        except Exception:
            log.critical("what other workers wrote could not be followed", exc_info=True)
            self._on_failure()
            raise
        if self._gallery.revision != before:
            self._on_revision(self._gallery.revision)

    def _follow(self, connection: sqlite3.Connection) -> None:
        """Bring the gallery to the state that a transaction sees."""
        if self._follows is not None:
            changes, revision = changes_since(connection, self._gallery, self._follows)
            self._gallery.apply(*changes)
            self._gallery.revision = revision

    def _write(self, submitted: list[_Submitted]) -> None:
        # From here on the futures can't be cancelled: when a caller goes away, asyncio cancels what it waited for.
        group = [each for each in submitted if each[1].set_running_or_notify_cancel()]
        if not group:
            return
        operations = [each if self._follows is None else _recorded(each) for each, _ in group]
        try:
            outcomes = self._store.write_group(operations, before=self._follow)
            self._gallery.apply(*(each.change for each in outcomes if isinstance(each, Outcome) and each.change))
        except Exception:
            # What is on disk may not be what is searched: no answer can be trusted any more.
            log.critical("changes could not be applied to the gallery", exc_info=True)
            self._on_failure()
            for _, future in group:
                future.set_exception(StoreUnavailable("the change may be on disk; this server has to be restarted"))
            raise
        if any(isinstance(outcome, Outcome) and outcome.erases for outcome in outcomes):
            self._store.erase_deleted()
        self._on_revision(self._gallery.revision)
        for outcome, (_, future) in zip(outcomes, group, strict=True):
            if isinstance(outcome, Outcome):
                future.set_result(outcome.answer)
            else:
                future.set_exception(outcome)


def _recorded(operation: Operation[T]) -> Operation[T]:
    """Return the operation followed by a record of its change, for other processes."""

    def run(transaction: Transaction) -> Outcome[T]:
        outcome = operation(transaction)
        if outcome.change is not None:
            transaction.record(outcome.change)
        return outcome

    return run
