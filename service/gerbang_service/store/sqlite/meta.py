"""The table of single values: the revision, and the recogniser that the templates are of."""

from __future__ import annotations

import sqlite3

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.sqlite.rows import row_of


def revision_of(connection: sqlite3.Connection) -> int:
    """Return the revision of the last committed change. Raises DataDamaged."""
    with row_of("table meta: its revision"):
        return int(connection.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])


def seen_time_of(connection: sqlite3.Connection) -> int | None:
    """Return the time that was noted last, ns since 1970; before any was, that of a subject's latest change.

    None where there is neither. Raises DataDamaged.
    """
    query = "SELECT value FROM meta WHERE key = 'seen_time' UNION ALL SELECT max(update_time_ns) FROM subjects LIMIT 1"
    with row_of("table meta: the time that was seen"):
        (noted,) = connection.execute(query).fetchone()
        return None if noted is None else int(noted)


def note_seen_time(connection: sqlite3.Connection, now_ns: int) -> None:
    """Note a time. No seal has it: it is never believed beyond the clock."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('seen_time', ?)", (now_ns,))


def model_of(connection: sqlite3.Connection) -> tuple[str, int] | None:
    """Return the (fingerprint, dimension) that the database was made for, or None for a new one."""
    rows = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    return (rows["model"], rows["dimension"]) if "model" in rows else None


def check_settings(connection: sqlite3.Connection) -> None:
    """Raise DataDamaged when the table holds what can't be: that which no seal says in a folder in the clear."""
    rows = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    revision, model, dimension = (rows.get(name) for name in ("revision", "model", "dimension"))
    if not isinstance(revision, int) or revision < 0:
        raise DataDamaged("table meta: there is no sane revision")
    bound = isinstance(model, str) and isinstance(dimension, int) and dimension > 0
    if not bound and (model is not None or dimension is not None):
        raise DataDamaged("table meta: there is no sane recogniser and dimension")
    if not isinstance(rows.get("epoch", ""), str):
        raise DataDamaged("table meta: there is no sane epoch")
