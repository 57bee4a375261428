"""The table of API tokens: what is stored of them, which is never the token itself. Where there is a key, sealed."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.port import StoredToken
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.rows import NOT_OURS, row_place
from gerbang_service.store.sqlite.tally import Counting, Turnover
from gerbang_service.store.sqlite.vault import seal_meta

_COLUMNS = "token_id, digest, name, role, watchlists, create_time_ns, expire_time_ns, revoke_time_ns"
_MARKS = ", ".join("?" * len(_COLUMNS.split(", ")))


def add(connection: Connection, token: StoredToken) -> None:
    """Store a new token, in the transaction that is open. Raises sqlite3.IntegrityError for an id that is taken."""
    values = (
        token.token_id,
        token.digest,
        token.name,
        token.role,
        None if token.watchlists is None else json.dumps(token.watchlists),
        token.create_time_ns,
        token.expire_time_ns,
        token.revoke_time_ns,
    )
    seal = _sealed(connection, values)
    connection.execute(f"INSERT INTO tokens ({_COLUMNS}, seal) VALUES ({_MARKS}, ?)", (*values, seal))  # noqa: S608
    _settle(connection, [], [seal])


def revoke(connection: Connection, token_id: str, now_ns: int) -> bool:
    """Revoke a token, in the transaction that is open; tell whether there was one that was not revoked before."""
    query = f"SELECT {_COLUMNS}, seal FROM tokens WHERE token_id = ? AND revoke_time_ns IS NULL"  # noqa: S608
    row = connection.execute(query, (token_id,)).fetchone()
    if row is None:
        return False
    *values, before = row
    seal = _sealed(connection, (*values[:-1], now_ns))
    connection.execute("UPDATE tokens SET revoke_time_ns = ?, seal = ? WHERE token_id = ?", (now_ns, seal, token_id))
    _settle(connection, [before], [seal])
    return True


def seal_all(connection: Connection) -> None:
    """Seal the tokens that there are, which nothing has vouched for so far."""
    for *values, token_id in connection.execute(f"SELECT {_COLUMNS}, token_id FROM tokens").fetchall():  # noqa: S608
        connection.execute(
            "UPDATE tokens SET seal = ? WHERE token_id = ?", (_sealed(connection, tuple(values)), token_id)
        )


def _sealed(connection: Connection, values: tuple[Any, ...]) -> bytes | None:
    if not connection.cipher.encrypts:
        return None
    return connection.cipher.seal(b"", row_place("tokens.row", values[0], values))


def _settle(connection: Connection, removed: list[Any], added: list[Any]) -> None:
    if connection.cipher.encrypts:
        turnover = Turnover()
        turnover.remove("tokens", removed)
        turnover.add("tokens", added)
        turnover.settle(connection)
        seal_meta(connection)


def all_tokens(connection: Connection) -> list[StoredToken]:
    """Return all tokens, revoked and expired ones too, in the order of their creation.

    Raises DataDamaged where they are not what was sealed, if the connection has the key; sqlite3.Error.
    """
    rows = token_rows(connection)
    for row in rows:
        check_token(connection, row)
    check_all(connection, rows)
    return [token_from(row) for row in rows]


def token_rows(connection: Connection) -> list[tuple[Any, ...]]:
    """Return the rows of all tokens, with their seals, in the order of their creation."""
    query = f"SELECT {_COLUMNS}, seal FROM tokens ORDER BY create_time_ns, token_id"  # noqa: S608
    return connection.execute(query).fetchall()


def check_token(connection: Connection, row: tuple[Any, ...]) -> None:
    """Raise DataDamaged for a row of `token_rows` that is not what was sealed."""
    if connection.cipher.encrypts:
        connection.cipher.open(row[-1], row_place("tokens.row", row[0], row[:-1]))


def check_all(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    """Raise DataDamaged where rows, each as it was sealed, are not all of them, or earlier ones."""
    counting = Counting(connection, "tokens")
    counting.add([row[-1] for row in rows])
    counting.check()


def token_from(row: tuple[Any, ...]) -> StoredToken:
    """Make a StoredToken of a row of `token_rows`. Raises DataDamaged."""
    token_id, digest, name, role, lists, created, expires, revoked, _ = row
    try:
        bound = None if lists is None else tuple(json.loads(lists))
        return StoredToken(token_id, digest, name, role, bound, created, expires, revoked)
    except NOT_OURS:
        raise DataDamaged("table tokens: a row is not what Gerbang writes") from None


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when anybody else commits anything: cheap to ask for."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
