"""What commands do with a data folder's files: recorded in a log of their own, beside that of the server.

The server's log is written by the server alone, in one chain; a command may be run while it is, or while there is none.
So commands have a chain of their own, which each takes for as long as a record takes. The server's log says where it
ends, at each start and orderly stop of the server.
"""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gerbang_service.audit.chain import NOTHING, Head, Seal
from gerbang_service.audit.events import COMMAND
from gerbang_service.audit.files import COMMANDS, InUse
from gerbang_service.audit.journal import Journal
from gerbang_service.audit.unkeyed import from_text, unkeyed_heads
from gerbang_service.domain.errors import StartupError

_FILE_BYTES = 64_000_000
# How long another command may have the log, seconds; and how often it is tried.
_WAIT_S, _TRIED_EVERY_S = 10.0, 0.05
_NOBODY = (1 << 32) - 1


class CommandLog:
    """The log of commands in a server's audit folder."""

    def __init__(self, folder: Path, key: bytes | None, unkeyed: str | None) -> None:
        """`folder`: the audit log's. `key`: derived for it, None for data in the clear.

        `unkeyed`: what the database keeps of before encryption, None when that is not known yet. Nothing is opened.
        """
        self._folder, self._key, self._unkeyed = folder, key, unkeyed

    @contextmanager
    def recorded(self, command: str, **facts: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - what JSON takes
        """Record a command: that it begins, durably, before it does; then what became of it, durably.

        Lends what is recorded at the end of what it did, to be filled. Raises StartupError when it can't be recorded;
        at the beginning nothing is done then.
        """
        who = {"command": command, **_who(), **facts}
        self._write({"event": COMMAND, "state": "begun", **who})
        done: dict[str, Any] = {}
        try:
            yield done
        except BaseException as error:
            # Not its text, which may quote what was read.
            with suppress(StartupError):
                self._write({"event": COMMAND, "state": "failed", **who, **done, "error": type(error).__name__})
            raise
        self._write({"event": COMMAND, "state": "done", **who, **done})

    def note(self, command: str, state: str, **facts: Any) -> None:  # noqa: ANN401
        """Record one state of a command that itself changes what it is recorded with. Raises StartupError."""
        self._write({"event": COMMAND, "state": state, "command": command, **_who(), **facts})

    def _write(self, record: dict[str, Any]) -> None:
        now = time.time_ns()
        try:
            journal = self._opened(now)
            try:
                for each in (*journal.findings, record):
                    journal.append(json.dumps(each, separators=(",", ":"), default=str).encode(), now)
                journal.sync(now)
                journal.note_head(journal.head, None)
            finally:
                journal.close()
        except OSError as error:
            raise StartupError(f"audit folder {self._folder / COMMANDS}: {error.strerror}") from error

    def _opened(self, now_ns: int) -> Journal:
        deadline = time.monotonic() + _WAIT_S
        while True:
            try:
                unkeyed = self._of_before()
                return Journal(self._folder / COMMANDS, Seal(self._key), _FILE_BYTES, now_ns, unkeyed=unkeyed)
            except InUse:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_TRIED_EVERY_S)

    def _of_before(self) -> Head:
        """Return where in this log ends what is of before encryption."""
        if self._key is None:
            return NOTHING
        heads = unkeyed_heads(self._folder) if self._unkeyed is None else from_text(self._unkeyed)
        return heads.get(COMMANDS, NOTHING)


def _who() -> dict[str, Any]:
    """Return who runs this: the user, who logged in if that is known and another, and the process."""
    who: dict[str, Any] = {"user": _name(os.getuid()), "uid": os.getuid()}
    with suppress(OSError, ValueError):
        login = int(Path("/proc/self/loginuid").read_text())
        if login not in (_NOBODY, os.getuid()):
            who["login"] = _name(login)
    return {**who, "process": os.getpid()}


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
