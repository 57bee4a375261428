"""The audit log of a running process: records handed over by the event loop, written by a thread of its own."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gerbang_service.audit.chain import NOTHING, Head, Seal
from gerbang_service.audit.history import Recorded
from gerbang_service.audit.journal import Journal
from gerbang_service.domain.errors import AuditUnavailable

log = logging.getLogger(__name__)

# Records are written so soon at the latest, and durable so soon, seconds. Those of changes are at once.
_WRITTEN_EVERY_S = 0.1
_SYNCED_EVERY_S = 1.0
# What could not be written is tried again so often, and said so often, seconds.
_TRIED_EVERY_S = 0.5
_SAID_EVERY_S = 60.0
# A disk that has not answered for so long, seconds, counts as one that fails.
_STALLED_AFTER_S = 5.0
# Records that wait in memory while they can't be written, at most, bytes; and what each costs beside its own.
MOST_WAITING_BYTES = 64_000_000
_ENTRY_BYTES = 200
# Lines made before the event loop gets the interpreter back for a moment: a tenth of a millisecond.
_LINES_AT_ONCE = 16


@dataclass(slots=True)
class _Entry:
    time_ns: int
    record: bytes
    durable: Future[None] | None = None
    revision: int | None = None


class AuditLog:
    """A log that is open for records, until `stop`. Its methods may be called from any thread, and don't block."""

    def __init__(
        self,
        folder: Path,
        *,
        key: bytes | None = None,
        file_bytes: int = 64_000_000,
        alone: bool = True,
        unkeyed: Head = NOTHING,
        revision: int | None = None,
        anew: bool = False,
        tell: Callable[[Callable[[], object]], object] = lambda telling: telling(),
    ) -> None:
        """Open the log in `folder`, or begin one; raise StartupError when that can't be.

        `key`: of 32 bytes, so that who lacks it can't make a record. `file_bytes`: size at which a new file is begun.
        `alone`: whether all changes of the gallery are this process's own. `unkeyed`: where what is of before
        encryption ends. `revision`: the database's, when it is known not to be older than the log. `anew`: begin a new
        file. `tell`: has a function run that completes the futures of many records, where these are waited for.
        """
        self.folder = folder
        self._journal = Journal(
            folder, Seal(key), file_bytes, time.time_ns(), unkeyed=unkeyed, revision=revision, anew=anew
        )
        noted = self._journal.noted
        self._recorded = Recorded(None if noted is None else noted.revision, advances=alone)
        self._tell = tell
        self._lock = threading.Lock()
        self._waiting: list[_Entry] = []
        self._waiting_bytes = 0
        self._refused = 0
        self._failing_since: float | None = None
        # While the thread is about something: since when.
        self._busy_since: float | None = None
        self._why = ""
        self._said_at = 0.0
        self._synced_at = self._noted_at = time.monotonic()
        self._synced = self._noted = NOTHING if noted is None else noted.head
        self._newly_checked = False
        self._wake = threading.Event()
        self._stopping = False
        for finding in self._journal.findings:
            self.note(finding)
        self._thread = threading.Thread(target=self._work, name="audit log")
        self._thread.start()

    @property
    def revision(self) -> int | None:
        """All changes up to this revision have records, as the head file tells; None when it does not."""
        return self._recorded.upto

    @property
    def failing(self) -> bool:
        """Whether the log can't be written at present: it fails, or the disk has not answered for long."""
        return self._failing_since is not None or self._stalled

    @property
    def _stalled(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > _STALLED_AFTER_S

    @property
    def waiting(self) -> tuple[int, int]:
        """How many records are not written yet, and how many bytes they take."""
        return len(self._waiting), self._waiting_bytes

    def checked(self, revision: int) -> None:
        """Be told that all changes up to a revision have records, or a record that says that they have none."""
        self._recorded.begin(revision)
        # Before the first change is answered: from here on is looked for what has no record.
        self._newly_checked = True
        self._journal.highest_revision = revision

    def check(self) -> None:
        """Raise AuditUnavailable when what is to be done now could not be recorded."""
        if self._failing_since is not None:
            raise AuditUnavailable(f"nothing may be changed while the audit log can't be written: {self._why}")
        if self._stalled:
            raise AuditUnavailable(
                f"nothing may be changed while the disk of the audit log hangs: {_STALLED_AFTER_S:g} s"
            )

    def note(self, event: dict[str, Any]) -> None:
        """Record something that happened to the server: `event` says what. Taken however much waits."""
        record = json.dumps(event, separators=(",", ":"), default=str).encode()
        with self._lock:
            self._waiting.append(_Entry(time.time_ns(), record))

    def append(self, record: bytes) -> None:
        """Record something: on disk within a second. `record`: a JSON object, compact.

        Raises AuditUnavailable when too much waits to be written already; that is counted, and the count recorded.
        """
        entry = _Entry(time.time_ns(), record)
        with self._lock:
            if self._waiting_bytes > MOST_WAITING_BYTES or self._stopping:
                self._refused += 1
                raise AuditUnavailable(f"nothing may be answered unrecorded: {self._why or 'the disk is too slow'}")
            self._waiting.append(entry)
            self._waiting_bytes += len(record) + _ENTRY_BYTES

    def write(self, record: bytes, revision: int | None = None) -> Future[None]:
        """Record a change, `revision`: the one that it made. As `write_all`."""
        return self.write_all([(record, revision)])

    def write_all(self, changes: Sequence[tuple[bytes, int | None]]) -> Future[None]:
        """Record changes, each with the revision that it made; the future is done when all these records are durable.

        The future raises AuditUnavailable when they could not be written at once: they will be when they can. It can't
        be cancelled. Taken however much waits: what was done has to be recorded.
        """
        durable: Future[None] = Future()
        durable.set_running_or_notify_cancel()
        now = time.time_ns()
        entries = [_Entry(now, record, durable, revision) for record, revision in changes]
        with self._lock:
            if self._stopping:
                durable.set_exception(AuditUnavailable("the server has stopped"))
                revisions = [revision for _, revision in changes]
                log.critical("changes of revisions %s are not in the audit log: it has been closed", revisions)
                return durable
            self._waiting += entries
            self._waiting_bytes += sum(len(record) + _ENTRY_BYTES for record, _ in changes)
        self._wake.set()
        return durable

    def stop(self) -> None:
        """Write what waits, durably, and give the folder back. What can't be written is told in the server's log."""
        with self._lock:
            self._stopping = True
        self._wake.set()
        self._thread.join()
        self._journal.close()

    def _work(self) -> None:
        ended = False
        while not ended:
            self._wake.wait(_WRITTEN_EVERY_S if self._failing_since is None else _TRIED_EVERY_S)
            self._wake.clear()
            self._busy_since = time.monotonic()
            # Read first: what is handed over after it is refused.
            ended = self._stopping
            entries: list[_Entry] = []
            try:
                if self._failing_since is not None:
                    # While it fails, what waits stays where it is counted.
                    self._try_again()
                entries = self._take()
                self._make_lines(entries)
                self._make_durable(entries, last=ended)
            except OSError as error:
                self._fail(error.strerror or str(error), entries)
            except Exception:
                # A bug: whatever it is, nothing may be changed while it is not known what was recorded.
                log.exception("records of the audit log may be lost: %d", len(entries))
                self._fail("an internal error", entries)
            self._busy_since = None
        if self._failing_since is not None:
            log.critical(
                "stopped with %d records and %d bytes that the audit log could not be given: %s",
                len(self._waiting),
                self._journal.unsynced_bytes,
                self._why,
            )

    def _take(self) -> list[_Entry]:
        with self._lock:
            entries, self._waiting = self._waiting, []
            self._waiting_bytes = 0
        return entries

    def _make_lines(self, entries: list[_Entry]) -> None:
        for number, each in enumerate(entries):
            self._journal.append(each.record, each.time_ns, each.revision)
            if number % _LINES_AT_ONCE == _LINES_AT_ONCE - 1:
                time.sleep(0)
        self._journal.flush()

    def _make_durable(self, entries: list[_Entry], *, last: bool) -> None:
        now = time.monotonic()
        changes = [each for each in entries if each.durable is not None]
        if changes or last or now - self._synced_at >= _SYNCED_EVERY_S:
            if self._journal.unsynced_bytes:
                self._synced = self._journal.head
                self._journal.sync(time.time_ns())
            self._synced_at = now
        for each in changes:
            if each.revision is not None:
                self._recorded.add(each.revision)
        due = last or self._newly_checked or now - self._noted_at >= _SYNCED_EVERY_S
        if due and self._synced != self._noted:
            self._note_head(self._synced, now)
        if changes:
            self._tell(partial(_complete, changes))

    def _note_head(self, head: Head, now: float) -> None:
        self._newly_checked = False
        self._journal.note_head(head, self._recorded.upto)
        self._noted, self._noted_at = head, now

    def _fail(self, why: str, entries: list[_Entry]) -> None:
        now = time.monotonic()
        self._why = why
        if self._failing_since is None:
            self._failing_since = now
            self._said_at = 0.0
        if now - self._said_at >= _SAID_EVERY_S or self._said_at == 0.0:
            self._said_at = now
            log.critical(
                "the audit log %s can't be written: %s. Changes are refused, and in time all calls",
                self.folder,
                self._why,
            )
        with self._lock:
            waiting = list(self._waiting)
        # Those of `entries` stand in the journal's buffer, the others wait here: all are written when that can be.
        for each in (*entries, *waiting):
            if each.durable is not None and not each.durable.done():
                each.durable.set_exception(AuditUnavailable(f"done, but not recorded yet: {self._why}"))
        for each in entries:
            if each.revision is not None:
                self._recorded.add(each.revision)

    def _try_again(self) -> None:
        """Write what could not be; then go on as before, but not before the head could be written too."""
        head = self._journal.head
        self._journal.sync(time.time_ns())
        self._synced = head
        self._note_head(head, time.monotonic())
        self._resume()

    def _resume(self) -> None:
        assert self._failing_since is not None  # noqa: S101 - asked only while it fails
        seconds = time.monotonic() - self._failing_since
        with self._lock:
            refused, self._refused = self._refused, 0
        log.warning("the audit log is written again, after %.1f s; %d calls went unrecorded, refused", seconds, refused)
        self._failing_since = None
        event = {"event": "resumed", "after_s": round(seconds, 1), "why": self._why, "refused_calls": refused}
        self._journal.append(json.dumps(event, separators=(",", ":")).encode(), time.time_ns())
        self._why = ""


def _complete(changes: Sequence[_Entry]) -> None:
    for each in changes:
        if each.durable is not None and not each.durable.done():
            each.durable.set_result(None)
