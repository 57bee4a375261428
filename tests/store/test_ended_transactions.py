"""When an error has ended a transaction, the error is told, and not that there is none to roll back."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gerbang_service.store.sealing.keys import OperatorKey
from gerbang_service.store.sqlite.connection import DATABASE_FILE, Connection, connect
from gerbang_service.store.sqlite.data_folder import DataFolder
from gerbang_service.store.sqlite.encrypting import encrypt
from gerbang_service.store.sqlite.scrub import scrub
from gerbang_service.store.sqlite.vault import keep_unkeyed_audit, rewrap
from running import operator_key

OTHER = OperatorKey(bytes(reversed(range(32))))


class Failing(Connection):
    """A connection of which a statement fails as SQLite's do when the disk does: the transaction is over."""

    fails = ""

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        if self.fails and sql.startswith(self.fails):
            super().execute("ROLLBACK")
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, parameters)


@pytest.fixture
def connection(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Failing]:
    """A connection to the database of a new folder, encrypted or (param None) in the clear."""
    DataFolder(tmp_path / "data", request.param).close()
    database = tmp_path / "data" / DATABASE_FILE
    with closing(sqlite3.connect(database, isolation_level=None, factory=Failing)) as failing:
        yield failing


@pytest.mark.parametrize(
    ("connection", "fails", "work"),
    [
        (None, "COMMIT", lambda each: encrypt(each, operator_key(), lambda _done, _all: None)),
        (operator_key(), "UPDATE data_keys", lambda each: rewrap(each, operator_key(), OTHER)),
        (operator_key(), "INSERT INTO meta", lambda each: keep_unkeyed_audit(each, "{}")),
    ],
    ids=["encrypt", "rotate", "audit"],
    indirect=["connection"],
)
def test_the_error_that_ended_it_is_told(connection: Failing, fails: str, work: Callable[[Failing], None]) -> None:
    """Not "cannot rollback - no transaction is active"."""
    connection.fails = fails
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        work(connection)
    assert not connection.in_transaction


def test_scrubbing_tells_it_too(tmp_path: Path) -> None:
    """When what is read of the file fails after SQLite has given the transaction up."""
    DataFolder(tmp_path / "data").close()
    database = tmp_path / "data" / DATABASE_FILE
    with closing(connect(database)) as connection:
        file = os.open(tmp_path, os.O_RDONLY)

        class Log:
            """Stands in for the log's path: looking at it ends the transaction, as an error would."""

            def exists(self) -> bool:
                connection.execute("ROLLBACK")
                raise OSError("disk I/O error")

        try:
            with pytest.raises(OSError, match="disk I/O error"):
                scrub(connection, file, Log())  # type: ignore[arg-type]
        finally:
            os.close(file)
