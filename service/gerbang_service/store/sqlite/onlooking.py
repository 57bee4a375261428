"""A data folder that is only looked at: what it holds, and what others write to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gerbang_service.domain.errors import DataDamaged, StartupError, StoreUnavailable
from gerbang_service.store.following import changes_since
from gerbang_service.store.port import Contents, Follower
from gerbang_service.store.sealing.cipher import NO_CIPHER, AnyCipher
from gerbang_service.store.sealing.keys import OperatorKey
from gerbang_service.store.sqlite.connection import DATABASE_FILE, Connection, look
from gerbang_service.store.sqlite.loading import contents, template_count
from gerbang_service.store.sqlite.meta import model_of
from gerbang_service.store.sqlite.reading import SqliteReader
from gerbang_service.store.sqlite.vault import cipher_of


class Onlooker:
    """Reads a data folder that a server has; never writes, and never moves the write-ahead log. Belongs to one thread.

    After `let_go`, until it is asked again, it has no file open: a connection must not be carried into a process that
    is forked, where closing it would drop the locks that SQLite has there.
    """

    def __init__(self, folder: Path, key: OperatorKey | None) -> None:
        """`key`: what it is encrypted with, None for one in the clear. Raises StartupError when it can't be read."""
        self.folder = folder
        self._connection: Connection | None = None
        self._cipher: AnyCipher = NO_CIPHER
        try:
            with self._snapshot() as connection:
                self._cipher = cipher_of(connection, key)
        except (StoreUnavailable, DataDamaged) as error:
            raise StartupError(f"database {folder / DATABASE_FILE} can't be used: {error}") from error
        self.let_go()

    def let_go(self) -> None:
        """Close what is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def model(self) -> tuple[str, int] | None:
        """Return the (fingerprint, dimension) that the folder was made for, or None for a new one."""
        with self._snapshot() as connection:
            return model_of(connection)

    def template_count(self, model: str) -> int:
        """Return how many templates of a recogniser are stored."""
        with self._snapshot() as connection:
            return template_count(connection, model)

    @contextmanager
    def contents(self, model: str) -> Iterator[Contents]:
        """Lend all that is stored, with the templates of a recogniser. Raises StoreUnavailable, DataDamaged."""
        with self._snapshot() as connection:
            yield contents(connection, model)

    def follow(self, follower: Follower, model: str) -> None:
        """Tell a follower what was written since its revision, of a recogniser's templates.

        Raises FellBehind, StoreUnavailable.
        """
        with self._snapshot() as connection:
            try:
                changes, revision = changes_since(SqliteReader(connection), follower, model)
            except DataDamaged as error:
                raise StoreUnavailable(f"what others wrote can't be read: {error}") from error
            if revision != follower.revision:
                follower.apply(changes, revision)

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        try:
            if self._connection is None:
                self._connection = look(self.folder / DATABASE_FILE, self._cipher)
            connection = self._connection
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                # An error may have ended it, which is then not hidden by another.
                if connection.in_transaction:
                    connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the database can't be read: {error}") from error
