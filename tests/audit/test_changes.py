"""The records of changes: on disk before the answer, whatever becomes of the server or the client meanwhile."""

from __future__ import annotations

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from audit.logs import entries, verify, wait_for
from crash.templates import TEMPLATES, samples_of, template
from disk.faults import FaultyDisk
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang_service.store.sqlite.connection import WRITE_FILE
from rpc.wire import Wire
from running import RunningServer


def enrolment(number: int) -> pb.EnrollRequest:
    """Return the enrolment of a person."""
    return pb.EnrollRequest(subject=Subject(subject_id=f"p-{number}"), samples=samples_of(number))


def records(data: Path) -> list[dict[str, Any]]:
    """Return the records of calls."""
    return [each for each in entries(data / "audit") if "rpc" in each]


def test_an_answered_change_is_recorded_though_killed_at_once(data: Path) -> None:
    """Killed right after an answer: the record of what was answered is there, every time, and the log is sound."""
    answered: list[int] = []
    for life in range(4):
        with RunningServer(data, *TEMPLATES) as running, Wire(running.address) as wire:
            if life % 2:
                answers = wire.matching.EnrollStream(
                    iter([enrolment(10 * life + each) for each in range(9)]), timeout=30
                )
                answered += [next(answers).revision for _ in range(4 + life)]
            else:
                answered.append(wire.matching.Enroll(enrolment(10 * life), timeout=30).revision)
            running.kill()
        recorded = {each.get("committed") for each in records(data)}
        assert recorded.issuperset(answered)
    with RunningServer(data, *TEMPLATES):
        pass
    assert verify(data / "audit", None).sound


@contextmanager
def nobody_writes(data: Path) -> Iterator[None]:
    """Keep the server from committing, as another process that writes would."""
    with (data / WRITE_FILE).open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def test_a_change_whose_client_went_away_is_recorded(data: Path) -> None:
    """A change that is being committed when its client goes is recorded as it was done; one that waits is not done."""
    with RunningServer(data, *TEMPLATES) as running, Wire(running.address) as wire:
        wire.matching.Enroll(enrolment(0), timeout=30)
        with nobody_writes(data):
            begun: Any = wire.matching.Enroll.future(enrolment(1), timeout=30)
            time.sleep(0.3)
            waiting: Any = wire.watchlists.DeleteSubject.future(
                office_pb.DeleteSubjectRequest(subject_id="p-0"), timeout=30
            )
            time.sleep(0.3)
            for each in (begun, waiting):
                each.cancel()
            time.sleep(0.3)
        wait_for(lambda: any(each.get("committed") == 2 for each in records(data)))
        wait_for(lambda: any("failed" in each for each in records(data)))
        assert wire.watchlists.GetSubject(office_pb.GetSubjectRequest(subject_id="p-0"), timeout=30).subject.templates
    enrolled = [each for each in records(data) if each.get("committed") == 2]
    assert [each["rpc"] for each in enrolled] == ["Enroll"]
    assert enrolled[0]["answered"]["subject_id"] == "p-1"
    (deleted,) = [each for each in records(data) if each["rpc"] == "DeleteSubject"]
    assert deleted["failed"] == {"status": "CANCELLED"}
    assert "committed" not in deleted


def test_a_stream_whose_client_went_away_leaves_records_of_what_was_done(data: Path) -> None:
    """Items of a stream that are being committed when it breaks are recorded; the stream's end as well."""
    with RunningServer(data, *TEMPLATES) as running, Wire(running.address) as wire:
        # What a start leaves to do is done then, and the writer waits for changes.
        wire.matching.Enroll(enrolment(99), timeout=30)
        with nobody_writes(data):
            stream = wire.matching.EnrollStream(iter([enrolment(each) for each in range(8)]), timeout=30)
            time.sleep(0.5)
            stream.cancel()
            time.sleep(0.3)
        wait_for(lambda: any("failed" in each for each in records(data)))
        wait_for(lambda: sum("committed" in each for each in records(data)) > 1)
        info = wire.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=30)
        wait_for(lambda: any(each["rpc"] == "GetServerInfo" for each in records(data)))
    done = [each for each in records(data) if "committed" in each]
    assert {each["committed"] for each in done} == set(range(1, info.revision + 1))
    # Those that had been begun; the others, if any, were called back.
    assert 2 <= len(done) == info.revision <= 9


def test_a_search_whose_client_did_not_wait_is_recorded(data: Path) -> None:
    """A call that was given up is recorded as CANCELLED, with what was asked."""
    with RunningServer(data, *TEMPLATES) as running, Wire(running.address) as wire:
        with pytest.raises(grpc.RpcError):
            wire.matching.Identify(pb.IdentifyRequest(probe=template(1), min_revision=99), timeout=0.3)
        wait_for(lambda: records(data))
    (given_up,) = records(data)
    assert given_up["asked"]["min_revision"] == 99
    assert given_up["failed"]["status"] in ("CANCELLED", "UNAVAILABLE", "DEADLINE_EXCEEDED")


def test_a_commit_without_a_record_is_told_at_the_next_start(tmp_path: Path) -> None:
    """Killed between a commit and its record, the next start records which revisions have none, once."""
    audit = tmp_path / "audit"
    audit.mkdir(mode=0o700)
    disk = FaultyDisk(audit)
    options = (*TEMPLATES, "--audit-folder", str(audit))
    with RunningServer(tmp_path / "data", *options, env=disk.env) as running, Wire(running.address) as wire:
        for number in range(3):
            wire.matching.Enroll(enrolment(number), timeout=30)
        disk.set(write_error=errno.ENOSPC)
        with pytest.raises(grpc.RpcError, match="not recorded yet"):
            wire.matching.Enroll(enrolment(3), timeout=30)
        running.kill()
    disk.mend()
    for _ in range(2):
        with RunningServer(tmp_path / "data", *options, env=disk.env):
            pass
    told = [each for each in entries(audit) if each.get("event") == "without_record"]
    assert [each["revisions"] for each in told] == [[[4, 4]]]
    verdict = verify(audit, None)
    assert verdict.sound
    assert any("changes without a record" in note for note in verdict.notes)
