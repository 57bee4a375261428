"""A disk that is full, read-only or can't sync: changes fail clearly, searches go on, nothing acknowledged is lost."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from disk.faults import FaultyDisk
from gerbang import EnrollRequest
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from rpc.wire import TIMEOUT_S, Failure, Wire, failure, template
from running import RunningServer, health_stub
from store.people import gerbang

TEMPLATES = ("--pack", "none", "--dimension", "16", "--threshold", "0.5")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
OTHERS = ("", "gerbang.v1.MatchingService", "gerbang.v1.WatchlistService")
WAYS = {
    "full": {"write_error": errno.ENOSPC},
    "no space left to grow": {"space": 0},
    "read-only": {"write_error": errno.EROFS},
    "broken": {"write_error": errno.EIO},
    "fsync fails": {"sync_error": errno.EIO},
    "fsync fails and loses": {"sync_error": errno.EIO, "lose": 1},
    "fsync finds no space": {"sync_error": errno.ENOSPC, "lose": 1},
}


class Office:
    """A server on a disk that can fail, and what it acknowledged. Its log of calls is on a disk that works."""

    def __init__(self, data: Path, disk: FaultyDisk) -> None:
        self.data = data
        self.disk = disk
        self.kept: set[int] = set()
        self.revision = 0
        self.start()

    def start(self) -> None:
        audit = str(self.data.with_name("audit"))
        self.running = RunningServer(self.data, *TEMPLATES, "--audit-folder", audit, env=self.disk.env)
        self.wire = Wire(self.running.address)

    def kill(self) -> None:
        self.wire.channel.close()
        self.running.kill()

    def enroll(self, number: int) -> None:
        request = EnrollRequest(
            subject=Subject(subject_id=f"disk-{number}", watchlists=["disk"]), samples=[template(number)] * 2
        )
        self.revision = self.wire.matching.Enroll(request, timeout=TIMEOUT_S).revision
        self.kept.add(number)

    def found(self, number: int) -> list[str]:
        request = pb.IdentifyRequest(probe=template(number), threshold=0.999)
        return [each.subject_id for each in self.wire.matching.Identify(request, timeout=TIMEOUT_S).candidates]

    def health(self, name: str) -> int:
        stub = health_stub(self.wire.channel)
        status: int = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT_S).status
        return status

    def listed(self) -> set[int]:
        page = self.wire.watchlists.ListSubjects(office_pb.ListSubjectsRequest(page_size=1000), timeout=TIMEOUT_S)
        return {int(each.subject_id.removeprefix("disk-")) for each in page.subjects}

    def check(self, maybe: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        """Check that those acknowledged are there and found, and nobody else but those that may be."""
        listed = self.listed()
        assert self.kept <= listed <= self.kept | maybe
        assert all(self.found(number) == [f"disk-{number}"] for number in listed)
        info = self.wire.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=TIMEOUT_S)
        assert info.gallery_size == 2 * len(listed)
        assert info.revision >= self.revision


@pytest.fixture
def office(data: Path) -> Iterator[Office]:
    """An office with one list and twenty people."""
    opened = Office(data, FaultyDisk(data))
    watchlist = Watchlist(watchlist_id="disk")
    opened.wire.watchlists.CreateWatchlist(office_pb.CreateWatchlistRequest(watchlist=watchlist), timeout=TIMEOUT_S)
    for number in range(20):
        opened.enroll(number)
    yield opened
    opened.kill()


def expect_store_unavailable(call: Callable[[], object]) -> None:
    failed: Failure = failure(call)
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"), failed


def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for something to hold."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.mark.parametrize("way", WAYS)
def test_changes_fail_and_searches_go_on(office: Office, way: str) -> None:
    """While the disk fails, every change is STORE_UNAVAILABLE and undone, and everything else is as ever."""
    revision = office.revision
    office.disk.set(**WAYS[way])
    if way == "no space left to grow":
        # The log has room of its own, which is used up first.
        with pytest.raises(grpc.RpcError):
            for number in range(1000, 3000):
                office.enroll(number)
        revision = office.revision
    for number in range(100, 105):
        expect_store_unavailable(lambda number=number: office.enroll(number))  # type: ignore[misc]
    delete = office_pb.DeleteSubjectRequest(subject_id="disk-0")
    expect_store_unavailable(lambda: office.wire.watchlists.DeleteSubject(delete, timeout=TIMEOUT_S))
    assert office.disk.get("failed") > 0
    assert office.found(100) == []
    office.check()
    assert office.revision == revision
    office.disk.mend()
    office.enroll(200)
    assert office.revision == revision + 1
    office.wire.watchlists.DeleteSubject(delete, timeout=TIMEOUT_S)
    office.kept.discard(0)
    office.check()
    office.kill()
    office.start()
    office.check()


@pytest.mark.parametrize("way", ["full", "fsync fails and loses"])
def test_health_says_that_only_writes_do_not_work(office: Office, way: str) -> None:
    """gerbang.writes, and no other name, is NOT_SERVING while changes fail, and SERVING again by itself after that."""
    assert office.health("gerbang.writes") == SERVING
    office.disk.set(**WAYS[way])
    expect_store_unavailable(lambda: office.enroll(100))
    until(lambda: office.health("gerbang.writes") == NOT_SERVING, 2)
    time.sleep(2.5)  # it is tried again, and fails again
    assert office.health("gerbang.writes") == NOT_SERVING
    assert [office.health(name) for name in OTHERS] == [SERVING] * 3
    office.disk.mend()
    until(lambda: office.health("gerbang.writes") == SERVING, 5)


def test_a_disk_that_hangs_holds_up_its_change_alone(office: Office) -> None:
    """After five seconds gerbang.writes is NOT_SERVING and changes are refused at once; the one that waits is kept."""
    office.disk.set(hang=1)
    waiting = office.wire.matching.Enroll.future(
        EnrollRequest(subject=Subject(subject_id="disk-100", watchlists=["disk"]), samples=[template(100)] * 2),
        timeout=60,
    )
    until(lambda: office.health("gerbang.writes") == NOT_SERVING, 10)
    assert [office.health(name) for name in OTHERS] == [SERVING] * 3
    expect_store_unavailable(lambda: office.enroll(101))
    assert not waiting.done()
    office.check()
    office.disk.mend()
    office.revision = waiting.result().revision
    office.kept.add(100)
    until(lambda: office.health("gerbang.writes") == SERVING, 5)
    office.enroll(102)
    office.check()


def test_a_change_that_works_ends_the_outage_at_once(office: Office) -> None:
    """The first change after the disk works again is taken, without waiting for the server to try by itself."""
    office.disk.set(write_error=errno.ENOSPC)
    expect_store_unavailable(lambda: office.enroll(100))
    office.disk.mend()
    office.enroll(100)
    until(lambda: office.health("gerbang.writes") == SERVING, 0.5)


def test_what_a_failed_sync_left_in_the_log_is_told_from_damage_while_the_server_runs(office: Office) -> None:
    """A long change fails, a short one overwrites its beginning: no damage; after a kill nobody can tell: it is said.

    The server starts all the same, with all that was acknowledged.
    """
    office.disk.set(sync_error=errno.EIO)
    expect_store_unavailable(
        lambda: office.wire.matching.Enroll(
            EnrollRequest(subject=Subject(subject_id="disk-100", watchlists=["disk"]), samples=[template(100)] * 20),
            timeout=TIMEOUT_S,
        )
    )
    office.disk.mend()
    watchlist = Watchlist(watchlist_id="short")
    office.wire.watchlists.CreateWatchlist(office_pb.CreateWatchlistRequest(watchlist=watchlist), timeout=TIMEOUT_S)
    assert gerbang("check", "--data", office.data).returncode == 0
    office.kill()
    found = gerbang("check", "--data", office.data)
    assert found.returncode == 1
    assert "never acknowledged" in found.stdout
    office.start()
    assert "never acknowledged" in office.running.stderr
    office.check()
    assert gerbang("check", "--data", office.data).returncode == 0


def test_syncs_that_fail_at_random_lose_nothing_acknowledged(office: Office) -> None:
    """Every third fsync fails and loses what it should have kept, and the server is killed again and again."""
    chance = random.Random(12)
    maybe: set[int] = set()
    refused = 0
    for round_number in range(4):
        office.disk.set(sync_error=errno.EIO, lose=1, sync_chance=300)
        for number in range(1000 * (round_number + 1), 1000 * (round_number + 1) + 150):
            try:
                office.enroll(number)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017 - either outcome is right
                refused += 1
            if chance.random() < 0.05:
                office.found(number)
        office.disk.set(sync_error=0, lose=0)
        office.kill()
        office.start()
        # One that was refused may be there after a crash, when nothing was written after it.
        there = office.listed()
        maybe |= {number for number in there - office.kept if number < 5000}
        assert len(maybe) <= 4
        office.check(maybe)
    assert refused > 50
    assert office.disk.get("lost") > 100_000
