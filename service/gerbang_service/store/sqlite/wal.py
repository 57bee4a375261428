"""SQLite's write-ahead log: moved into the database file from time to time, kept when the disk has lied.

When an fsync fails, the kernel takes what it could not write for written, and the next fsync succeeds. For what is
appended to the log that does no harm: SQLite rolls back, and writes the same place of the log anew. It does harm when
the log is moved into the database file. As long as a query reads an older state, only a part is moved, and SQLite notes
that part as done without an fsync, which comes with the rest. If that one fails, the next attempt moves only the rest,
succeeds, and empties the log: acknowledged changes would be on no disk any more. So after an fsync of the database file
has failed, the log is not moved any more, by any process, until all have ended: who opens the database first then
reads the log from its beginning and moves all of it. Until then the log holds everything, and grows.

If it was the fsync of a part, changes are refused as well until then: SQLite reads the pages of that part from the
database file, which may have lost them, and a change made from an old page would spoil what the log holds.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sqlite3
from pathlib import Path
from typing import Final

from gerbang_service.store.sqlite.scrub import logged_pages, scrub

log = logging.getLogger(__name__)

# Moved when it is larger than that, bytes: a thousand pages, as SQLite itself would.
_LARGEST: Final = 1000 * 8192
# In the data folder while the log must be kept, for other processes; removed by who opens the folder next.
KEPT_FILE: Final = "LOG_KEPT"
# What it holds when changes must not be made either.
_DISTRUSTED: Final = "the database file may have lost pages\n"
_SYNC_FAILURES: Final = {"SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC"}


def read_anew(database: Path) -> None:
    """Before the first connection: have SQLite read the whole log, whatever was noted as moved.

    It does so by itself, but for a process that still has the database open to look at it.
    """
    if database.with_name(KEPT_FILE).exists():
        database.with_name(f"{database.name}-shm").unlink(missing_ok=True)


def moved(database: Path) -> None:
    """After the last connection of the process that checks the folder was closed: the log is as good as new."""
    database.with_name(KEPT_FILE).unlink(missing_ok=True)


class LogKept(Exception):
    """The log can't be moved before the server is started again; the message says why."""


class WriteAheadLog:
    """The log of a database. Belongs to the thread that writes, which keeps other processes from writing."""

    def __init__(self, connection: sqlite3.Connection, database: Path) -> None:
        """Take over the log; `connection` is the one that moves it."""
        self._connection = connection
        self._log = database.with_name(f"{database.name}-wal")
        self._kept_file = database.with_name(KEPT_FILE)
        # Open as long as the process: closing it would drop the locks that SQLite has on the file.
        self._database = os.open(database, os.O_RDWR | os.O_CLOEXEC)
        self._kept = self._distrusted = False
        self._unscrubbed: set[int] = set()

    @property
    def kept(self) -> bool:
        """Whether it must not be moved."""
        return self._kept or self._kept_file.exists()

    @property
    def distrusted(self) -> bool:
        """Whether the database file may have lost pages that SQLite believes to be there."""
        try:
            return self._distrusted or self._kept_file.read_text() == _DISTRUSTED
        except OSError:
            return False

    def trim(self) -> None:
        """Move it when it is large. What can't be moved stays in it and is no less durable, so nothing is raised."""
        try:
            if self._log.stat().st_size > _LARGEST and not self.kept:
                self.empty()
        except (sqlite3.Error, OSError, LogKept) as error:
            log.error("the write-ahead log could not be moved into the database, and grows: %s", error)  # noqa: TRY400

    def empty(self) -> bool:
        """Move all of it, make it empty, and overwrite what the moved pages hold of deleted rows.

        Tells whether that was done, or queries still read the log.

        Raises LogKept, and sqlite3.Error.
        """
        if self.kept:
            raise LogKept("an fsync of the database file failed: the server has to be started again")
        # Not SQLite's own waiting for readers: it would keep all other processes from writing, for ten seconds.
        (patience,) = self._connection.execute("PRAGMA busy_timeout").fetchone()
        self._unscrubbed |= logged_pages(self._log)
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                os.fsync(self._database)  # of the part that was moved
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname in _SYNC_FAILURES:
                self._keep(str(error))
            raise
        except OSError as error:
            self._distrusted = True
            self._keep(str(error))
            raise LogKept(f"an fsync of the database file failed: {error.strerror}") from error
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {patience}")
        return not busy and self._scrub()

    def _scrub(self) -> bool:
        """Overwrite what the moved pages hold of deleted rows, and tell whether that was done."""
        try:
            done = scrub(self._connection, self._database, self._log, self._unscrubbed)
        except OSError as error:
            raise sqlite3.OperationalError(f"what is left of it could not be overwritten: {error.strerror}") from error
        if done:
            self._unscrubbed.clear()
        return done

    def _keep(self, why: str) -> None:
        log.critical("an fsync of the database file failed (%s): the log is kept until the server starts again", why)
        self._kept = True
        try:
            self._kept_file.write_text(_DISTRUSTED if self._distrusted else "")
        except OSError as error:
            log.critical("other processes could not be told to keep the log: %s", error.strerror)

    def close(self) -> None:
        """Close the connection; what is kept, SQLite would move when the last one is closed."""
        if self.kept:
            # Never closed: the end of the process drops it, as a kill would.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
        else:
            self._connection.close()
