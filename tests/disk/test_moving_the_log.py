"""An fsync that fails while the log is moved into the database: the log is kept until it was read anew."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest

from disk.faults import FaultyDisk
from disk.test_failing_disk import NOT_SERVING, SERVING, Office, expect_store_unavailable, until
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang_service.store.sqlite.wal import KEPT_FILE
from rpc.wire import TIMEOUT_S


@pytest.fixture
def office(data: Path) -> Iterator[Office]:
    """An office with one list and eighty people: on pages of which later ones do not use all, in a short log."""
    opened = Office(data, FaultyDisk(data))
    watchlist = Watchlist(watchlist_id="disk")
    opened.wire.watchlists.CreateWatchlist(office_pb.CreateWatchlistRequest(watchlist=watchlist), timeout=TIMEOUT_S)
    for number in range(80):
        opened.enroll(number)
    yield opened
    opened.kill()


@contextmanager
def long_query(data: Path) -> Iterator[None]:
    """Read an old state of the database in this process, as a backup or a starting worker does."""
    with closing(sqlite3.connect(data / "gerbang.sqlite3", isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM meta").fetchone()
        yield


def delete(office: Office, number: int) -> None:
    """Delete a subject, upon which the server moves the log."""
    request = office_pb.DeleteSubjectRequest(subject_id=f"disk-{number}")
    office.wire.watchlists.DeleteSubject(request, timeout=TIMEOUT_S)
    office.kept.discard(number)


@pytest.mark.parametrize("by_kill", [True, False], ids=["killed", "stopped"])
def test_part_that_was_moved_and_lost_is_moved_again(office: Office, by_kill: bool) -> None:  # noqa: FBT001
    """What was moved in part, and lost by the fsync after that, is still in the log when the server starts again."""
    with long_query(office.data):
        for number in range(100, 110):
            office.enroll(number)
        office.disk.set(sync_error=errno.EIO, lose=1, database_only=1)
        delete(office, 0)  # moves what the query does not need any more, in part
        assert office.disk.get("lost") > 0
        assert (office.data / KEPT_FILE).exists()
    office.disk.mend()
    # It would be made from pages that are lost; and it would move the rest, and empty the log.
    expect_store_unavailable(lambda: delete(office, 1))
    expect_store_unavailable(lambda: office.enroll(110))
    until(lambda: office.health("gerbang.writes") == NOT_SERVING)
    assert all(office.found(number) == [f"disk-{number}"] for number in office.kept)
    assert "the log is kept until the server starts again" in office.running.stderr
    if by_kill:
        office.kill()
    else:
        assert office.running.stop() == 0
    office.start()
    office.check()
    assert not (office.data / KEPT_FILE).exists()
    assert office.health("gerbang.writes") == SERVING
    delete(office, 2)
    assert (office.data / "gerbang.sqlite3-wal").stat().st_size == 0


def test_log_that_can_not_be_moved_grows(office: Office) -> None:
    """Without room in the database file changes go on into the log; when that can't grow either, they are refused."""
    office.disk.set(space=3_000_000)
    with pytest.raises(grpc.RpcError):
        for number in range(1000, 9000):
            office.enroll(number)
    expect_store_unavailable(lambda: office.enroll(9999))
    office.check()
    office.disk.mend()
    office.enroll(9999)
    office.kill()
    office.start()
    office.check()
