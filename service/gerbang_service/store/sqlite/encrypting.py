"""Encrypting a data folder that was in the clear, so that nothing in the clear is left in its files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from gerbang_service.store.sealing.cipher import Cipher
from gerbang_service.store.sealing.keys import OperatorKey
from gerbang_service.store.sqlite.answers import ANSWER_COLUMNS, answer_place
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.rows import vector_place
from gerbang_service.store.sqlite.sealing_rows import seal_rows
from gerbang_service.store.sqlite.vault import CLEAR_REMAINS, make_data_key, seal_meta

_BATCH = 4096
_BEFORE_ALL = -(1 << 63)


def encrypt(connection: Connection, key: OperatorKey, progress: Callable[[int, int], object]) -> None:
    """Encrypt a database in the clear, that nobody else uses: in one transaction; then clear away what was before.

    Killed before that transaction's end, it is in the clear as before; after it, whoever opens the folder next goes on.
    `progress` is told how many templates are done, of how many. Raises sqlite3.Error.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        cipher = make_data_key(connection, key)
        connection.execute("INSERT INTO meta VALUES (?, 1)", (CLEAR_REMAINS,))
        _encrypt_requests(connection, cipher)
        _encrypt_templates(connection, cipher, progress)
        connection.cipher = cipher
        seal_rows(connection)
        connection.execute("COMMIT")
    except BaseException:
        # An error may have ended it, which is then not hidden by another.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finish_clearing(connection)


def clear_remains(connection: sqlite3.Connection) -> bool:
    """Tell whether the file may still hold what was in the clear before it was encrypted."""
    return connection.execute("SELECT 1 FROM meta WHERE key = ?", (CLEAR_REMAINS,)).fetchone() is not None


def finish_clearing(connection: Connection) -> None:
    """Build the file anew from what is in it, over the old one, and empty the write-ahead log; then note that.

    Pages that are free, and what is free in a page, may hold what was there before; in a file built anew there is
    none of that. Raises sqlite3.Error.
    """
    # The copy it makes on the way is as large as the file, too large for memory, and holds what is encrypted already.
    connection.execute("PRAGMA temp_store = FILE")
    connection.execute("VACUUM")
    _empty_log(connection)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM meta WHERE key = ?", (CLEAR_REMAINS,))
    seal_meta(connection)
    connection.execute("COMMIT")
    _empty_log(connection)


def _empty_log(connection: sqlite3.Connection) -> None:
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("another program reads the database: stop it, and try again")


def _encrypt_requests(connection: Connection, cipher: Cipher) -> None:
    query = f"SELECT {ANSWER_COLUMNS} FROM requests WHERE request_id > ? ORDER BY request_id LIMIT ?"  # noqa: S608
    last = ""
    while rows := connection.execute(query, (last, _BATCH)).fetchall():
        last = rows[-1][0]
        sealed = ((cipher.seal(row[1], answer_place(row)), row[0]) for row in rows if row[3] is not None)
        connection.executemany("UPDATE requests SET digest = ? WHERE request_id = ?", sealed)


def _encrypt_templates(connection: Connection, cipher: Cipher, progress: Callable[[int, int], object]) -> None:
    (total,) = connection.execute("SELECT count(*) FROM templates").fetchone()
    query = (
        "SELECT template_id, subject_id, model, quality, templates.create_time_ns, chain, vector "
        "FROM templates CROSS JOIN subjects USING (subject_key) WHERE template_id > ? ORDER BY template_id LIMIT ?"
    )
    last, done = _BEFORE_ALL, 0
    while rows := connection.execute(query, (last, _BATCH)).fetchall():
        last = rows[-1][0]
        sealed = ((cipher.seal(vector, vector_place(*row)), row[0]) for *row, vector in rows)
        connection.executemany("UPDATE templates SET vector = ? WHERE template_id = ?", sealed)
        done += len(rows)
        progress(done, total)
