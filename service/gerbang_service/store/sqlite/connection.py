"""Connections to the database."""

from __future__ import annotations

import fcntl
import functools
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from gerbang_service.store.sealing.cipher import NO_CIPHER, AnyCipher

DATABASE_FILE = "gerbang.sqlite3"
LOCK_FILE = "LOCK"
WRITE_FILE = "WRITE"
# SQLite's own complaint of text that is no UTF-8 any more would hold that text, such as a label. What is replaced is
# found out as every change is: what is sealed for it does not open.
_TEXT = functools.partial(str, encoding="utf-8", errors="replace")


class Connection(sqlite3.Connection):
    """A connection that carries what its values are sealed and opened with. Not to be shared by threads."""

    cipher: AnyCipher = NO_CIPHER

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:  # noqa: ANN401 - as the base class
        """As the base class, but that a damaged schema is a database error: its message may be no UTF-8."""
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError:
            raise sqlite3.DatabaseError("the database's schema is damaged") from None


def connect(database: Path, cipher: AnyCipher = NO_CIPHER, *, readonly: bool = False) -> Connection:
    """Open a connection with the durability that invariant 1 asks for. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        database, isolation_level=None, check_same_thread=False, timeout=10.0, factory=Connection
    )
    connection.cipher = cipher
    connection.text_factory = _TEXT
    # Of a new database: a row of 512 dimensions has 2.1 kB, of which pages of 4 kB would hold one each.
    connection.execute("PRAGMA page_size = 8192")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # The log is moved by wal.py alone: SQLite's own checkpoints say nothing of their failures.
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA foreign_keys = ON")
    # Deleted content is overwritten with zeros, so that deleted means erased from the file.
    connection.execute("PRAGMA secure_delete = ON")
    # What SQLite sorts or copies never goes to a file of its own.
    connection.execute("PRAGMA temp_store = MEMORY")
    if readonly:
        connection.execute("PRAGMA query_only = ON")
    return connection


def look(database: Path, cipher: AnyCipher = NO_CIPHER, *, immutable: bool = False) -> Connection:
    """Open a database without changing anything in it, beside a running server if there is one.

    `immutable`: a file that nobody writes; not even files beside it are made then. Raises sqlite3.Error.
    """
    # Percent and question mark mean something in a URI.
    uri = f"{database.absolute().as_uri()}?mode=ro{'&immutable=1' if immutable else ''}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0, factory=Connection)
    connection.cipher = cipher
    connection.text_factory = _TEXT
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def turn_to_write(folder: Path) -> Iterator[None]:
    """Keep every other process from writing to the folder's database, for as long as it takes to get the turn."""
    with (folder / WRITE_FILE).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def has_server(folder: Path) -> bool:
    """Tell whether a server has the folder, without trying its lock: one that starts just then would refuse to."""
    try:
        inode = (folder / LOCK_FILE).stat().st_ino
        held = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    return any("FLOCK" in line and f":{inode} " in line for line in held)


@contextmanager
def nobody_writing(folder: Path) -> Iterator[None]:
    """As `turn_to_write`, for one who only reads: nothing is made in a folder that no server ever had."""
    with ExitStack() as held:
        with suppress(FileNotFoundError):
            lock = held.enter_context((folder / WRITE_FILE).open("rb"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
