"""Both stores keep to the contract; what only the durable one can show is beside it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.memory import MemoryStore
from gerbang_service.store.port import AnsweredRequest, Outcome, Store
from gerbang_service.store.sqlite.store import SqliteStore
from running import operator_key
from store.contract import StoreContract
from store.people import DATABASE
from store.writes import MANY, MODEL, answer, drop_list, put, put_list, wrote


def opened(folder: Path) -> SqliteStore:
    """Open a durable store, encrypted as tests' servers are."""
    store = SqliteStore(folder, operator_key(), followed=True)
    store.bind_model(MODEL, 8, ignore_others=True)
    return store


class TestSqlite(StoreContract):
    """The durable store."""

    def opened(self, folder: Path) -> Store:
        return opened(folder)

    def break_disk(self, store: Store) -> None:
        assert isinstance(store, SqliteStore)
        store._writer.execute("PRAGMA query_only = ON")


class TestMemory(StoreContract):
    """The official fake."""

    def opened(self, folder: Path) -> Store:  # noqa: ARG002 - as the durable one
        return MemoryStore(MODEL)

    def break_disk(self, store: Store) -> None:
        assert isinstance(store, MemoryStore)
        store.broken = "the disk is full"


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    """Lists, people, answers, counts and the last ids that were given."""
    store = opened(tmp_path / "data")
    wrote(store, put_list("v"), put("a", "v", seeds=[1, 2]), answer("r", "a", 5), put("b", "v", seeds=[3]))
    store.close()
    store = opened(tmp_path / "data")
    with store.reading() as reader:
        assert (reader.revision(), reader.subject_counts()) == (3, {"v": 2})
        assert reader.answered("r") == AnsweredRequest("r", b"digest", "a", (1, "NO_FACE"), 7, 5)
    assert wrote(store, put("c", seeds=[4])) == [[4]]
    store.close()


def test_a_damaged_row_fails_the_change_of_it_alone(tmp_path: Path) -> None:
    """Who changes a subject that can't be read is told so; the other changes of the group are written."""
    store = opened(tmp_path / "data")
    wrote(store, put_list("v"), put("a", "v"), put("b", "v"))
    with closing(sqlite3.connect(store.folder / DATABASE)) as connection:
        connection.execute("UPDATE subjects SET labels = 'damaged' WHERE subject_id = 'a'")
        connection.commit()
    operations: list[Any] = [put("c", "v"), lambda t: Outcome(t.subject("a")), put("d", "v")]
    first, damaged, last = store.write(operations)
    assert isinstance(damaged, DataDamaged)
    assert isinstance(first, Outcome)
    assert isinstance(last, Outcome)
    with store.reading() as reader:
        assert reader.subject_counts() == {"v": 4}
    store.close()


def test_who_was_on_a_deleted_list_leaves_it_after_a_crash_too(tmp_path: Path) -> None:
    """Killed before all have left it, the next one goes on; a list of the same name has nobody of it meanwhile."""

    def many(transaction: Any) -> Outcome[None]:
        transaction.put_watchlist(Watchlist("v"))
        for number in range(MANY):
            put(f"s{number}", "v")(transaction)
        return Outcome(None)

    def left() -> int:
        with closing(sqlite3.connect(tmp_path / "data" / DATABASE)) as connection:
            return int(connection.execute("SELECT count(*) FROM memberships").fetchone()[0])

    store = opened(tmp_path / "data")
    wrote(store, many, drop_list("v"))
    assert 0 < left() < MANY
    store._log.close()
    store._folder.close()
    store = opened(tmp_path / "data")
    wrote(store, put_list("v"), put("s1", "v"))
    with store.reading() as reader:
        assert reader.subject_counts() == {"v": 1}
    while (why := store.erase(hurried=lambda: True)) is not None:
        assert "still leave it" in why
    assert left() == 1
    store.close()
