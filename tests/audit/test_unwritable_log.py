"""The log's disk fails: nothing is changed or, in the end, answered without a record, and no record is lost."""

from __future__ import annotations

import errno
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from audit.logs import entries, verify, wait_for
from crash.templates import TEMPLATES, samples_of, template
from disk.faults import FaultyDisk
from gerbang import GateClient, GerbangError, WatchlistClient
from gerbang_service.audit.log import MOST_WAITING_BYTES, AuditLog
from gerbang_service.domain.errors import AuditUnavailable
from gerbang_service.rpc.health import WRITES
from running import RunningServer, health_stub

SEARCHES = 20
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
WAYS = {
    "full": {"write_error": errno.ENOSPC},
    "no room to grow": {"space": 100},
    "broken": {"write_error": errno.EIO},
    "sync fails and loses": {"sync_error": errno.EIO, "lose": 1},
}


class Recorded:
    """A server whose log is on a disk that can fail; its database's is sound."""

    def __init__(self, folder: Path) -> None:
        self.audit = folder / "audit"
        self.audit.mkdir(mode=0o700)
        self.disk = FaultyDisk(self.audit)
        self.running = RunningServer(folder / "data", *TEMPLATES, "--audit-folder", str(self.audit), env=self.disk.env)
        self.office = WatchlistClient(self.running.address, timeout=30)
        self.gate = GateClient(self.running.address, timeout=10)

    def reason_of_enrolling(self, number: int) -> str:
        """Enrol somebody; return why it failed, "" when it did not."""
        try:
            self.office.enroll(f"p-{number}", samples_of(number))
        except GerbangError as error:
            return error.reason if error.code is grpc.StatusCode.UNAVAILABLE else str(error)
        return ""

    def health(self, name: str = "") -> int:
        """Return what the health service says."""
        with grpc.insecure_channel(self.running.address) as channel:
            answer = health_stub(channel).Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
        status: int = answer.status
        return status

    def count(self, rpc: str, outcome: str) -> int:
        """Return how many records of an rpc there are that have a field."""
        return sum(each.get("rpc") == rpc and outcome in each for each in entries(self.audit))


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    """A server whose log is on a disk that can fail."""
    made = Recorded(tmp_path)
    yield made
    made.disk.mend()
    made.office.close()
    made.gate.close()
    made.running.stop()


@pytest.mark.parametrize("way", WAYS)
def test_changes_fail_and_searches_go_on_until_the_disk_is_mended(recorded: Recorded, way: str) -> None:
    """Changes are AUDIT_UNAVAILABLE, none but the first is made, searches are answered; later all of it is recorded."""
    assert recorded.reason_of_enrolling(1) == ""
    before = recorded.office.server_info().revision
    recorded.disk.set(**WAYS[way])
    # The first may find it out: what it changed is recorded later. The others are refused before they change anything.
    assert recorded.reason_of_enrolling(2) == "AUDIT_UNAVAILABLE"
    for number in range(3, 8):
        assert recorded.reason_of_enrolling(number) == "AUDIT_UNAVAILABLE"
    changed = recorded.office.server_info().revision
    assert changed in (before, before + 1)
    for _ in range(SEARCHES):
        assert recorded.gate.identify(template(10)).gallery_size >= 3
    wait_for(lambda: recorded.health(WRITES) == NOT_SERVING)
    assert recorded.health() == SERVING
    recorded.disk.mend()
    wait_for(lambda: recorded.reason_of_enrolling(9) == "")
    wait_for(lambda: recorded.health(WRITES) == SERVING)
    wait_for(lambda: recorded.count("Identify", "answered") == SEARCHES)
    assert recorded.running.stop() == 0
    verdict = verify(recorded.audit, None)
    assert verdict.sound, verdict.breaks
    log = entries(recorded.audit)
    resumed = [each for each in log if each.get("event") == "resumed"]
    assert len(resumed) == 1
    assert {each["failed"]["reason"] for each in log if "failed" in each} == {"AUDIT_UNAVAILABLE"}
    # What was done and could not be answered has two records: of the change, and of what the client was told.
    assert {each["committed"] for each in log if "committed" in each} == set(range(1, changed + 2))
    assert "can't be written" in recorded.running.stderr


def test_a_disk_that_hangs_counts_as_one_that_fails(recorded: Recorded) -> None:
    """After five seconds further changes are refused instead of waiting too; searches go on; nothing is lost."""
    recorded.disk.set(hang=1)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(recorded.reason_of_enrolling, 1)
        wait_for(lambda: recorded.health(WRITES) == NOT_SERVING)
        assert recorded.reason_of_enrolling(2) == "AUDIT_UNAVAILABLE"
        assert recorded.gate.identify(template(10)).gallery_size == 3
        assert not waiting.done()
        recorded.disk.mend()
        assert waiting.result(20) == ""
    wait_for(lambda: recorded.health(WRITES) == SERVING)
    assert recorded.reason_of_enrolling(2) == ""
    assert recorded.running.stop() == 0
    assert verify(recorded.audit, None).sound
    assert {each["committed"] for each in entries(recorded.audit) if "committed" in each} == {1, 2}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Have this process's files not grow beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_too_much_waiting_refuses_calls(tmp_path: Path) -> None:
    """While the disk fails records wait in memory up to a bound; beyond it they are refused, and counted in the log."""
    folder = tmp_path / "audit"
    audit = AuditLog(folder)
    record = b'{"rpc":"Identify","padding":"%b"}' % (b"x" * 1_000_000)
    fits = MOST_WAITING_BYTES // len(record)
    with files_of_at_most(1000):
        audit.append(record)
        wait_for(lambda: audit.failing)
        with pytest.raises(AuditUnavailable, match="File too large"):
            for _ in range(fits + 10):
                audit.append(record)
    wait_for(lambda: not audit.failing)
    audit.stop()
    log = entries(folder)
    assert sum(each.get("rpc") == "Identify" for each in log) >= fits - 1
    (resumed,) = [each for each in log if each.get("event") == "resumed"]
    assert resumed["refused_calls"] >= 1
    assert verify(folder, None).sound


def test_a_head_that_can_t_be_written_fails_until_it_can(tmp_path: Path) -> None:
    """While the records can be written and the head file can't, the log fails, once: it does not fill with events."""
    folder = tmp_path / "audit"
    audit = AuditLog(folder)
    in_the_way = folder / "head.new"
    in_the_way.mkdir()
    audit.append(b'{"rpc":"Identify"}')
    wait_for(lambda: audit.failing)
    time.sleep(2.0)
    assert audit.failing
    with pytest.raises(AuditUnavailable):
        audit.check()
    in_the_way.rmdir()
    wait_for(lambda: not audit.failing)
    audit.stop()
    assert [each["event"] for each in entries(folder) if "event" in each] == ["file", "resumed"]
    assert verify(folder, None).sound
