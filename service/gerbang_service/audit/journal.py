"""A log being written: lines appended to the last file, a new file begun when that is large."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from gerbang_service.audit import files
from gerbang_service.audit.chain import NOTHING, Head, Line, Seal, take_apart
from gerbang_service.audit.head import HeadInvalid, Noted, read_head, write_head
from gerbang_service.audit.times import rfc3339
from gerbang_service.domain.errors import StartupError
from gerbang_service.store.folders import sync_folder

log = logging.getLogger(__name__)

# Written at once, at most, bytes.
_PIECE = 1 << 20


class Journal:
    """A log, open for appending, from its constructor to `close`. Belongs to one thread at a time.

    `findings`: records that are due of what was found when it was opened; `noted`: what its head file said then.
    `highest_revision`: none of a higher one is in the log so far, for the heads of new files; None when not known.
    """

    def __init__(
        self,
        folder: Path,
        seal: Seal,
        file_bytes: int,
        now_ns: int,
        *,
        unkeyed: Head = NOTHING,
        revision: int | None = None,
        anew: bool = False,
    ) -> None:
        """Open the log of a folder, or begin one. A new file is begun once the last has `file_bytes`, or now (`anew`).

        `unkeyed`: where what is of before encryption ends. `revision`: the database's, when the log knows none higher.
        What a kill left of a line is moved aside. Raises StartupError when another process has it or it can't be used.
        """
        self._folder, self._seal, self._file_bytes = folder, seal, file_bytes
        self.findings: list[dict[str, Any]] = []
        self.highest_revision = revision
        self._sound = self._head_keyed = True
        self._buffer = bytearray()
        self._written = 0
        self._file = -1
        self._size = 0
        self._number = 0
        self._names_durable = True
        self._held = files.lock(folder)
        try:
            self.noted = self._read_head()
            self._open(now_ns, unkeyed, anew=anew)
            if self.noted is None:
                # Before the first record is on disk: a log without a head is none that a crash left behind.
                write_head(folder, seal, Noted(NOTHING, None))
        except OSError as error:
            os.close(self._held)
            raise StartupError(f"audit folder {folder}: {error.strerror}") from error

    def _read_head(self) -> Noted | None:
        try:
            noted = read_head(self._folder, self._seal)
            self._head_keyed = noted is None or noted.keyed
        except HeadInvalid as error:
            self._find("head_invalid", f"the head file is not the log's: {error}")
            return Noted(NOTHING, None)
        if noted is None and files.log_files(self._folder):
            self._find("head_missing", "there is a log, but no head file")
        return noted

    def _open(self, now_ns: int, unkeyed: Head, *, anew: bool) -> None:
        existing = files.log_files(self._folder)
        last = self._last_line(existing)
        self.head = NOTHING if last is None else last.head
        if self._seal.keyed:
            self._check_key(last, unkeyed)
        if self.noted is not None and self.noted.head.sequence > self.head.sequence:
            missing = {"first": self.head.sequence + 1, "last": self.noted.head.sequence}
            self._find("records_missing", "the log ends before what its head file says", **missing)
            # Leaving out the numbers of what is gone, the gap stays to be seen.
            self.head = Head(self.noted.head.sequence, self.head.digest)
        if last is None or not self._continues(existing[-1], last) or anew:
            self._begin(files.number_of(existing[-1]) + 1 if existing else 1, now_ns)

    def _check_key(self, last: Line | None, unkeyed: Head) -> None:
        """Look whether what has no code of the key is what was there before the folder was encrypted."""
        if last is not None and last.mac is None:
            if last.head != unkeyed:
                self._find("unkeyed", "the last record has no code of the key, and is not of before encryption")
                return
            self._find("key_begun", "the log has a key from here on; what is before could be written anew by anybody")
        elif not self._head_keyed and (last is not None or self.noted != Noted(NOTHING, None)):
            self._find("head_invalid", "the head file is of no key, and the log is of one")
            return
        if self.noted is not None and not self._head_keyed:
            # Before there is a record with a code: a head without one is then none that a crash left behind.
            write_head(self._folder, self._seal, self.noted)

    def _last_line(self, existing: list[Path]) -> Line | None:
        """Return the last record; what comes after it in its file is a torn line, and moved aside."""
        for file in reversed(existing):
            found = files.ending(file)
            if (torn := files.move_torn(file, found.size)) is not None:
                self._find("torn_line", "a line that was not written to its end was moved aside", **torn)
            if not found.sound:
                self._find("unreadable", "what follows the last record is none", file=file.name)
            self._sound = self._sound and found.sound
            if found.line is not None:
                return found.line
        return None

    def _continues(self, file: Path, last: Line) -> bool:
        """Open the last file to go on with it; False when a new one has to be begun."""
        size = file.stat().st_size
        if _named(file) not in (None, files.log_name(self._folder)):
            self._find("other_log", "the last file is another log's", file=file.name)
            return False
        if self._seal.keyed and last.mac is not None and not self._seal.vouches(last):
            self._find("other_key", "the last record is of another key")
            return False
        if not 0 < size < self._file_bytes or (last.mac is not None) != self._seal.keyed or not self._sound:
            return False
        self._file, self._size, self._number = os.open(file, os.O_RDWR), size, files.number_of(file)
        return True

    def _find(self, event: str, text: str, **facts: Any) -> None:  # noqa: ANN401 - what JSON takes
        level = logging.WARNING if event in ("torn_line", "key_begun") else logging.CRITICAL
        log.log(level, "audit log %s: %s %s", self._folder, text, facts or "")
        self.findings.append({"event": event, **facts})

    def _begin(self, number: int, now_ns: int) -> None:
        """Begin a file. Raises OSError; then nothing has changed."""
        flags = os.O_CREAT | os.O_RDWR | os.O_EXCL
        begun = os.open(self._folder / files.name_of(number), flags, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size, self._number = begun, 0, number
        self._names_durable = False
        name = files.log_name(self._folder)
        about = {"event": "file", "format": 1, "file": number, "log": name, "previous": self.head.digest.hex()}
        if self._seal.keyed:
            about["key"] = self._seal.key_id
        about["revision"] = self.highest_revision
        self.append(json.dumps(about, separators=(",", ":")).encode(), now_ns)

    @property
    def unsynced_bytes(self) -> int:
        """How much is not known to be on disk."""
        return len(self._buffer)

    def append(self, record: bytes, time_ns: int, revision: int | None = None) -> None:
        """Add a record, a JSON object in bytes, to what `flush` writes.

        `time_ns`: when, since the epoch; `revision`: of the change that it is of.
        """
        if revision is not None:
            self.highest_revision = max(revision, self.highest_revision or 0)
        sequence = self.head.sequence + 1
        body = b'{"sequence":%d,"time":"%b",%b' % (sequence, rfc3339(time_ns).encode(), record[1:-1])
        line, digest = self._seal.close(body, self.head.digest)
        self._buffer += line
        self.head = Head(sequence, digest)

    def flush(self) -> None:
        """Write what was appended. Raises OSError; what could not be written is kept for the next time."""
        while self._written < len(self._buffer):
            piece = bytes(self._buffer[self._written : self._written + _PIECE])
            # At its own place, so that what a failed attempt wrote a part of is written over by the same bytes.
            self._written += os.pwrite(self._file, piece, self._size + self._written)

    def sync(self, now_ns: int) -> None:
        """Make everything that was appended durable; then begin a new file if it is time. Raises OSError."""
        self.flush()
        try:
            os.fdatasync(self._file)
        except OSError:
            # The kernel may have thrown away what it could not write, and would not say so again: all of it once more.
            self._written = 0
            raise
        if not self._names_durable:
            sync_folder(self._folder)
            self._names_durable = True
        self._size += len(self._buffer)
        self._buffer.clear()
        self._written = 0
        if self._size >= self._file_bytes:
            self._begin(self._number + 1, now_ns)

    def note_head(self, head: Head, revision: int | None) -> None:
        """Write the head file. `head`: of a record that is on disk. Raises OSError."""
        write_head(self._folder, self._seal, Noted(head, revision))

    def close(self) -> None:
        """Give the folder back; what was not synced is lost."""
        if self._file >= 0:
            os.close(self._file)
        os.close(self._held)


def _named(file: Path) -> str | None:
    """Return the name of the log that a file says it is of; None for one that does not say."""
    with file.open("rb") as opened:
        first = take_apart(opened.readline().removesuffix(b"\n"))
    try:
        return None if first is None else first.record().get("log")
    except ValueError:
        return None
