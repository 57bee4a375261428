"""The data folder and the connections to its database."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from gerbang_service.domain.errors import StartupError
from gerbang_service.store.schema import migrate

DATABASE_FILE = "gerbang.sqlite3"
LOCK_FILE = "LOCK"
WRITE_FILE = "WRITE"
# How often who waits for its turn to write does something else, seconds.
_MEANWHILE_S = 0.005


class DataFolder:
    """The folder that one server owns, from opening to `close`.

    Raises StartupError when another server has it, when it can't be created or written, or when the database is
    damaged or of another kind.
    """

    def __init__(self, folder: Path, *, supervised: bool = False) -> None:
        """`supervised`: opened by one of several workers, for whom their supervisor owns and has checked it."""
        self.folder = folder
        self._lock: TextIO | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not supervised:
                self._lock = (folder / LOCK_FILE).open("a+")
            self._write_lock = (folder / WRITE_FILE).open("a")
        except OSError as error:
            raise StartupError(f"data folder {folder}: {error.strerror}") from error
        self._waiting = ThreadPoolExecutor(1, "turn")
        if self._lock is not None:
            try:
                self._take(self._lock)
                self._check_and_migrate()
            except BaseException:
                self._write_lock.close()
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

    def _check_and_migrate(self) -> None:
        connection = None
        try:
            connection = self.connect()
            damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise StartupError(f"database {self.folder / DATABASE_FILE} is damaged: {damage}")
            migrate(connection)
            # Who follows it starts anew with the server.
            connection.execute("DELETE FROM changes")
        except sqlite3.Error as error:
            raise StartupError(f"database {self.folder / DATABASE_FILE} can't be used: {error}") from error
        finally:
            if connection is not None:
                connection.close()

    def connect(self, *, readonly: bool = False) -> sqlite3.Connection:
        """Open a connection with the durability that invariant 1 asks for. Not to be shared by threads."""
        connection = sqlite3.connect(
            self.folder / DATABASE_FILE, isolation_level=None, check_same_thread=False, timeout=10.0
        )
        # Of a new database: a row of 512 dimensions has 2.1 kB, of which pages of 4 kB would hold one each.
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # Deleted content is overwritten with zeros, so that deleted means erased from the file.
        connection.execute("PRAGMA secure_delete = ON")
        if readonly:
            connection.execute("PRAGMA query_only = ON")
        return connection

    def close(self) -> None:
        """Give the folder back."""
        self._waiting.shutdown()
        self._write_lock.close()
        if self._lock is not None:
            with suppress(OSError):
                self._lock.truncate(0)
            self._lock.close()
