"""The durable side of the service: one writer, any number of readers, on SQLite."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from gerbang_service.domain.errors import StartupError, StoreUnavailable
from gerbang_service.store.sealing.cipher import AnyCipher
from gerbang_service.store.sealing.keys import OperatorKey
from gerbang_service.store.sqlite import reading
from gerbang_service.store.sqlite.connection import DATABASE_FILE, Connection
from gerbang_service.store.sqlite.data_folder import DataFolder
from gerbang_service.store.sqlite.transaction import Transaction
from gerbang_service.store.sqlite.vault import seal_meta
from gerbang_service.store.sqlite.wal import LogKept, WriteAheadLog

T = TypeVar("T")
log = logging.getLogger(__name__)

_CHECKPOINT_WAIT_S = 1.0
_CHECKPOINT_RETRY_S = 0.01
# The same failure is said again so often, seconds.
_SAID_EVERY_S = 60.0


class Store:
    """An open data folder. `write_group` belongs to one thread; everything else may be called from any."""

    def __init__(self, folder: Path, key: OperatorKey | None = None, *, supervised: bool = False) -> None:
        """Open or create `folder`; raise StartupError when that can't be.

        `key`: what it is encrypted with, None for one in the clear; as what it is, it can't be opened as the other.
        `supervised`: as one of several workers, whose supervisor has the folder.
        """
        self._folder = DataFolder(folder, key, supervised=supervised)
        self._writer = self._folder.connect()
        self._log = WriteAheadLog(self._writer, self.folder / DATABASE_FILE)
        self._readers = threading.local()
        # Why the last write failed, and when that was said.
        self._said = "", 0.0

    @property
    def folder(self) -> Path:
        """The data folder."""
        return self._folder.folder

    @property
    def cipher(self) -> AnyCipher:
        """What values are sealed with; other keys that protect this folder's data are derived from it."""
        return self._folder.cipher

    def model(self) -> tuple[str, int] | None:
        """Return the (fingerprint, dimension) that the folder was made for, or None for a new one."""
        with self.reading() as connection:
            rows = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        return (rows["model"], rows["dimension"]) if "model" in rows else None

    def bind_model(self, model: str, dimension: int, *, ignore_others: bool) -> None:
        """Record the recogniser that this folder's templates are of.

        Raises StartupError when templates of another are stored, naming both, unless `ignore_others`: then those stay
        stored and are never compared.
        """
        with self.reading() as connection:
            others = reading.other_models(connection, model)
        if others and not ignore_others:
            named = ", ".join(f"{count} of recogniser {name}" for name, count in others.items())
            raise StartupError(
                f"{self.folder} holds templates: {named}; the face pack's recogniser is {model}. Templates of "
                "different recognisers are never compared: start with the pack they were made with, or enrol again in "
                "a new folder, or say other_models=ignore to leave them unused"
            )
        if others:
            log.warning("ignoring stored templates of other recognisers: %s", others)
        if self.model() == (model, dimension):
            return  # a disk that is full keeps nobody from starting to search
        try:
            with self._folder.writing():
                self._writer.execute("BEGIN IMMEDIATE")
                for key, value in (("model", model), ("dimension", dimension)):
                    self._writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
                seal_meta(self._writer)
                self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            raise StartupError(f"{self.folder}: the recogniser can't be recorded: {error}") from error

    def write_group(
        self,
        operations: Sequence[Callable[[Transaction], T]],
        *,
        before: Callable[[Connection], None] = lambda _: None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> list[T | Exception]:
        """Run operations in order in one transaction and commit it durably; return each one's result or exception.

        An operation that raises is rolled back alone. When the database itself fails, none is kept and every one of
        them gets StoreUnavailable. `before` is called first, in the transaction: it sees all that others committed.
        `meanwhile` is called now and then while other processes write. What these two raise passes through.
        """
        try:
            with self._folder.writing(meanwhile):
                if self._log.distrusted:
                    raise sqlite3.OperationalError("an fsync of the database file failed; start the server again")
                results = self._commit(operations, before)
                self._log.trim()
                self._said = "", 0.0
                return results
        except sqlite3.Error as error:
            self._say(str(error))
            failure = StoreUnavailable(f"the change could not be written: {error}")
            return [failure] * len(operations)

    def _say(self, why: str) -> None:
        # It is tried again and again: a disk must not be filled with how full it is.
        now = time.monotonic()
        if why != self._said[0] or now - self._said[1] > _SAID_EVERY_S:
            self._said = why, now
            log.error("write failed, nothing of it is kept: %s", why)

    def _commit(
        self, operations: Sequence[Callable[[Transaction], T]], before: Callable[[Connection], None]
    ) -> list[T | Exception]:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            before(self._writer)
            results = self._run(operations)
            self._writer.execute("COMMIT")
        except BaseException:
            # Whatever it was: a transaction left open would keep all others from writing.
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            raise
        return results

    def _run(self, operations: Sequence[Callable[[Transaction], T]]) -> list[T | Exception]:
        transaction = Transaction(self._writer, reading.revision(self._writer))
        results: list[T | Exception] = []
        for operation in operations:
            before = transaction.revision
            self._writer.execute("SAVEPOINT operation")
            try:
                results.append(operation(transaction))
            except sqlite3.Error:
                raise
            except Exception as error:  # noqa: BLE001 - handed to its caller; the others of the group go on
                self._writer.execute("ROLLBACK TO operation")
                transaction.revision = before
                results.append(error)
            self._writer.execute("RELEASE operation")
        self._writer.execute("UPDATE meta SET value = ? WHERE key = 'revision'", (transaction.revision,))
        seal_meta(self._writer)
        return results

    def erase_deleted(
        self, meanwhile: Callable[[], object] = lambda: None, hurried: Callable[[], bool] = lambda: False
    ) -> str | None:
        """Move the write-ahead log into the database and empty it, so that deleted content is in neither.

        Waits for queries that still read the log, up to a second or until `hurried`, and calls `meanwhile` now and
        then; what that raises passes through. Returns None, or why it could not be done.
        """
        deadline = time.monotonic() + _CHECKPOINT_WAIT_S
        while True:
            try:
                with self._folder.writing(meanwhile):
                    emptied = self._log.empty()
            except (sqlite3.Error, OSError, LogKept) as error:
                return str(error)
            if emptied:
                return None
            meanwhile()
            if hurried() or time.monotonic() > deadline:
                return "queries kept reading it"
            time.sleep(_CHECKPOINT_RETRY_S)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend this thread's connection for queries of `reading`; sqlite3.Error becomes StoreUnavailable."""
        try:
            connection: Connection | None = getattr(self._readers, "connection", None)
            if connection is None:
                connection = self._folder.connect(readonly=True)
                self._readers.connection = connection
            yield connection
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the database can't be read: {error}") from error

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Lend this thread's connection, as `reading` does, for queries that must all see the same state."""
        with self.reading() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    def close(self) -> None:
        """Close the writer and give the folder back; readers' connections end with their threads.

        The write-ahead log is emptied, as nothing that is in it could be told from damage to it by who comes next.
        """
        failure = self.erase_deleted(hurried=lambda: True)
        if failure is not None:
            log.warning("the write-ahead log is left as it is: %s", failure)
        self._log.close()
        self._folder.close()
