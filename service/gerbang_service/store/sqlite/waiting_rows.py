"""Rows that a transaction adds, kept back to be inserted many at a time.

SQLite gives the interpreter away in each step of a statement, and who writes gets it back when the event loop pauses:
half a millisecond later on a busy server. With a statement a row, and a row or two in each of several tables, that was
most of what an enrolment took. In one statement for many rows it happens once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Iterator, Sequence
from functools import cache
from itertools import chain, islice
from typing import Any, Final, TypeAlias

from gerbang_service.store.sqlite.answers import ANSWER_COLUMNS
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.rows import SUBJECT_ROW

Row: TypeAlias = tuple[Any, ...]
Mark: TypeAlias = tuple[int, ...]

# In this order: rows of those further down refer to rows of those further up.
_COLUMNS: Final = {
    "subjects": SUBJECT_ROW,
    "memberships": "list_key, subject_id, subject_key",
    "templates": "template_id, subject_key, model, quality, create_time_ns, vector, chain",
    "requests": ANSWER_COLUMNS,
    "changes": "revision, subject_id, watchlist_id, gone",
}
NOTHING: Final[Mark] = (0,) * len(_COLUMNS)
# Rows of one statement: few sizes, so that SQLite has the statements ready.
_SIZES: Final = (64, 16, 4, 1)
_MOST: Final = 2**63


class WaitingRows:
    """Rows to insert, by table and by what tells them apart in it. Belongs to one thread."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[Hashable, Row]] = {table: {} for table in _COLUMNS}

    def add(self, table: str, key: Hashable, row: Row) -> None:
        """Have a row wait: a value for each column of its table. Raises OverflowError for what SQLite can't hold."""
        for each in row:
            if isinstance(each, int) and not -_MOST <= each < _MOST:
                raise OverflowError(f"table {table}: a number has more than 64 bits")
        self._rows[table][key] = row

    def get(self, table: str, key: Hashable) -> Row | None:
        """Return a row that waits, or None."""
        return self._rows[table].get(key)

    def mark(self) -> Mark:
        """Return what tells those that wait now from those that come later."""
        return tuple(map(len, self._rows.values()))

    def forget_since(self, mark: Mark) -> None:
        """Forget those that came later."""
        for rows, count in zip(self._rows.values(), mark, strict=True):
            while len(rows) > count:
                rows.popitem()

    def insert(self, connection: Connection, upto: Mark | None = None) -> None:
        """Insert those that were there at a mark, None for all; they wait no more. Raises sqlite3.Error."""
        for (table, rows), count in zip(self._rows.items(), upto or self.mark(), strict=True):
            keys = list(islice(rows, count))
            for part in _parts([rows.pop(each) for each in keys]):
                try:
                    connection.execute(_statement(table, len(part)), list(chain.from_iterable(part)))
                except (TypeError, ValueError) as error:
                    raise sqlite3.DataError(f"table {table}: a value that can't be stored") from error


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size


@cache
def _statement(table: str, rows: int) -> str:
    columns = _COLUMNS[table]
    row = f"({', '.join('?' * len(columns.split(', ')))})"
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * rows)}"  # noqa: S608 - constant names
