"""The data folder and the connections to its database."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from gerbang_service.domain.errors import StartupError
from gerbang_service.store.schema import migrate

DATABASE_FILE = "gerbang.sqlite3"
LOCK_FILE = "LOCK"


class DataFolder:
    """The folder that one server owns, from opening to `close`.

    Raises StartupError when another server has it, when it can't be created or written, or when the database is
    damaged or of another kind.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = (folder / LOCK_FILE).open("a+")
        except OSError as error:
            raise StartupError(f"data folder {folder}: {error.strerror}") from error
        try:
            self._take()
            self._check_and_migrate()
        except BaseException:
            self._lock.close()
            raise

    def _take(self) -> None:
        # A lock of the kernel's ends with the process, however that ends; a file with a process id would stay.
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "unknown"
            raise StartupError(
                f"data folder {self.folder} is in use by another gerbang server (process {owner}): "
                "stop that one first, or give this one a folder of its own"
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    def _check_and_migrate(self) -> None:
        connection = None
        try:
            connection = self.connect()
            damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise StartupError(f"database {self.folder / DATABASE_FILE} is damaged: {damage}")
            migrate(connection)
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
        with suppress(OSError):
            self._lock.truncate(0)
        self._lock.close()
