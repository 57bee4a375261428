"""A writer that is not alone follows what others write: before it starts, on demand, and while it waits its turn."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gerbang_service.changing import writer as writing
from gerbang_service.changing.watchlists import create_watchlist, delete_watchlist
from gerbang_service.changing.writer import Writer
from gerbang_service.domain.errors import StoreUnavailable
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions
from gerbang_service.store.sqlite.connection import DATABASE_FILE
from gerbang_service.store.sqlite.store import SqliteStore
from workers.test_following import DIMENSION, write

WAIT_S = 5.0


class Follower:
    """A writer with a gallery of its own on a folder that another store writes to."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder, supervised=True)
        self.gallery = Gallery(DIMENSION, 16, GalleryOptions())
        self.revisions: queue.Queue[int] = queue.Queue()
        self.failed = threading.Event()
        self.writer = Writer(
            self.store,
            self.gallery,
            max_pending=10,
            follows=True,
            on_revision=self.revisions.put,
            on_failure=self.failed.set,
        )


@pytest.fixture
def other(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "data", followed=True)
    yield store
    store.close()


@pytest.fixture
def follower(other: SqliteStore) -> Iterator[Follower]:
    made = Follower(other.folder)
    yield made
    made.writer.stop()
    made.store.close()


@pytest.fixture
def rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it look at others only when something wakes it."""
    monkeypatch.setattr(writing, "_FOLLOWED_EVERY_S", 600.0)


@pytest.mark.usefixtures("rarely")
def test_it_catches_up_before_it_starts(other: SqliteStore, follower: Follower) -> None:
    """What others wrote while the gallery was loaded is in the first revision that it shows."""
    write(other, create_watchlist(Watchlist("meanwhile")))
    follower.writer.start()
    assert follower.revisions.get_nowait() == 1
    assert "meanwhile" in follower.gallery.watchlists


@pytest.mark.usefixtures("rarely")
def test_it_looks_at_once_when_told(other: SqliteStore, follower: Follower) -> None:
    """Who waits for a revision does not wait for the next look as well."""
    follower.writer.start()
    assert follower.revisions.get(timeout=WAIT_S) == 0
    write(other, create_watchlist(Watchlist("w")))
    with pytest.raises(queue.Empty):
        follower.revisions.get(timeout=0.1)
    follower.writer.look()
    assert follower.revisions.get(timeout=WAIT_S) == 1


def test_it_erases_what_one_that_died_had_deleted(other: SqliteStore, follower: Follower) -> None:
    """Who starts erases what another process deleted and, killed, did not erase."""
    named = Watchlist("w", labels={"case": "to-be-erased"})
    write(other, create_watchlist(named))
    write(other, delete_watchlist("w", force=True))
    log = other.folder / f"{DATABASE_FILE}-wal"
    assert b"to-be-erased" in log.read_bytes()
    follower.writer.start()
    deadline = time.monotonic() + WAIT_S
    while b"to-be-erased" in log.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert b"to-be-erased" not in (other.folder / DATABASE_FILE).read_bytes()


def test_it_follows_while_it_waits_its_turn(other: SqliteStore, follower: Follower) -> None:
    """Others who write for long don't make it fall behind, and its own change comes after theirs."""
    follower.writer.start()
    assert follower.revisions.get(timeout=WAIT_S) == 0
    with other._folder.writing():
        own = follower.writer.submit(create_watchlist(Watchlist("own")))
        for number in range(1, 4):
            with other._changing():
                other._run([create_watchlist(Watchlist(f"other-{number}"))])
            assert follower.revisions.get(timeout=WAIT_S) == number
        assert not own.done()
    assert own.result(WAIT_S).revision == 4
    assert list(follower.gallery.watchlists) == ["other-1", "other-2", "other-3", "own"]


def test_what_waits_is_refused_when_it_has_to_stop(other: SqliteStore, follower: Follower) -> None:
    """A change without a record ends it: who waits to be written is told, and others may write on."""
    follower.writer.start()
    with other._folder.writing():
        waiting = [follower.writer.submit(create_watchlist(Watchlist("begun")))]
        deadline = time.monotonic() + WAIT_S
        while not waiting[0].running():
            assert time.monotonic() < deadline
        waiting += [follower.writer.submit(create_watchlist(Watchlist(f"queued-{n}"))) for n in range(3)]
        connection = sqlite3.connect(other.folder / DATABASE_FILE)
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")
        connection.commit()
        connection.close()
        assert follower.failed.wait(WAIT_S)
    for each in waiting:
        assert isinstance(each.exception(WAIT_S), StoreUnavailable)
    # The turn that it waited for comes all the same, and has to be given back.
    follower.store._folder._waiting.submit(int).result(WAIT_S)
    write(other, create_watchlist(Watchlist("w")))
