"""Nothing of a deleted row is left in the free middle of a page, where SQLite leaves some."""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gerbang_service.store.sqlite.connection import connect
from gerbang_service.store.sqlite.schema import migrate
from gerbang_service.store.sqlite.wal import WriteAheadLog


def erasures_that_left_something(database: Path, seed: int, move: Callable[[sqlite3.Connection], object]) -> int:
    """Add, relabel and delete people; return after how many erasures part of what was erased is in the file."""
    chance, live, left = random.Random(seed), dict[str, list[bytes]](), 0
    with closing(connect(database)) as connection:
        migrate(connection)
        move(connection)
        for _ in range(260):
            gone: list[bytes] = []
            if chance.random() < 0.6 or not live:
                name = _add(connection, chance, live)
                if chance.random() < 0.3:
                    name = chance.choice(list(live))
                    gone.append(live[name].pop())
                    live[name].append(_labels(chance).encode())
                    labels = live[name][-1].decode()
                    connection.execute("UPDATE subjects SET labels = ? WHERE subject_id = ?", (labels, name))
            else:
                name = chance.choice(list(live))
                gone.extend(live.pop(name))
                connection.execute("DELETE FROM subjects WHERE subject_id = ?", (name,))
                connection.execute("UPDATE requests SET digest = x'' WHERE subject_id = ?", (name,))
            if gone:
                move(connection)
                content = database.read_bytes()
                left += any(value[at : at + 16] in content for value in gone for at in range(0, len(value) - 16, 48))
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return left


def _add(connection: sqlite3.Connection, chance: random.Random, live: dict[str, list[bytes]]) -> str:
    name, request = (str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(2))
    vector, answer, labels = (*(chance.randbytes(chance.randrange(60, 1100)) for _ in range(2)), _labels(chance))
    connection.execute("INSERT INTO subjects VALUES (NULL, ?, NULL, NULL, ?, 0, 0, 1, '')", (name, labels))
    connection.execute(
        "INSERT INTO templates (subject_key, model, create_time_ns, vector) "
        "SELECT subject_key, 'm', 0, ? FROM subjects WHERE subject_id = ?",
        (vector, name),
    )
    connection.execute("INSERT INTO requests VALUES (?, ?, ?, NULL, 0, 0)", (request, answer, name))
    live[name] = [vector, answer, labels.encode()]
    return name


def _labels(chance: random.Random) -> str:
    return chance.randbytes(chance.randrange(40, 1100)).hex()


@pytest.mark.parametrize("seed", [4, 8])
def test_deleted_rows_leave_nothing_in_the_pages(tmp_path: Path, seed: int) -> None:
    """After every one of a hundred deletions, nothing of the deleted is in the file, and the database is whole."""
    logs: list[WriteAheadLog] = []
    database = tmp_path / "gerbang.sqlite3"

    def move(connection: sqlite3.Connection) -> None:
        if not logs:
            logs.append(WriteAheadLog(connection, database))
        assert logs[0].empty()

    assert erasures_that_left_something(database, seed, move) == 0


def test_sqlite_alone_would_leave_something(tmp_path: Path) -> None:
    """Without that, the same deletions leave parts of people: were that to change, all this could go."""
    assert any(
        erasures_that_left_something(
            tmp_path / f"{seed}.sqlite3",
            seed,
            lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone(),
        )
        for seed in (4, 8)
    )
