"""The one writer: it makes changes durable and then visible, in one order, many at a time.

Changes that arrive while a transaction is being committed wait and share the next one, so that one fsync serves all of
them (group commit).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from gerbang_service.changing.erasing import Erasing
from gerbang_service.changing.forgetting import Forgetting
from gerbang_service.changing.waiting import Submitted, Waiting
from gerbang_service.domain.errors import GerbangError, ShuttingDown, StoreUnavailable
from gerbang_service.store.port import Follower, Operation, Outcome, Store
from gerbang_service.telemetry.meter import UNMETERED, Meter
from gerbang_service.threads.told import Tell, at_once

T = TypeVar("T")
log = logging.getLogger(__name__)

_LARGEST_GROUP = 512
# With several processes: a group is small, so that the others' turn comes soon, and a process without anything to write
# looks for what others wrote so often, seconds.
_LARGEST_SHARED_GROUP = 64
_FOLLOWED_EVERY_S = 0.005
# How long a process that can't read what others wrote goes on answering, seconds: a disk may stutter, but nobody may be
# let through for long on a list that others have changed.
_UNREAD_AT_MOST_S = 1.0
# While the disk has not taken a change for so long, seconds, further ones are refused: none should wait behind a disk
# that hangs.
_STALLED_AFTER_S = 5.0
# While the disk takes no changes, a small one is tried so often, seconds.
_TRIED_EVERY_S = 1.0
_UNSURE = "the change may be on disk; this server has to be restarted"


class Writer:
    """A thread that owns the store's writing side and the gallery's changes. `submit` may be called from any thread."""

    def __init__(
        self,
        store: Store,
        gallery: Follower,
        *,
        max_pending: int,
        follows: bool = False,
        answers_kept_s: float = 7 * 86400.0,
        on_revision: Callable[[int], object],
        on_failure: Callable[[], object],
        meter: Meter = UNMETERED,
    ) -> None:
        """`follows`: whether other processes write too. `answers_kept_s`: for how long requests may be repeated, s.

        `on_revision` is told each new revision, `on_failure` that memory and disk differ; both in this thread.
        """
        self._store = store
        self._gallery = gallery
        self._on_revision = on_revision
        self._on_failure = on_failure
        self.tell: Tell = at_once
        """Has the futures of a group completed; to be set by who waits for them in an event loop."""
        self.followed = 0  # How often it was brought what others wrote. May be read from any thread.
        # While changes can't be written: when the next small one is tried.
        self._try_at: float | None = None
        # While the thread is about something: since when.
        self._busy_since: float | None = None
        self._meter = meter
        self.waiting = Waiting(max_pending)
        self._follows = follows
        self._closed = False
        # What is not written any more fails with; None while the thread goes on.
        self._ended: Callable[[], GerbangError] | None = None
        self._read_at = 0.0
        self._erasing = Erasing(store, self._look_at_others, hurried=lambda: self.waiting.count > 0)
        self._forgetting = Forgetting(answers_kept_s)
        self._thread = threading.Thread(target=self._work, name="writer")

    def start(self) -> None:
        """Start writing; the gallery is loaded, and its revision is the first that `on_revision` is told.

        First catches up with what others wrote during the loading; raises FellBehind or StoreUnavailable when it can't.
        """
        before = -1
        while self._follows and self._gallery.revision != before:
            before = self._gallery.revision
            self._read_others()
        self._on_revision(self._gallery.revision)
        self._thread.start()

    def stop(self) -> None:
        """Write what was submitted, then end."""
        self._closed = True
        self.waiting.wake()
        self._thread.join()

    def look(self) -> None:
        """Have what other processes wrote looked for at once."""
        if self._follows:
            self.waiting.wake()

    @property
    def writable(self) -> bool:
        """Whether the disk takes changes: it kept the last one, and lets none wait for long."""
        return self._try_at is None and not self.stalled

    @property
    def stalled(self) -> bool:
        """Whether the disk has not answered for long: what is submitted is refused at once."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > _STALLED_AFTER_S

    def submit(self, operation: Operation[T]) -> Future[T]:
        """Have an operation written; the future's result is there when it is durable and visible.

        Operations take effect in the order of their submission. Raises Overloaded when too many wait, StoreUnavailable
        when the disk has not answered for long, ShuttingDown after `stop`. The future raises what the operation raised,
        or StoreUnavailable. One that is cancelled before its turn is not written; after that it can't be cancelled.
        """
        alone: Future[T] = Future()
        self._submit(Submitted((operation,), lambda outcomes: _complete(alone, outcomes[0]), alone))
        return alone

    def submit_all(
        self, operations: Sequence[Operation[T]], begun: Callable[[], object] = lambda: None
    ) -> Future[list[T | Exception]]:
        """Have operations written together; the future's result is what became of each, in order.

        Each by itself: what one raises is its result, and the others are written. `begun` is called by who writes, when
        they can't be called back any more. Else as `submit`.
        """
        future: Future[list[T | Exception]] = Future()
        self._submit(Submitted(operations, lambda all_: future.set_result(list(map(_result, all_))), future, begun))
        return future

    def _submit(self, submitted: Submitted) -> None:
        if self._closed:
            raise _shut_down()
        if self.stalled:
            raise StoreUnavailable(f"the disk has not taken a change for more than {_STALLED_AFTER_S:g} s")
        self.waiting.put(submitted)
        submitted.future.add_done_callback(self._meter.submitted())
        if self._ended is not None:
            self._refuse_waiting(self._ended)  # it was put there after the others had been refused

    def _work(self) -> None:
        ended = _shut_down
        try:
            while not (self._closed and not self.waiting.count):
                group = self._next_group()
                self._busy_since = time.monotonic()
                if group or self._forgets:
                    self._write(group)
                else:
                    self._look_at_others()
                self._erasing.go_on()
                self._try_disk()
                self._busy_since = None
        except Exception:
            # What is on disk may not be what is searched: no answer can be trusted any more.
            log.critical("what is in memory may not be what is stored: this process has to stop", exc_info=True)
            ended = _has_to_stop
            self._closed = True
            self._on_failure()
        finally:
            # In this order: what is put there from now on is refused by who puts it.
            self._ended = ended
            self._refuse_waiting(ended)

    def _refuse_waiting(self, ended: Callable[[], GerbangError]) -> None:
        """Fail what nobody will write any more."""
        for each in self.waiting.take_all():
            if each.begin():
                each.settle([ended() for _ in each.operations])

    def _next_group(self) -> list[Submitted]:
        """Wait for operations and return what there is; nothing when woken, or when it is time to look at others."""
        if self._follows:
            return self.waiting.take(_LARGEST_SHARED_GROUP, _FOLLOWED_EVERY_S)
        waits = self._try_at is not None or self._erasing.left
        return self.waiting.take(_LARGEST_GROUP, _TRIED_EVERY_S if waits else self._forgetting.wait_s)

    def _look_at_others(self) -> None:
        """Follow what others wrote. Raises FellBehind, and StoreUnavailable when it could not be read for too long."""
        if not self._follows:
            return
        before = self._gallery.revision
        try:
            self._read_others()
        except StoreUnavailable as error:
            if time.monotonic() - self._read_at > _UNREAD_AT_MOST_S:
                raise
            log.warning("what other workers wrote can't be read: %s", error)
        if self._gallery.revision != before:
            self.followed += 1
            self._on_revision(self._gallery.revision)

    def _read_others(self) -> None:
        self._store.follow(self._gallery)
        self._read_at = time.monotonic()

    def _write(self, submitted: list[Submitted]) -> None:
        """Write what was submitted, and forget old answers when it is time."""
        # From here on the futures can't be cancelled: when a caller goes away, asyncio cancels what it waited for.
        group = [each for each in submitted if each.begin()]
        forgetting: list[Operation[Any]] = []
        if self._forgets:
            self._forgetting.begin()
            forgetting.append(self._forgetting)
        operations = [*(each for one in group for each in one.operations), *forgetting]
        if not operations:
            return
        started = time.perf_counter()
        try:
            before, follower = self._gallery.revision, self._gallery if self._follows else None
            outcomes = self._store.write(operations, follower=follower, meanwhile=self._look_at_others)
            self.followed += self._gallery.revision != before
            changes = [each.change for each in outcomes if isinstance(each, Outcome) and each.change is not None]
            if changes:
                self._gallery.apply(changes, changes[-1].revision)
        except Exception:
            for each in group:
                each.settle([StoreUnavailable(_UNSURE) for _ in each.operations])
            raise
        # It takes all of a group or nothing.
        kept = not any(isinstance(each, StoreUnavailable) for each in outcomes)
        # Where nothing was changed, nothing was written: that is no sign of a disk that takes changes again.
        if changes or not kept:
            self._note(kept=kept)
        if group:
            took_s = time.perf_counter() - started
            self._meter.committed(len(operations) - len(forgetting), took_s, kept=kept)
        try:
            if any(isinstance(outcome, Outcome) and outcome.erases for outcome in outcomes):
                self._erasing.erase()
        finally:
            # Whatever became of that: these changes are made, and who waits for them is told.
            self._on_revision(self._gallery.revision)
            self.tell(partial(_settle, group, outcomes))

    @property
    def _forgets(self) -> bool:
        """Whether it is time to forget old answers. Not while the disk takes no changes: that is tried otherwise."""
        return self._try_at is None and not self._forgetting.wait_s

    def _note(self, *, kept: bool) -> None:
        """Note whether the store took what was written."""
        if kept == (self._try_at is not None):
            log.log(logging.INFO if kept else logging.ERROR, "changes can%s be written", " again" if kept else "'t")
        self._try_at = None if kept else time.monotonic() + _TRIED_EVERY_S

    def _try_disk(self) -> None:
        """While changes can't be written, write a small one now and then.

        After a failed fsync that is also what undoes on the disk what was refused: it takes its place in the log.
        """
        if self._try_at is not None and time.monotonic() >= self._try_at:
            try:
                self._store.probe(self._look_at_others)
            except StoreUnavailable as error:
                log.debug("the disk takes no change yet: %s", error)
                self._note(kept=False)
            else:
                self._note(kept=True)


def _settle(group: Sequence[Submitted], outcomes: Sequence[Outcome[Any] | Exception]) -> None:
    first = 0
    for each in group:
        each.settle(outcomes[first : first + len(each.operations)])
        first += len(each.operations)


def _complete(future: Future[Any], outcome: Outcome[Any] | Exception) -> None:
    result = _result(outcome)
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _result(outcome: Outcome[T] | Exception) -> T | Exception:
    return (outcome.failure or outcome.answer) if isinstance(outcome, Outcome) else outcome


def _shut_down() -> GerbangError:
    return ShuttingDown("the server is shutting down")


def _has_to_stop() -> GerbangError:
    return StoreUnavailable("the change was not written; this server has to stop")
