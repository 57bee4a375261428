"""The one writer: it makes changes durable and then visible, in one order, many at a time.

Changes that arrive while a transaction is being committed wait and share the next one, so that one fsync serves all of
them (group commit).
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from gerbang_service.domain.changes import Change
from gerbang_service.domain.errors import Overloaded, ShuttingDown, StoreUnavailable
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.store.store import Store
from gerbang_service.store.transaction import Transaction

T = TypeVar("T")
log = logging.getLogger(__name__)

_LARGEST_GROUP = 512


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What an operation answers, and the change it made. `erases`: stored content was deleted."""

    answer: T
    change: Change | None = None
    erases: bool = False


Operation = Callable[[Transaction], Outcome[T]]


class Writer:
    """A thread that owns the store's writing side and the gallery's changes. `submit` may be called from any thread."""

    def __init__(
        self,
        store: Store,
        gallery: Gallery,
        *,
        max_pending: int,
        on_revision: Callable[[int], object],
        on_failure: Callable[[], object],
    ) -> None:
        """`on_revision` is told each new revision, `on_failure` that memory and disk differ; both in this thread."""
        self._store = store
        self._gallery = gallery
        self._on_revision = on_revision
        self._on_failure = on_failure
        self._queue: queue.Queue[tuple[Operation[object], Future[object]] | None] = queue.Queue(max_pending)
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
        while (first := self._queue.get()) is not None:
            group = [first]
            while len(group) < _LARGEST_GROUP and not self._queue.empty():
                item = self._queue.get()
                if item is None:
                    self._write(group)
                    return
                group.append(item)
            self._write(group)

    def _write(self, submitted: list[tuple[Operation[object], Future[object]]]) -> None:
        # From here on the futures can't be cancelled: when a caller goes away, asyncio cancels what it waited for.
        group = [each for each in submitted if each[1].set_running_or_notify_cancel()]
        if not group:
            return
        outcomes = self._store.write_group([operation for operation, _ in group])
        try:
            self._gallery.apply(*(each.change for each in outcomes if isinstance(each, Outcome) and each.change))
        except Exception:
            # What is on disk is not what is searched: no answer can be trusted any more.
            log.critical("a committed change could not be applied to the gallery", exc_info=True)
            self._on_failure()
            for _, future in group:
                future.set_exception(StoreUnavailable("the change is on disk, but this server has to be restarted"))
            raise
        if any(isinstance(outcome, Outcome) and outcome.erases for outcome in outcomes):
            self._store.erase_deleted()
        self._on_revision(self._gallery.revision)
        for outcome, (_, future) in zip(outcomes, group, strict=True):
            if isinstance(outcome, Outcome):
                future.set_result(outcome.answer)
            else:
                future.set_exception(outcome)
