"""Sealing all rows of a database: of one that comes to a key, and of one whose rows were sealed less.

Who is on which list, validity, actions, thresholds and API tokens are taken as they are: that nobody has changed them
holds from then on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from gerbang_service.store.sqlite import proposals, tokens
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.earlier_rows import (
    EARLIER_SUBJECT,
    EARLIER_WATCHLIST,
    UNTARGETED_WATCHLIST,
    earlier_subject_place,
    earlier_watchlist_place,
)
from gerbang_service.store.sqlite.rows import SUBJECT_ROW, WATCHLIST_ROW, subject_place, watchlist_place
from gerbang_service.store.sqlite.tally import Counting, Turnover, count_rows, write_tally
from gerbang_service.store.sqlite.vault import SEALED_SINCE, check_meta, seal_meta

log = logging.getLogger(__name__)

_BATCH = 4096
_BEFORE_ALL = -(1 << 63)

Opened: TypeAlias = Callable[[str, tuple[Any, ...]], str]


def seal_rows(connection: Connection) -> None:
    """Seal rows whose content is in the clear with the connection's cipher, in the transaction that is open.

    Templates and answers have to be sealed before. Raises sqlite3.Error.
    """
    proposals.seal_all(connection)
    _seal(connection, WATCHLIST_ROW, lambda labels, _: labels, lambda labels, _: labels)


def seal_earlier_rows(connection: Connection) -> None:
    """Seal rows of a database of before they were sealed, in the transaction that is open; nothing in the clear.

    The connection has its cipher. Raises DataDamaged for what is not as it was sealed then; sqlite3.Error.
    """
    cipher = connection.cipher
    if not cipher.encrypts:
        return
    check_meta(connection)
    _seal(
        connection,
        UNTARGETED_WATCHLIST,
        lambda labels, row: cipher.open_text(labels, earlier_watchlist_place(row)),
        lambda labels, row: cipher.open_text(labels, earlier_subject_place(row)),
    )
    log.warning("who is on which list, validity, actions, thresholds and API tokens are sealed from now on")


def seal_watchlists_anew(connection: Connection) -> None:
    """Seal lists of a database of before they had a target, in the transaction that is open; nothing in the clear.

    The connection has its cipher. Raises DataDamaged for lists that are not those that were sealed; sqlite3.Error.
    """
    cipher = connection.cipher
    if not cipher.encrypts:
        return
    check_meta(connection)
    query = "SELECT labels FROM watchlists"
    before, counting, turnover = connection.execute(query).fetchall(), Counting(connection, "watchlists"), Turnover()
    counting.add([labels for (labels,) in before])
    counting.check()
    _seal_table(
        connection,
        "watchlists",
        WATCHLIST_ROW,
        watchlist_place,
        UNTARGETED_WATCHLIST,
        lambda labels, row: cipher.open_text(labels, watchlist_place(row)),
    )
    turnover.remove("watchlists", [labels for (labels,) in before])
    turnover.add("watchlists", [labels for (labels,) in connection.execute(query)])
    turnover.settle(connection)
    seal_meta(connection)


def _seal(connection: Connection, watchlist_row: str, watchlist_labels: Opened, subject_labels: Opened) -> None:
    _seal_table(connection, "watchlists", watchlist_row, watchlist_place, EARLIER_WATCHLIST, watchlist_labels)
    _seal_table(connection, "subjects", SUBJECT_ROW, subject_place, EARLIER_SUBJECT, subject_labels)
    tokens.seal_all(connection)
    write_tally(connection, count_rows(connection))
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (SEALED_SINCE, time.time_ns()))
    seal_meta(connection)


def _seal_table(
    connection: Connection,
    table: str,
    columns: str,
    place: Callable[[tuple[Any, ...]], bytes],
    earlier: str,
    opened: Opened,
) -> None:
    cipher, names = connection.cipher, columns.split(", ")
    key, labels = names[0], names.index("labels")
    was = [names.index(each) for each in earlier.split(", ")]
    query = f"SELECT {columns} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT ?"  # noqa: S608 - constant names
    last = _BEFORE_ALL
    while rows := connection.execute(query, (last, _BATCH)).fetchall():
        last = rows[-1][0]
        texts = (opened(row[labels], tuple(row[each] for each in was)) for row in rows)
        sealed = [(cipher.seal_text(text, place(row)), row[0]) for row, text in zip(rows, texts, strict=True)]
        connection.executemany(f"UPDATE {table} SET labels = ? WHERE {key} = ?", sealed)  # noqa: S608
