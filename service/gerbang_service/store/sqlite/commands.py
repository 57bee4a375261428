"""What commands do with a data folder's files, most of them beside a running server.

They raise StartupError for what the operator has to see to, StoreUnavailable when the database can't be read or
written, DataDamaged for what is damaged, and OSError.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gerbang_service.domain.errors import DataDamaged, StartupError, StoreUnavailable
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.store.port import StoredToken
from gerbang_service.store.sealing.keys import OperatorKey
from gerbang_service.store.sqlite import encrypting, tokens
from gerbang_service.store.sqlite.checking import Progress, Report
from gerbang_service.store.sqlite.checking import check as check_database
from gerbang_service.store.sqlite.connection import DATABASE_FILE, Connection, connect, look, turn_to_write
from gerbang_service.store.sqlite.data_folder import DataFolder
from gerbang_service.store.sqlite.meta import check_settings, model_of, revision_of
from gerbang_service.store.sqlite.rows import NOT_OURS, chains_of
from gerbang_service.store.sqlite.schema import APPLICATION_ID, MIGRATIONS
from gerbang_service.store.sqlite.vault import check_meta, cipher_of, rewrap, unkeyed_audit, wrapped_by
from gerbang_service.store.sqlite.wal import LogKept, WriteAheadLog
from gerbang_service.store.sqlite.wal_check import log_damage, refuse_damaged


@contextmanager
def told(what: Path | str = "the database") -> Iterator[None]:
    """Raise StoreUnavailable where sqlite3.Error is raised inside."""
    try:
        yield
    except sqlite3.Error as error:
        denied = getattr(error, "sqlite_errorname", "") == "SQLITE_CANTOPEN"
        whose = ": run this as the server's user" if denied else ""
        raise StoreUnavailable(f"{what} can't be used: {error}{whose}") from error


def existing(folder: Path) -> Path:
    """Return the database of a folder; raise StartupError when there is none."""
    database = folder / DATABASE_FILE
    if not database.is_file():
        raise StartupError(f"{folder} holds no database of Gerbang's")
    return database


# --- checking ---------------------------------------------------------------------------------------------------------


def check(folder: Path, key: OperatorKey | None, progress: Progress = lambda _done, _all: None) -> Report:
    """Check a folder's database from end to end, changing nothing. Raises WrongKey for another key than its own."""
    database = existing(folder)
    with told():
        # Before it is opened, see there.
        log = log_damage(database)
        with closing(look(database)) as connection:
            return check_database(connection, key, progress, log)


@dataclass(frozen=True, slots=True)
class Outline:
    """What a database is, as far as that can be told without a key. `newest`: the schema that this program writes.

    `ours`: whether it is one of Gerbang's; of one that is not, or whose schema is newer, nothing more is known.
    `models`: how many templates there are of each recogniser; `key_id`: of the key that it needs, None for none;
    `chains`: by which the templates came.
    """

    ours: bool
    schema: int
    newest: int
    revision: int = 0
    dimension: int = 0
    models: dict[str, int] | None = None
    key_id: str | None = None
    chains: frozenset[CaptureChain] = frozenset()


def outline(folder: Path) -> Outline:
    """Look at a folder's database, changing nothing."""
    with told(), closing(look(existing(folder))) as connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID or schema > len(MIGRATIONS):
            return Outline(application == APPLICATION_ID, schema, len(MIGRATIONS))
        try:
            query = "SELECT model, count(*) FROM templates INDEXED BY templates_by_subject GROUP BY model"
            models = dict(connection.execute(query).fetchall())
            _, dimension = model_of(connection) or ("", 0)
            key_id, revision = wrapped_by(connection), revision_of(connection)
            chains = frozenset(chains_of(connection))
            return Outline(True, schema, len(MIGRATIONS), revision, int(dimension), models, key_id, chains)
        except NOT_OURS:
            # Not with the error's own text, which may hold what was read.
            raise DataDamaged("it holds what Gerbang does not write") from None


# --- keys -------------------------------------------------------------------------------------------------------------


def check_key(folder: Path, key: OperatorKey) -> None:
    """Raise WrongKey when a folder needs another key."""
    with told(), closing(look(existing(folder))) as connection:
        cipher_of(connection, key)


def rotate_key(folder: Path, old: OperatorKey, new: OperatorKey) -> bool:
    """Wrap a folder's data key with another key; tell whether the old wrapping is erased already."""
    database = existing(folder)
    refuse_damaged(database)
    with told(), turn_to_write(folder), closing(connect(database)) as connection:
        write_ahead_log = WriteAheadLog(connection, database)
        rewrap(connection, old, new)
        try:
            return write_ahead_log.empty()
        except (LogKept, sqlite3.Error):
            return False


def encrypt(folder: Path, key: OperatorKey, progress: Progress) -> None:
    """Encrypt a folder that nobody uses and that is in the clear, or finish what was interrupted."""
    with told():
        with closing(look(existing(folder))) as connection:
            wrapped = wrapped_by(connection)
        if wrapped is not None:
            # Opening it finishes what was interrupted.
            DataFolder(folder, key).close()
            return
        opened = DataFolder(folder)
        try:
            with closing(opened.connect()) as connection:
                encrypting.encrypt(connection, key, progress)
        finally:
            opened.close()


def derived_key(folder: Path, key: OperatorKey | None, purpose: bytes) -> tuple[bytes | None, str | None]:
    """Return a key derived from a folder's data key, None in the clear, and what `keep_unkeyed_audit` was given."""
    with told(), closing(look(existing(folder))) as connection:
        # Of one moment: the seal changes with every change.
        connection.execute("BEGIN")
        connection.cipher = cipher_of(connection, key)
        check_settings(connection)
        check_meta(connection)
        return connection.cipher.derive(purpose), unkeyed_audit(connection)


# --- tokens -----------------------------------------------------------------------------------------------------------


class TokenTable:
    """The API tokens of a data folder. Belongs to one thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tokens(self) -> list[StoredToken]:
        """Return all tokens, revoked and expired ones too, in the order of their creation."""
        return tokens.all_tokens(self._connection)

    def watchlist_ids(self) -> set[str]:
        """Return the ids of the watchlists, to which tokens may be bound."""
        return {name for (name,) in self._connection.execute("SELECT watchlist_id FROM watchlists")}

    def add(self, token: StoredToken) -> None:
        """Store a new token."""
        with self._changing():
            tokens.add(self._connection, token)

    def revoke(self, token_id: str, now_ns: int) -> bool:
        """Revoke a token; tell whether there was one that was not revoked before."""
        with self._changing():
            return tokens.revoke(self._connection, token_id, now_ns)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            check_meta(self._connection)
            tokens.all_tokens(self._connection)
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # An error may have ended it, which is then not hidden by another.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


@contextmanager
def token_table(folder: Path, key: OperatorKey | None = None, *, writing: bool = False) -> Iterator[TokenTable]:
    """Lend the table of tokens; `writing`: while nobody else writes to the folder.

    Raises WrongKey where the folder needs a key to be written to, and `key` is not it. Who only reads
    without it is told what may have been tampered with.
    """
    database = folder / DATABASE_FILE
    if not database.is_file():
        raise StartupError(f"{folder} has no database yet: the first 'gerbang serve' makes it")
    refuse_damaged(database)
    if writing:
        # First: the database of a folder that is not this user's must not get files of theirs beside it.
        with turn_to_write(folder), _tokens(database, key, writing=True) as table:
            yield table
    else:
        with _tokens(database, key, writing=False) as table:
            yield table


@contextmanager
def _tokens(database: Path, key: OperatorKey | None, *, writing: bool) -> Iterator[TokenTable]:
    with told(database), closing(connect(database)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != len(MIGRATIONS):
            raise StartupError(f"{database.parent} is of another version: start this version's server on it first")
        if writing or key is not None:
            connection.cipher = cipher_of(connection, key)
        yield TokenTable(connection)
