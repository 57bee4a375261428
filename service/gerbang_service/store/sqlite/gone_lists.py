"""Lists that were deleted: who was on one leaves it later, a few at a time."""

from __future__ import annotations

from gerbang_service.store.sqlite.connection import Connection

# Memberships of deleted lists are deleted so many at a time.
_LEAVE_AT_ONCE = 2000


def leave_gone_lists(connection: Connection) -> bool:
    """Delete some of the memberships that are left of deleted lists, in the transaction that is open.

    Tells whether more are left. So few that other writes hardly wait: with all their pages in two indexes, those of a
    hundred thousand take seconds.
    """
    row = connection.execute("SELECT list_key FROM gone_lists LIMIT 1").fetchone()
    if row is None:
        return False
    # Whatever a damaged page says: nobody is taken off a list that is there.
    query = (
        "DELETE FROM memberships WHERE list_key = ?1 AND NOT EXISTS (SELECT 1 FROM watchlists WHERE list_key = ?1) "
        "AND subject_id IN (SELECT subject_id FROM memberships WHERE list_key = ?1 LIMIT ?2)"
    )
    if connection.execute(query, (row[0], _LEAVE_AT_ONCE)).rowcount < _LEAVE_AT_ONCE:
        connection.execute("DELETE FROM gone_lists WHERE list_key = ?", row)
    return connection.execute("SELECT 1 FROM gone_lists").fetchone() is not None
