"""An encrypted database of before lists had a target is sealed anew as it was sealed, and not as somebody left it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gerbang_service.domain.errors import StartupError
from gerbang_service.store.sqlite.checking import check
from gerbang_service.store.sqlite.connection import connect, look
from gerbang_service.store.sqlite.rows import WATCHLIST_ROW, watchlist_place
from gerbang_service.store.sqlite.store import SqliteStore
from gerbang_service.store.sqlite.tally import Turnover
from gerbang_service.store.sqlite.vault import cipher_of, seal_meta
from running import operator_key
from store.tampering import LISTS, database, found_by_check

UNTARGETED = 6
_KEY, _LABELS, _OLD_COLUMNS = 0, 6, 10


def change(file: Path, statement: str) -> None:
    """Change a database that nobody has open, without a key."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A database as that schema had it, which a check is content with."""
    file = database(tmp_path / "data", 12, chain=None)
    with closing(connect(file)) as connection:
        cipher = connection.cipher = cipher_of(connection, operator_key())
        connection.execute("BEGIN IMMEDIATE")
        turnover = Turnover()
        for row in connection.execute(f"SELECT {WATCHLIST_ROW} FROM watchlists").fetchall():  # noqa: S608
            labels = cipher.open_text(row[_LABELS], watchlist_place(row))
            sealed = cipher.seal_text(labels, watchlist_place(row[:_OLD_COLUMNS]))
            connection.execute("UPDATE watchlists SET labels = ? WHERE list_key = ?", (sealed, row[_KEY]))
            turnover.remove("watchlists", [row[_LABELS]])
            turnover.add("watchlists", [sealed])
        turnover.remove("proposals", [sealed for (sealed,) in connection.execute("SELECT content FROM proposals")])
        connection.execute("DROP TABLE proposals")
        turnover.settle(connection)
        seal_meta(connection)
        for column in ("two_person_removal", "target_fpir"):
            connection.execute(f"ALTER TABLE watchlists DROP COLUMN {column}")
        connection.execute("ALTER TABLE templates DROP COLUMN chain")
        connection.execute(f"PRAGMA user_version = {UNTARGETED}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not found_by_check(file)
    return file


def test_its_lists_are_sealed_anew_with_what_they_have_now(older: Path) -> None:
    """They ask for no target and for no second person; a later change of either without the key is found."""
    store = SqliteStore(older.parent, operator_key())
    with store.reading() as reader:
        lists = {each.watchlist_id: each for each in reader.watchlists()}
    store.close()
    assert set(lists) == set(LISTS)
    assert {(each.target_fpir, each.two_person_removal) for each in lists.values()} == {(None, False)}
    assert lists["cegah"].labels == {"of": "cegah"}
    with closing(look(older)) as opened:
        assert check(opened, operator_key()).sound
    for what in ("target_fpir = 0.5", "two_person_removal = 1"):
        change(older, f"UPDATE watchlists SET {what} WHERE watchlist_id = 'cegah'")  # noqa: S608
        assert found_by_check(older), what


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE watchlists SET threshold = 0.9 WHERE watchlist_id = 'cegah'",
        "DELETE FROM watchlists WHERE watchlist_id = 'tangkal'",
        "UPDATE watchlists SET labels = (SELECT labels FROM watchlists WHERE watchlist_id = 'tangkal')",
        "UPDATE meta SET value = value + 1 WHERE key = 'revision'",
    ],
)
def test_what_was_changed_without_the_key_is_found_and_not_sealed(older: Path, statement: str) -> None:
    """Before its first start with the new program, and by it: it leaves the database as it is."""
    change(older, statement)
    assert found_by_check(older)
    with pytest.raises(StartupError, match="can't be used"):
        SqliteStore(older.parent, operator_key())
    with closing(sqlite3.connect(older)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (UNTARGETED,)
    assert found_by_check(older)
