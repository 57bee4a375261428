"""The data key: kept in the database, wrapped with the operator's key. Here it is decided what is encrypted."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from gerbang_service.domain.errors import DataDamaged, StartupError, StoreUnavailable
from gerbang_service.store.sealing.cipher import KEY_BYTES, NO_CIPHER, AnyCipher, Cipher, place
from gerbang_service.store.sealing.keys import OperatorKey, find_key
from gerbang_service.store.sqlite.connection import DATABASE_FILE, Connection, connect, look, turn_to_write
from gerbang_service.store.sqlite.tally import TALLY

_NEW = (
    "make a key with 'gerbang key create gerbang.key' and say --key-file gerbang.key, or say --no-encryption to keep "
    "faces in the clear"
)
_FROM_CLEAR = (
    "encrypt them with 'gerbang key encrypt --data DIR --key-file FILE', or say --no-encryption to leave them so"
)
# In table meta while what was in the clear may still lie about in the file.
CLEAR_REMAINS = "clear_remains"
# In table meta: what the audit log may hold that was written without the key.
UNKEYED_AUDIT = "unkeyed_audit"
# In table meta: see epoch.py. A database of an older program has none.
EPOCH = "epoch"
# In table meta: since when the rows are sealed, ns since 1970.
SEALED_SINCE = "sealed_since"


class WrongKey(StartupError):
    """The folder needs another key than the one that was given, or was given none."""


def key_for(folder: Path, key_file: Path | None) -> OperatorKey:
    """Return the key that was given for a folder that has to be encrypted; raise StartupError that says what to do."""
    key = find_key(key_file)
    if key is not None:
        return key
    raise WrongKey(f"data folder {folder} {_wanting(folder / DATABASE_FILE)}")


def _wanting(database: Path) -> str:
    """Say why a database can't be opened without a key, and the ways out."""
    wrapped, clear = None, False
    if database.exists():
        # Whatever is wrong with it, who opens it to serve will say.
        with suppress(sqlite3.Error), closing(look(database)) as connection:
            wrapped, clear = wrapped_by(connection), _has_content(connection)
    if wrapped is not None:
        return f"needs key {wrapped}, and none was given: give it with --key-file FILE, or in GERBANG_KEY"
    if clear:
        return f"holds faces in the clear: {_FROM_CLEAR}"
    return f"would be encrypted, and no key was given: {_NEW}"


def wrapped_by(connection: sqlite3.Connection) -> str | None:
    """Return the id of the key that the folder needs, or None for one in the clear."""
    known = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'data_keys'").fetchone()
    row = known and connection.execute("SELECT wrapping_key FROM data_keys").fetchone()
    return str(row[0]) if row else None


def cipher_of(connection: sqlite3.Connection, key: OperatorKey | None) -> AnyCipher:
    """Return what a database's values are opened with; NO_CIPHER for one in the clear.

    Raises WrongKey when it needs a key and this is not it; sqlite3.Error, also when the wrapped key is damaged.
    """
    wrapping = wrapped_by(connection)
    if wrapping is None:
        return NO_CIPHER
    if key is None:
        raise WrongKey(f"this data needs key {wrapping}: give it with --key-file FILE, or in GERBANG_KEY")
    if key.id != wrapping:
        raise WrongKey(f"this data needs key {wrapping}, the one given is {key.id}")
    return Cipher(_unwrapped(connection, key))


def _unwrapped(connection: sqlite3.Connection, key: OperatorKey) -> bytes:
    wrapped, created = connection.execute("SELECT wrapped, create_time_ns FROM data_keys").fetchone()
    data_key = key.unwrap(wrapped, place("data_keys.wrapped", created))
    if data_key is None:
        raise DataDamaged(f"the data key (table data_keys), wrapped with key {key.id}, is damaged or tampered with")
    return data_key


def cipher_for(connection: Connection, key: OperatorKey | None, seal_rows: Callable[[Connection], object]) -> AnyCipher:
    """Return what a folder's values are sealed and opened with, after making its data key if the folder is new.

    `key`: None to keep it in the clear, which a folder that is encrypted refuses, as one in the clear refuses a key.
    `seal_rows`: see `sealing_rows`.
    Raises StartupError, and sqlite3.Error.
    """
    if wrapped_by(connection) is not None:
        if key is None:
            raise WrongKey(
                f"it is encrypted (needs key {wrapped_by(connection)}) and can't be used without encryption: "
                "give the key with --key-file FILE, or in GERBANG_KEY"
            )
        cipher = cipher_of(connection, key)
    elif key is None:
        return NO_CIPHER
    elif _has_content(connection):
        raise StartupError(f"it holds faces in the clear, and a key was given: {_FROM_CLEAR}")
    else:
        connection.execute("BEGIN IMMEDIATE")
        cipher = make_data_key(connection, key)
        connection.cipher = cipher
        if not _was_served(connection):
            connection.execute("INSERT INTO meta VALUES (?, '{}')", (UNKEYED_AUDIT,))
        seal_rows(connection)
        connection.execute("COMMIT")
    connection.cipher = cipher
    check_meta(connection)
    return cipher


def make_data_key(connection: sqlite3.Connection, key: OperatorKey) -> Cipher:
    """Make a data key and keep it, in the transaction that is open."""
    data_key, now = os.urandom(KEY_BYTES), time.time_ns()
    wrapped = key.wrap(data_key, place("data_keys.wrapped", now))
    connection.execute("INSERT INTO data_keys VALUES (1, ?, ?, ?)", (wrapped, key.id, now))
    # Whoever has put it there had no key.
    connection.execute("DELETE FROM meta WHERE key = ?", (UNKEYED_AUDIT,))
    return Cipher(data_key)


def rewrap(connection: sqlite3.Connection, old: OperatorKey, new: OperatorKey) -> None:
    """Wrap the data key with another key, in one transaction, beside a running server, which has its data key.

    Raises WrongKey, StartupError for a database in the clear, and sqlite3.Error.
    """
    if wrapped_by(connection) is None:
        raise StartupError("it is in the clear: 'gerbang key encrypt --data DIR' encrypts it")
    connection.execute("BEGIN IMMEDIATE")
    try:
        cipher_of(connection, old)
        now = time.time_ns()
        wrapped = new.wrap(_unwrapped(connection, old), place("data_keys.wrapped", now))
        connection.execute(
            "UPDATE data_keys SET wrapped = ?, wrapping_key = ?, create_time_ns = ?", (wrapped, new.id, now)
        )
        connection.execute("COMMIT")
    except BaseException:
        # An error may have ended it, which is then not hidden by another.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def unkeyed_audit(connection: sqlite3.Connection) -> str | None:
    """Return what `keep_unkeyed_audit` was given, "{}" for a folder that was never in the clear; None for nothing yet.

    To be believed only after `check_meta`.
    """
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (UNKEYED_AUDIT,)).fetchone()
    return None if row is None else str(row[0])


def kept_unkeyed_audit(folder: Path, cipher: AnyCipher, find: Callable[[], str]) -> str:
    """Return what was kept by `keep_unkeyed_audit` of a folder, after keeping what `find` returns if nothing was.

    Raises StoreUnavailable, OSError, and what `find` raises.
    """
    try:
        with closing(connect(folder / DATABASE_FILE, cipher)) as connection:
            kept = unkeyed_audit(connection)
            if kept is None:
                kept = find()
                with turn_to_write(folder):
                    keep_unkeyed_audit(connection, kept)
            return kept
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the database can't be used: {error}") from error


def keep_unkeyed_audit(connection: Connection, heads: str) -> None:
    """Keep, sealed, where the logs end that were written before the folder was encrypted: a JSON object. Once.

    In a transaction of its own. Raises sqlite3.Error.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("INSERT INTO meta VALUES (?, ?)", (UNKEYED_AUDIT, heads))
        seal_meta(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def seal_meta(connection: Connection) -> None:
    """Keep what proves table meta unchanged, in the transaction that is open. Nothing in the clear."""
    if connection.cipher.encrypts:
        seal = connection.cipher.seal(b"", _meta(connection))
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('seal', ?)", (seal,))


def check_meta(connection: Connection) -> None:
    """Raise DataDamaged when table meta is not as it was sealed."""
    if connection.cipher.encrypts:
        row = connection.execute("SELECT value FROM meta WHERE key = 'seal'").fetchone()
        connection.cipher.open(row[0] if row and isinstance(row[0], bytes) else b"", _meta(connection))


def sealed_since(folder: Path) -> int | None:
    """Return since when a folder's rows are sealed, ns since 1970; None for what is in the clear.

    Raises StoreUnavailable.
    """
    try:
        with closing(look(folder / DATABASE_FILE)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (SEALED_SINCE,)).fetchone()
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the database can't be read: {error}") from error
    return None if row is None else int(row[0])


def _meta(connection: sqlite3.Connection) -> bytes:
    names = ("revision", "dimension", CLEAR_REMAINS, "model")
    rows = dict(connection.execute("SELECT key, value FROM meta WHERE key <> 'seal'").fetchall())
    values = [rows.get(name) for name in names]
    if UNKEYED_AUDIT in rows:
        # Where a folder without it has its revision, a number, so that the one is never taken for the other.
        values.insert(0, rows[UNKEYED_AUDIT])
    if EPOCH in rows:
        values.append(rows[EPOCH])
    if TALLY in rows:
        # The ids that were given too, so that none is given again: who was on a deleted list would be on a new one.
        given = connection.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name").fetchall()
        values.append(ascii((TALLY, rows[TALLY], rows.get(SEALED_SINCE), given)))
    return place("meta.seal", *values)


def _was_served(connection: sqlite3.Connection) -> bool:
    # A server's first start records the recogniser; one without encryption has begun an audit log without a key.
    return connection.execute("SELECT 1 FROM meta WHERE key = 'model'").fetchone() is not None


def _has_content(connection: sqlite3.Connection) -> bool:
    # Every change of the gallery counts one revision; a folder of revision 0 never held anybody.
    return bool(connection.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])
