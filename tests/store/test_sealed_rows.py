"""Who is on which list, validity, actions, thresholds and tokens can't be changed without the key and go unseen."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gerbang_service.domain.errors import DataDamaged, StartupError, StoreUnavailable
from gerbang_service.store.port import Outcome, Transaction
from gerbang_service.store.sealing.keys import create_key_file
from gerbang_service.store.sqlite import commands
from gerbang_service.store.sqlite.backup import backup, restore
from gerbang_service.store.sqlite.connection import DATABASE_FILE
from gerbang_service.store.sqlite.store import SqliteStore
from running import operator_key
from store.people import DATABASE
from store.tampering import (
    MODEL,
    STATEMENTS,
    byte_places,
    change_by_statement,
    change_byte,
    database,
    found_by_check,
    found_by_start,
    same,
)

PEOPLE = 48
SEALED = ("subjects", "memberships", "watchlists", "tokens", "templates", "proposals")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of people on lists, and of tokens. Never changed."""
    return database(tmp_path_factory.mktemp("sealed") / "data", PEOPLE)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test puts a database."""
    return tmp_path / "changed"


@contextmanager
def changed(content: bytes, file: Path) -> Iterator[sqlite3.Connection]:
    """Lend a database to be changed without a key."""
    file.write_bytes(content)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        yield connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def folder_of(content: bytes, folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    (folder / DATABASE_FILE).write_bytes(content)
    return folder


def test_what_nobody_changed_is_whole(whole: Path) -> None:
    """Neither a check nor a start finds anything."""
    assert not found_by_check(whole)
    assert found_by_start(whole.read_bytes()) is None


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_row_changed_deleted_or_put_in_is_found(whole: Path, file: Path, statement: str) -> None:
    """By SQL, so that the database itself is in order: by a check, and by a start but for what that does not read."""
    content, exact = change_by_statement(whole.read_bytes(), file, random.Random(5), statement)
    assert not same(file, whole)
    assert found_by_check(file), exact
    assert found_by_start(content) or statement.startswith("UPDATE memberships SET subject_id"), exact


def test_a_byte_changed_anywhere_in_a_record_is_found(whole: Path, file: Path) -> None:
    """Of memberships, subjects, lists, tokens and their indexes: twenty places; `make tampering` tries more."""
    content, chance = whole.read_bytes(), random.Random()
    places = byte_places(content, whole)
    assert len(places) > 5_000
    for _ in range(20):
        damaged, how = change_byte(content, places, chance)
        file.write_bytes(damaged)
        assert found_by_check(file) or same(file, whole), how


def test_every_column_is_sealed(whole: Path, file: Path) -> None:
    """One that is added to a table and not to what is sealed would be changed unseen."""
    with closing(sqlite3.connect(whole)) as connection:
        columns = [
            (table, name, kind)
            for table in SEALED
            for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")
        ]
    assert len(columns) > 30
    for table, column, kind in columns:
        value = {"TEXT": "'x'", "INTEGER": "777", "REAL": "0.123", "BLOB": "x'00'"}[kind]
        with changed(whole.read_bytes(), file) as connection:
            last = f"(SELECT max({column}) FROM {table})"  # noqa: S608
            one = f"{column} IS {last}" if kind != "BLOB" else f"{column} = (SELECT {column} FROM {table} LIMIT 1)"  # noqa: S608
            done = connection.execute(f"UPDATE OR IGNORE {table} SET {column} = {value} WHERE {one}").rowcount  # noqa: S608
        assert done, (table, column)
        assert found_by_check(file), (table, column)


@pytest.mark.parametrize(
    ("table", "of", "change"),
    [
        ("subjects", "subject_id = 'person-8'", "subject"),
        ("watchlists", "watchlist_id = 'cegah'", "watchlist"),
        ("tokens", "role = 'gate'", "token"),
    ],
)
def test_an_earlier_row_that_is_put_back_is_found(
    whole: Path, tmp_path: Path, table: str, of: str, change: str
) -> None:
    """Each was sealed with the key, once: but is not the one that is due."""
    folder = folder_of(whole.read_bytes(), tmp_path / "data")
    with closing(sqlite3.connect(whole)) as connection:
        row = connection.execute(f"SELECT * FROM {table} WHERE {of} ORDER BY create_time_ns DESC").fetchone()  # noqa: S608

    def operation(transaction: Transaction) -> Outcome[None]:
        if change == "subject":
            subject = transaction.subject("person-8")
            assert subject is not None
            transaction.put_subject(replace(subject, expire_time_ns=3 * 10**18))
        elif change == "watchlist":
            watchlist = transaction.watchlist("cegah")
            assert watchlist is not None
            transaction.put_watchlist(replace(watchlist, threshold=0.9))
        transaction.next_revision()
        return Outcome(None)

    store = SqliteStore(folder, operator_key())
    assert isinstance(store.write([operation])[0], Outcome)
    store.close()
    if change == "token":
        with commands.token_table(folder, operator_key(), writing=True) as tokens:
            assert tokens.revoke(row[0], 9)
    SqliteStore(folder, operator_key()).close()
    content = (folder / DATABASE).read_bytes()
    assert found_by_start(content) is None
    with changed(content, folder / DATABASE) as connection:
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)  # noqa: S608
        # What the triggers did of it, undone.
        connection.execute("DELETE FROM gone_lists")
        connection.execute("DELETE FROM list_sizes")
        connection.execute(
            "INSERT INTO list_sizes SELECT list_key, count(subject_id) FROM watchlists LEFT JOIN memberships "
            "USING (list_key) GROUP BY list_key"
        )
    expected = f"table {table}: a row is not the one that is due, but an earlier or another one"
    assert found_by_check(folder / DATABASE) == [expected]
    assert expected in str(found_by_start((folder / DATABASE).read_bytes()))


def test_rows_put_back_with_their_tally_while_a_server_runs_are_not_sealed_anew(whole: Path, tmp_path: Path) -> None:
    """A change is refused rather than made on top of them."""
    folder = folder_of(whole.read_bytes(), tmp_path / "data")
    store = SqliteStore(folder, operator_key())

    def drop(transaction: Transaction) -> Outcome[None]:
        transaction.delete_subject("person-9")
        transaction.next_revision()
        return Outcome(None)

    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
        before = connection.execute("SELECT * FROM meta WHERE key = 'tally'").fetchone()
        assert isinstance(store.write([drop])[0], Outcome)
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", before)
        refused = store.write([lambda _: Outcome(None)])[0]
        assert isinstance(refused, StoreUnavailable)
        assert "table meta" in str(refused)
    store.close()


def test_tokens_changed_without_the_key_let_nobody_in(whole: Path, tmp_path: Path) -> None:
    """A server looks at each change: one that was revoked can't be made valid again, nor anybody's be put there."""
    folder = folder_of(whole.read_bytes(), tmp_path / "data")
    store = SqliteStore(folder, operator_key())
    with store.reading() as reader:
        assert len(reader.tokens()) == 3
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
        connection.execute("UPDATE tokens SET revoke_time_ns = NULL")
    with store.reading() as reader, pytest.raises(DataDamaged, match="API token"):
        reader.tokens()
    store.close()
    with (
        pytest.raises((StartupError, DataDamaged), match="API token"),
        commands.token_table(folder, operator_key(), writing=True) as tokens,
    ):
        tokens.revoke("nobody", 1)


def test_another_key_a_backup_and_its_restore_leave_all_sealed(whole: Path, tmp_path: Path) -> None:
    """The seals are of the data key, which stays; a copy has them too."""
    folder = folder_of(whole.read_bytes(), tmp_path / "data")
    new = create_key_file(tmp_path / "new.key")
    commands.rotate_key(folder, operator_key(), new)
    assert commands.check(folder, new).sound
    assert backup(folder, tmp_path / "copy", new).sound
    assert restore(tmp_path / "copy", tmp_path / "restored", new).sound
    store = SqliteStore(tmp_path / "restored", new)
    with store.contents(MODEL) as contents:
        assert len(list(contents.subjects)) == PEOPLE - 1
        assert sum(map(len, contents.templates)) == PEOPLE - 1
    store.close()
