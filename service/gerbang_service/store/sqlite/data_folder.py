"""The data folder and the connections to its database."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from gerbang_service.domain.errors import DataDamaged, StartupError, StoreUnavailable
from gerbang_service.store.folders import make_folder, sync_folder
from gerbang_service.store.sealing.cipher import NO_CIPHER, AnyCipher
from gerbang_service.store.sealing.keys import OperatorKey
from gerbang_service.store.sqlite.connection import DATABASE_FILE, LOCK_FILE, WRITE_FILE, Connection, connect
from gerbang_service.store.sqlite.encrypting import clear_remains, finish_clearing
from gerbang_service.store.sqlite.epoch import begin_epoch
from gerbang_service.store.sqlite.meta import check_settings, revision_of
from gerbang_service.store.sqlite.read_ahead import reading_ahead
from gerbang_service.store.sqlite.schema import migrate
from gerbang_service.store.sqlite.scrub import scrub
from gerbang_service.store.sqlite.sealing_rows import seal_rows
from gerbang_service.store.sqlite.tokens import all_tokens
from gerbang_service.store.sqlite.vault import cipher_for, cipher_of
from gerbang_service.store.sqlite.wal import moved, read_anew
from gerbang_service.store.sqlite.wal_check import log_damage

log = logging.getLogger(__name__)

# How often who waits for its turn to write does something else, seconds.
_MEANWHILE_S = 0.005


class DataFolder:
    """The folder that one server owns, from opening to `close`.

    Raises StartupError when another server has it, when it can't be created or written, when the database is
    damaged or of another kind, or when it needs another key.
    """

    def __init__(self, folder: Path, key: OperatorKey | None = None, *, supervised: bool = False) -> None:
        """`key`: what it is encrypted with; None for one in the clear.

        `supervised`: opened by one of several workers, for whom their supervisor owns and has checked it.
        """
        self.folder = folder
        self.cipher: AnyCipher = NO_CIPHER
        self._lock: TextIO | None = None
        try:
            _make_private(folder)
            if not supervised:
                self._lock = (folder / LOCK_FILE).open("a+")
            self._write_lock = (folder / WRITE_FILE).open("a")
        except OSError as error:
            raise StartupError(f"data folder {folder}: {error.strerror}") from error
        self._waiting = ThreadPoolExecutor(1, "turn")
        try:
            if self._lock is not None:
                self._take(self._lock)
                self._prepare(key)
            else:
                self.cipher = self._cipher(key)
        except BaseException:
            self._write_lock.close()
            if self._lock is not None:
                self._lock.close()
            raise

    @property
    def lock(self) -> int:
        """File descriptor that holds the folder as long as any process has it open."""
        assert self._lock is not None  # noqa: S101 - asked by the owner only
        return self._lock.fileno()

    def _take(self, lock: TextIO) -> None:
        # A lock of the kernel's ends with the process, however that ends; a file with a process id would stay.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise StartupError(
                f"data folder {self.folder} is in use by another gerbang server (process {owner}): "
                "stop that one first, or give this one a folder of its own"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()

    @contextmanager
    def writing(self, meanwhile: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Keep other processes from writing. While they do, `meanwhile` is called again and again.

        SQLite would keep them out too, but who waits for it sleeps and tries again, and may find it taken every time;
        the kernel wakes the next one. Belongs to one thread.
        """
        self._await_turn(meanwhile)
        try:
            yield
        finally:
            self._end_turn()

    def _await_turn(self, meanwhile: Callable[[], object]) -> None:
        try:
            fcntl.flock(self._write_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            turn = self._waiting.submit(fcntl.flock, self._write_lock, fcntl.LOCK_EX)
            try:
                while not wait((turn,), _MEANWHILE_S).done:
                    meanwhile()
                turn.result()
            except BaseException:
                turn.add_done_callback(lambda _: self._end_turn())
                raise

    def _end_turn(self) -> None:
        fcntl.flock(self._write_lock, fcntl.LOCK_UN)

    def _prepare(self, key: OperatorKey | None) -> None:
        """Check and migrate the database, and find its cipher."""
        database = self.folder / DATABASE_FILE
        try:
            _check_log(database)
            read_anew(database)
            with ExitStack() as opened:
                # Closed after the connection: that drops the locks that SQLite has on the file.
                file = os.open(database, os.O_RDWR | os.O_CLOEXEC)
                opened.callback(os.close, file)
                connection = opened.enter_context(closing(self.connect()))
                begun = time.monotonic()
                with reading_ahead(file):
                    _check_pages(connection)
                log.info("checked the pages of the database in %.1f s", time.monotonic() - begun)
                migrate(connection, lambda: cipher_of(connection, key))
                # Who follows it starts anew with the server.
                connection.execute("DELETE FROM changes")
                self.cipher = cipher_for(connection, key, seal_rows)
                check_settings(connection)
                all_tokens(connection)
                begin_epoch(connection, self.folder)
                _erase_remains(connection, file, database)
        except OSError as error:
            raise StartupError(f"database {database}: {error.strerror}") from error
        except (sqlite3.Error, DataDamaged) as error:
            raise StartupError(f"database {database} can't be used: {error}") from error
        except StartupError as error:
            raise StartupError(f"data folder {self.folder}: {error}") from error
        moved(database)

    def _cipher(self, key: OperatorKey | None) -> AnyCipher:
        """Find the cipher of a database that the supervisor has prepared."""
        try:
            with closing(self.connect(readonly=True)) as connection:
                return cipher_of(connection, key)
        except (sqlite3.Error, DataDamaged) as error:
            raise StartupError(f"database {self.folder / DATABASE_FILE} can't be used: {error}") from error

    def connect(self, *, readonly: bool = False) -> Connection:
        """Open a connection with the durability that invariant 1 asks for. Not to be shared by threads."""
        return connect(self.folder / DATABASE_FILE, self.cipher, readonly=readonly)

    def revision(self) -> int:
        """Return the revision of the last change. Raises StoreUnavailable, DataDamaged."""
        try:
            with closing(self.connect(readonly=True)) as connection:
                return revision_of(connection)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the database can't be read: {error}") from error

    def file_sizes(self) -> dict[str, int]:
        """Return the bytes of the database's files, by what they are; 0 for one that is not there."""
        sizes = {}
        for name, file in (("database", DATABASE_FILE), ("write_ahead_log", f"{DATABASE_FILE}-wal")):
            try:
                sizes[name] = (self.folder / file).stat().st_size
            except OSError:
                sizes[name] = 0
        return sizes

    def close(self) -> None:
        """Give the folder back."""
        self._waiting.shutdown()
        self._write_lock.close()
        if self._lock is not None:
            with suppress(OSError):
                self._lock.truncate(0)
            self._lock.close()


def _check_log(database: Path) -> None:
    """Refuse a log of which nothing would be read, and tell of one of which something would not."""
    damage = log_damage(database, owned=True)
    if damage is None:
        return
    if damage.certain:
        raise StartupError(
            f"{damage}: restore a backup; or, knowing what is lost with it, move that file away and start again"
        )
    # Not refused: a failing disk leaves the same where nothing is lost. The audit log knows what was acknowledged.
    log.critical("%s. Compare what is stored with the audit log: docs/operations.md", damage)


def _check_pages(connection: sqlite3.Connection) -> None:
    (damage,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if damage != "ok":
        raise StartupError(f"the database is damaged: {damage}")


def _erase_remains(connection: Connection, file: int, database: Path) -> None:
    """Overwrite what an earlier process did not come to. `file`: the database's, open for writing."""
    if clear_remains(connection):
        log.warning("faces were being encrypted when that was interrupted: clearing away what was in the clear")
        finish_clearing(connection)
    begun = time.monotonic()
    (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if not busy:
        scrub(connection, file, database.with_name(f"{DATABASE_FILE}-wal"))
        log.info("looked for remains of what was deleted in %.1f s", time.monotonic() - begun)


def _make_private(folder: Path) -> None:
    """Make the folder and its files for their owner only; SQLite gives its further files the rights of the first."""
    make_folder(folder)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        log.warning("data folder %s: others than its owner can enter it; say: chmod 700 %s", folder, folder)
    for file in (folder / name for name in (LOCK_FILE, WRITE_FILE, DATABASE_FILE)):
        # One that is there is not opened: closing it would drop the locks that SQLite may have on it in this process.
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            file.chmod(0o600)
    sync_folder(folder)
