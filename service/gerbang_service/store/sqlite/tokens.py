"""The table of API tokens: what is stored of them, which is never the token itself."""

from __future__ import annotations

import json
import sqlite3

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.port import StoredToken

_COLUMNS = "token_id, digest, name, role, watchlists, create_time_ns, expire_time_ns, revoke_time_ns"


def add(connection: sqlite3.Connection, token: StoredToken) -> None:
    """Store a new token. Raises sqlite3.IntegrityError for an id that is taken."""
    connection.execute(
        f"INSERT INTO tokens ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant columns
        (
            token.token_id,
            token.digest,
            token.name,
            token.role,
            None if token.watchlists is None else json.dumps(token.watchlists),
            token.create_time_ns,
            token.expire_time_ns,
            token.revoke_time_ns,
        ),
    )


def all_tokens(connection: sqlite3.Connection) -> list[StoredToken]:
    """Return all tokens, revoked and expired ones too, in the order of their creation. Raises sqlite3.Error."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM tokens ORDER BY create_time_ns, token_id")  # noqa: S608
    try:
        return [
            StoredToken(token_id, digest, name, role, None if lists is None else tuple(json.loads(lists)), *times)
            for token_id, digest, name, role, lists, *times in rows
        ]
    except (ValueError, TypeError) as error:
        raise DataDamaged("table tokens: a row is not what Gerbang writes") from error


def revoke(connection: sqlite3.Connection, token_id: str, now_ns: int) -> bool:
    """Revoke a token; tell whether there was one that was not revoked before."""
    query = "UPDATE tokens SET revoke_time_ns = ? WHERE token_id = ? AND revoke_time_ns IS NULL"
    return connection.execute(query, (now_ns, token_id)).rowcount > 0


def data_version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when anybody else commits anything: cheap to ask for."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
