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

from gerbang_service.domain.errors import DataDamaged, StartupError, StoreUnavailable
from gerbang_service.store.following import changes_since
from gerbang_service.store.port import AboutSubject, Contents, Follower, Operation, Outcome
from gerbang_service.store.sealing.cipher import AnyCipher
from gerbang_service.store.sealing.keys import OperatorKey
from gerbang_service.store.sqlite.connection import DATABASE_FILE, Connection
from gerbang_service.store.sqlite.data_folder import DataFolder
from gerbang_service.store.sqlite.epoch import epoch_of
from gerbang_service.store.sqlite.gone_lists import leave_gone_lists
from gerbang_service.store.sqlite.loading import contents, other_models, template_count
from gerbang_service.store.sqlite.meta import model_of, revision_of
from gerbang_service.store.sqlite.reading import SqliteReader
from gerbang_service.store.sqlite.transaction import SqliteTransaction
from gerbang_service.store.sqlite.vault import check_meta, seal_meta
from gerbang_service.store.sqlite.wal import LogKept, WriteAheadLog

T = TypeVar("T")
log = logging.getLogger(__name__)

_CHECKPOINT_WAIT_S = 1.0
_CHECKPOINT_RETRY_S = 0.01
# So long members leave a deleted list before others' turn, seconds: while changes wait, and while none does.
_LEAVE_FOR_S, _LEAVE_IDLE_S = 0.1, 0.5
# The same failure is said again so often, seconds.
_SAID_EVERY_S = 60.0


class SqliteStore:
    """An open data folder: a port.Store."""

    def __init__(
        self, folder: Path, key: OperatorKey | None = None, *, supervised: bool = False, followed: bool = False
    ) -> None:
        """Open or create `folder`; raise StartupError when that can't be.

        `key`: what it is encrypted with, None for one in the clear; as what it is, it can't be opened as the other.
        `supervised`: as one of several workers, whose supervisor has the folder. `followed`: whether others follow what
        is written here, as workers do each other.
        """
        self._folder = DataFolder(folder, key, supervised=supervised)
        self._writer = self._folder.connect()
        self._log = WriteAheadLog(self._writer, self.folder / DATABASE_FILE)
        self._readers = threading.local()
        self._followed = followed or supervised
        # Of which recogniser templates are told to who follows.
        self._model = ""
        # Why the last write failed, and when that was said.
        self._said = "", 0.0

    @property
    def folder(self) -> Path:
        """The data folder."""
        return self._folder.folder

    def file_sizes(self) -> dict[str, int]:
        """Return the bytes of the database's files, by what they are."""
        return self._folder.file_sizes()

    @property
    def cipher(self) -> AnyCipher:
        """What values are sealed with; other keys that protect this folder's data are derived from it."""
        return self._folder.cipher

    @property
    def epoch(self) -> str:
        """A random id of the database's history."""
        with self._snapshot() as connection:
            return epoch_of(connection)

    def model(self) -> tuple[str, int] | None:
        """Return the (fingerprint, dimension) that the folder was made for, or None for a new one."""
        with self._snapshot() as connection:
            return model_of(connection)

    def bind_model(self, model: str, dimension: int, *, ignore_others: bool) -> None:
        """Record the recogniser that this folder's templates are of.

        Raises StartupError when templates of another are stored, naming both, unless `ignore_others`: then those stay
        stored and are never compared.
        """
        with self._snapshot() as connection:
            others = other_models(connection, model)
        if others and not ignore_others:
            named = ", ".join(f"{count} of recogniser {name}" for name, count in others.items())
            raise StartupError(
                f"data folder {self.folder} holds templates: {named}; the face pack's recogniser is {model}. "
                "Templates of different recognisers are never compared: start with the pack they were made with, or "
                "enrol again in a new folder, or leave them unused with --other-models ignore"
            )
        if others:
            log.warning("ignoring stored templates of other recognisers: %s", others)
        self._model = model
        if self.model() == (model, dimension):
            return  # a disk that is full keeps nobody from starting to search
        try:
            with self._folder.writing(), self._changing():
                for key, value in (("model", model), ("dimension", dimension)):
                    self._writer.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
                seal_meta(self._writer)
        except sqlite3.Error as error:
            raise StartupError(f"{self.folder}: the recogniser can't be recorded: {error}") from error

    def write(
        self,
        operations: Sequence[Operation[T]],
        *,
        follower: Follower | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> list[Outcome[T] | Exception]:
        """Run operations in order in one transaction, commit it durably, and return what became of each: see Store.

        Others keep from writing for as long as that takes.
        """
        try:
            with self._folder.writing(meanwhile):
                with self._changing():
                    self._bring_up(follower, self._writer)
                    results = self._run(operations)
                self._log.trim()
                self._said = "", 0.0
                return results
        except (sqlite3.Error, DataDamaged) as error:
            self._say(str(error))
            return [StoreUnavailable(f"the change could not be written: {error}") for _ in operations]

    def probe(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Write something small, durably. Raises StoreUnavailable."""
        try:
            with self._folder.writing(meanwhile):
                with self._changing():
                    # The time, as SQLite does not write what is there already.
                    self._writer.execute("INSERT OR REPLACE INTO meta VALUES ('tried', ?)", (time.time_ns(),))
                self._log.trim()
        except sqlite3.Error as error:
            self._say(str(error))
            raise StoreUnavailable(f"nothing can be written: {error}") from error

    def _say(self, why: str) -> None:
        # It is tried again and again: a disk must not be filled with how full it is.
        now = time.monotonic()
        if why != self._said[0] or now - self._said[1] > _SAID_EVERY_S:
            self._said = why, now
            log.error("write failed, nothing of it is kept: %s", why)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Begin a transaction, and commit it at the end."""
        if self._log.distrusted:
            raise sqlite3.OperationalError("an fsync of the database file failed; start the server again")
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            # Whatever it was: a transaction left open would keep all others from writing.
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            raise

    def _run(self, operations: Sequence[Operation[T]]) -> list[Outcome[T] | Exception]:
        check_meta(self._writer)  # or earlier rows that were put back, with their tally, would be sealed anew
        begun = revision_of(self._writer)
        transaction = SqliteTransaction(self._writer, begun)
        transaction.look_for([each.subject_id for each in operations if isinstance(each, AboutSubject)])
        results = [self._undone_alone(operation, transaction) for operation in operations]
        transaction.finish()
        if transaction.revision() != begun:
            self._writer.execute("UPDATE meta SET value = ? WHERE key = 'revision'", (transaction.revision(),))
            seal_meta(self._writer)
        return results

    def _undone_alone(self, operation: Operation[T], transaction: SqliteTransaction) -> Outcome[T] | Exception:
        """Run an operation; what it raises, except errors of the database, undoes it alone, and is returned."""
        transaction.begin()
        try:
            result = operation(transaction)
            if self._followed and result.change is not None:
                transaction.record(result.change)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - handed to its caller; the others of the group go on
            transaction.undo()
            return error
        transaction.end()
        return result

    def follow(self, follower: Follower) -> None:
        """Tell a follower what others wrote since its revision. Raises FellBehind, StoreUnavailable."""
        with self._snapshot() as connection:
            try:
                self._bring_up(follower, connection)
            except DataDamaged as error:
                raise StoreUnavailable(f"what others wrote can't be read: {error}") from error

    def _bring_up(self, follower: Follower | None, connection: Connection) -> None:
        """Bring a follower to the state that a transaction sees."""
        if follower is not None:
            changes, revision = changes_since(SqliteReader(connection), follower, self._model)
            if revision != follower.revision:
                follower.apply(changes, revision)

    def erase(
        self, meanwhile: Callable[[], object] = lambda: None, hurried: Callable[[], bool] = lambda: False
    ) -> str | None:
        """Erase what was deleted: see Store. Who was on a deleted list leaves it; the write-ahead log is emptied."""
        # The log is moved into the database first, so that deleted content is in neither.
        begun = time.monotonic()
        try:
            while left := self._leave_gone_lists(meanwhile):
                if time.monotonic() - begun > (_LEAVE_FOR_S if hurried() else _LEAVE_IDLE_S):
                    break
        except sqlite3.Error as error:
            return str(error)
        why = self._empty_log(meanwhile, hurried)
        return why or ("those who were on a deleted watchlist still leave it" if left else None)

    def _empty_log(self, meanwhile: Callable[[], object], hurried: Callable[[], bool]) -> str | None:
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
                return "queries kept reading the write-ahead log"
            time.sleep(_CHECKPOINT_RETRY_S)

    def _leave_gone_lists(self, meanwhile: Callable[[], object]) -> bool:
        """Have some leave the lists that were deleted; tell whether more are left."""
        if not self._writer.execute("SELECT 1 FROM gone_lists").fetchone():
            return False
        meanwhile()
        with self._folder.writing(meanwhile):
            with self._changing():
                left = leave_gone_lists(self._writer)
            self._log.trim()  # each step touches pages all over
        return left

    @contextmanager
    def reading(self) -> Iterator[SqliteReader]:
        """Lend queries that all see the same state, on this thread's connection; sqlite3.Error is StoreUnavailable."""
        with self._snapshot() as connection:
            yield SqliteReader(connection)

    def template_count(self, model: str) -> int:
        """Return how many templates of a recogniser are stored."""
        with self._snapshot() as connection:
            return template_count(connection, model)

    @contextmanager
    def contents(self, model: str) -> Iterator[Contents]:
        """Lend all that is stored, with the templates of a recogniser."""
        with self._snapshot() as connection:
            yield contents(connection, model)

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        try:
            connection: Connection | None = getattr(self._readers, "connection", None)
            if connection is None:
                connection = self._folder.connect(readonly=True)
                self._readers.connection = connection
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                # An error may have ended it, which is then not hidden by another.
                if connection.in_transaction:
                    connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the database can't be read: {error}") from error

    def close(self) -> None:
        """Close the writer and give the folder back; readers' connections end with their threads.

        The write-ahead log is emptied, as nothing that is in it could be told from damage to it by who comes next.
        """
        failure = self.erase(hurried=lambda: True)
        if failure is not None:
            log.warning("the write-ahead log is left as it is: %s", failure)
        self._log.close()
        self._folder.close()
