"""What the command line asks of a database without a store: with a server on it, or when none would start."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.sqlite.connection import Connection

UNUSABLE: Final = (sqlite3.Error, DataDamaged)
"""What anything here, and a connection of one's own, raises when a database can't be used."""


@contextmanager
def one_moment(connection: Connection) -> Iterator[None]:
    """Have all queries of the block see the same state, whoever writes meanwhile."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:  # some failures end it
            connection.execute("ROLLBACK")


def format_of(connection: Connection) -> tuple[int, int]:
    """Return the application id of a database file, and the number of its schema."""
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    return int(application), int(version)


def dimension_of(connection: Connection) -> int:
    """Return the dimension that the database is bound to; 0 before it is bound."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'dimension'").fetchone()
    return 0 if row is None else int(row[0])


def templates_by_model(connection: Connection) -> Mapping[str, int]:
    """Return how many templates each recogniser has made."""
    query = "SELECT model, count(*) FROM templates INDEXED BY templates_by_subject GROUP BY model"
    counts: dict[str, Any] = dict(connection.execute(query).fetchall())
    return counts


def watchlist_ids(connection: Connection) -> set[str]:
    """Return the ids of all watchlists."""
    return {name for (name,) in connection.execute("SELECT watchlist_id FROM watchlists")}
