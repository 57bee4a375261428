"""Who can write the folder, and has no key, forges no proposal, changes nobody's name in one, and brings none back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gerbang_service.access.identity import Identity, Role
from gerbang_service.changing.proposals import confirm
from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.port import Outcome, Transaction
from gerbang_service.store.sqlite import commands
from gerbang_service.store.sqlite.store import SqliteStore
from running import operator_key
from store.people import DATABASE
from store.tampering import database, found_by_check

BOB = Identity("bob", Role.ADMIN)
OPEN, WITHDRAWN = 1, 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return database(tmp_path / "data", 24).parent


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    """Two proposals wait there, and another is put there and given up by each test that needs one."""
    opened = SqliteStore(folder, operator_key())
    yield opened
    opened.close()


def raw(folder: Path, change: Callable[[sqlite3.Connection], object]) -> None:
    """Change the file beside the server, without the key."""
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
        change(connection)


def put_back(store: SqliteStore, folder: Path) -> None:
    def operation(transaction: Transaction) -> Outcome[None]:
        (first, *_) = transaction.proposals(after=0, limit=9)
        assert transaction.put_proposal(first) == WITHDRAWN
        transaction.next_revision()
        return Outcome(None)

    def gone(transaction: Transaction) -> Outcome[None]:
        transaction.delete_proposal(WITHDRAWN)
        transaction.next_revision()
        return Outcome(None)

    assert store.write([operation]) == [Outcome(None)]
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        row = connection.execute("SELECT * FROM proposals WHERE proposal_id = ?", (WITHDRAWN,)).fetchone()
    assert store.write([gone]) == [Outcome(None)]
    raw(folder, lambda each: each.execute(f"INSERT INTO proposals VALUES ({', '.join('?' * len(row))})", row))  # noqa: S608


CHANGES: dict[str, Callable[[SqliteStore, Path], object]] = {
    "another proposer": lambda _, at: raw(at, lambda each: each.execute("UPDATE proposals SET proposed_by = 'eve'")),
    "another subject": lambda _, at: raw(at, lambda each: each.execute("UPDATE proposals SET subject_id = 'person-1'")),
    "a later end": lambda _, at: raw(at, lambda each: each.execute("UPDATE proposals SET expire_time_ns = 4e18")),
    "one deleted": lambda _, at: raw(at, lambda each: each.execute("DELETE FROM proposals WHERE proposal_id = 3")),
    "one put back": put_back,
    "one copied": lambda _, at: raw(
        at,
        lambda each: each.execute(
            "INSERT INTO proposals SELECT 2, kind, subject_id, watchlist_id, lists, request_id, 'eve', role, revision, "
            "propose_time_ns, expire_time_ns, content FROM proposals WHERE proposal_id = 1"
        ),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_found_and_nothing_is_confirmed(store: SqliteStore, folder: Path, change: str) -> None:
    """By a check, by who lists proposals, and before one is made."""
    with store.reading() as reader:
        before = reader.subject("person-7"), reader.subject("person-14")
        assert len(reader.proposals(after=0, limit=9)) == 2
    CHANGES[change](store, folder)
    with store.reading() as reader, pytest.raises(DataDamaged):
        reader.proposals(after=0, limit=9)
    numbers = [OPEN, 2, 3, WITHDRAWN]
    outcomes = store.write([confirm(BOB, each, "m") for each in numbers])
    assert all(isinstance(each, DataDamaged) or "no open proposal" in str(each) for each in outcomes), outcomes
    assert isinstance(outcomes[0], DataDamaged)
    with store.reading() as reader:
        assert (reader.subject("person-7"), reader.subject("person-14")) == before
    assert any("proposal" in each for each in commands.check(folder, operator_key()).damage)


def test_a_check_is_content_with_what_nobody_changed(folder: Path) -> None:
    assert not found_by_check(folder / DATABASE)
    assert commands.check(folder, operator_key()).counts["proposals"] == 2
