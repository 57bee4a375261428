"""Erasing that can't be done at once: whoever deleted is answered, others have their turn, and it is done later."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gerbang import WatchlistClient
from gerbang_service.store.sqlite import store as sqlite_store
from gerbang_service.store.sqlite import wal
from gerbang_service.store.sqlite.connection import DATABASE_FILE
from gerbang_service.store.sqlite.store import SqliteStore
from rpc.wire import template
from running import RunningServer
from store.writes import MANY, MODEL, drop_list, put, put_list, wrote

TEMPLATES = ("--pack", "none", "--dimension", "16", "--threshold", "0.5")


@contextmanager
def no_file_more(pid: int) -> Iterator[None]:
    """Have a process open no file more than it has."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    opened = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
    lowest = next(number for number in range(len(opened) + 1) if number not in opened)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_a_deletion_that_cant_be_erased_at_once_is_answered_and_erased_later(data: Path) -> None:
    """Without a free file descriptor the log can't be looked at: that ends neither the call nor the server."""
    log = data / f"{DATABASE_FILE}-wal"
    with RunningServer(data, *TEMPLATES) as server:
        with WatchlistClient(server.address, timeout=10) as office:
            for number in range(3):
                office.enroll(f"p-{number}", [template(number)])
            assert len(list(office.list_subjects())) == 3
            time.sleep(1.5)  # the connection for queries is open by then
            with no_file_more(server.pid):
                office.delete_subject("p-1")
            assert len(list(office.list_subjects())) == 2
            end = time.monotonic() + 10
            while log.stat().st_size:
                assert time.monotonic() < end, "it was not erased"
                time.sleep(0.1)
            office.enroll("p-4", [template(4)])
        assert server.stop() == 0
    assert "Traceback" not in server.stderr


@pytest.fixture
def store(data: Path) -> Iterator[SqliteStore]:
    """Lend a store with a list that was deleted, of more members than leave it in one step."""
    made = SqliteStore(data)
    made.bind_model(MODEL, 8, ignore_others=False)
    wrote(made, put_list("v"), *(put(f"s{each}", "v") for each in range(MANY)), drop_list("v"))
    yield made
    made.close()


def members(store: SqliteStore) -> int:
    """Return how many are still noted to be on a list."""
    (count,) = store._writer.execute("SELECT count(*) FROM memberships").fetchone()
    return int(count)


@pytest.mark.parametrize("hurried", [True, False])
def test_members_leave_a_deleted_list_a_while_at_a_time(
    store: SqliteStore,
    monkeypatch: pytest.MonkeyPatch,
    hurried: bool,  # noqa: FBT001
) -> None:
    """Whether or not changes wait now, some may by the end of a step; what is left is said to be."""
    monkeypatch.setattr(sqlite_store, "_LEAVE_FOR_S", 1e-9)
    monkeypatch.setattr(sqlite_store, "_LEAVE_IDLE_S", 1e-9)
    before = members(store)
    failures: list[str | None] = [""]
    assert before > 0
    while failures[-1] is not None:
        failures.append(store.erase(hurried=lambda: hurried))
        assert members(store) < before
        before = members(store)
        assert len(failures) < 10
    assert len(failures) > 2
    assert before == 0


def test_the_log_stays_small_while_members_leave_a_deleted_list(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is moved into the database between two steps: a list of millions would make it larger than that many times."""
    monkeypatch.setattr(wal, "_LARGEST", 0)
    sizes: list[int] = []
    trim = store._log.trim

    def noted() -> None:
        trim()
        sizes.append(store.file_sizes()["write_ahead_log"])

    monkeypatch.setattr(store._log, "trim", noted)
    assert store.erase() is None
    assert len(sizes) > 1
    assert not any(sizes)


def test_nothing_is_erased_by_writing_into_a_database_that_is_distrusted(store: SqliteStore) -> None:
    """After a failed fsync nothing is written until the server starts again: no members leave a list either."""
    before = members(store)
    store._log._distrusted = store._log._kept = True
    assert "start the server again" in str(store.erase())
    assert members(store) == before > 0
