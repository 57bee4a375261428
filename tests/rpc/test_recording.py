"""Records of calls whose clients go away: one, and the right one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1.matching_service_pb2_grpc import (
    MatchingServiceServicer,
)
from gerbang_service.access import calls
from gerbang_service.access.calls import Call
from gerbang_service.access.identity import LOCAL
from gerbang_service.audit.log import AuditLog
from gerbang_service.domain.errors import AuditUnavailable
from gerbang_service.rpc.guard import Guard
from gerbang_service.rpc.recording import Recorder
from rpc.guarded import guarded


class SlowLog:
    """An audit log whose disk takes its time."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.written: list[Future[None]] = []

    def append(self, record: bytes) -> None:
        """Take a record."""
        self.records.append(json.loads(record))

    def write_all(self, changes: Sequence[tuple[bytes, int | None]]) -> Future[None]:
        """Take records of changes; `written` is what their calls wait for."""
        for record, _ in changes:
            self.append(record)
        self.written.append(Future())
        self.written[-1].set_running_or_notify_cancel()
        return self.written[-1]


class Enrolling(MatchingServiceServicer):
    """Enrols at once, and answers a stream without end."""

    async def Enroll(self, _: pb.EnrollRequest, __: Any) -> pb.EnrollResponse:  # noqa: N802
        calls.current().revision = 7
        return pb.EnrollResponse(revision=7)

    async def IdentifyStream(self, _: Any, __: Any) -> AsyncIterator[pb.IdentifyResponse]:  # noqa: N802
        while True:
            yield pb.IdentifyResponse(candidates=[pb.Candidate(subject_id="x" * 1_000_000)])


@asynccontextmanager
async def serving(log: SlowLog) -> AsyncIterator[Any]:
    """Run it behind the guard, recorded; yields its stub."""
    guard = Guard(lambda: True, lambda: False, lambda _: LOCAL, Recorder(cast("AuditLog", log), "model"))
    async with guarded(guard, Enrolling()) as stub:  # type: ignore[abstract]  # two are enough
        yield stub


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - of code that has no event for it
            await asyncio.sleep(0.01)


async def test_a_change_has_one_record_though_its_client_goes_while_it_is_written() -> None:
    """It was done and would have been answered: a second record that it was given up would contradict the first."""
    log = SlowLog()
    async with serving(log) as stub:
        call = stub.Enroll(pb.EnrollRequest())
        await until(lambda: log.written)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.sleep(0.2)
        log.written[0].set_result(None)
        await asyncio.sleep(0.2)
    (record,) = log.records
    assert (record["committed"], record["answered"]["revision"]) == (7, 7)


async def test_a_record_that_is_never_written_does_not_keep_the_process() -> None:
    """Cancelled once it waits on; cancelled again, as the event loop does in the end, it is given up."""
    log = SlowLog()
    recorder = Recorder(cast("AuditLog", log), "model")
    call = Call("Enroll", identity=LOCAL, revision=7)
    task = asyncio.create_task(recorder.answered(call, pb.EnrollRequest(), pb.EnrollResponse(revision=7)))
    await until(lambda: log.written)
    task.cancel()
    assert await asyncio.wait([task], timeout=0.1) == (set(), {task})
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_changes_of_one_turn_are_made_durable_together() -> None:
    """One record each, in order; no answer is sent before all of them are on disk."""
    log = SlowLog()
    recorder = Recorder(cast("AuditLog", log), "model")
    enrolled = [(Call("EnrollStream", identity=LOCAL, revision=each), pb.EnrollRequest(), pb.EnrollResponse())
                for each in (7, 8)]  # fmt: skip
    alone = (Call("Enroll", identity=LOCAL, revision=9), pb.EnrollRequest(), pb.EnrollResponse())
    recording = [asyncio.create_task(recorder.answered_all(enrolled)), asyncio.create_task(recorder.answered(*alone))]
    await until(lambda: log.written)
    assert [each["committed"] for each in log.records] == [7, 8, 9]
    assert len(log.written) == 1
    assert not any(each.done() for each in recording)
    log.written[0].set_result(None)
    await asyncio.gather(*recording)


async def test_a_record_that_can_not_be_made_durable_fails_all_that_wait_for_it() -> None:
    """They are told by themselves, and whoever comes later has a new chance."""
    log = SlowLog()
    recorder = Recorder(cast("AuditLog", log), "model")
    call = Call("Enroll", identity=LOCAL, revision=7)
    recording = [
        asyncio.create_task(recorder.answered(call, pb.EnrollRequest(), pb.EnrollResponse())) for _ in range(2)
    ]
    await until(lambda: log.written)
    log.written[0].set_exception(AuditUnavailable("the disk is full"))
    failures = await asyncio.gather(*recording, return_exceptions=True)
    assert [type(each) for each in failures] == [AuditUnavailable, AuditUnavailable]
    again = asyncio.create_task(recorder.answered(call, pb.EnrollRequest(), pb.EnrollResponse()))
    await until(lambda: len(log.written) == 2)
    log.written[1].set_result(None)
    await again


async def test_a_stream_whose_client_does_not_read_and_goes_leaves_a_record() -> None:
    """Nothing of it runs at that moment: its answer waits to be taken, and is never asked whether it was."""
    log = SlowLog()
    async with serving(log) as stub:
        stream = stub.IdentifyStream(iter([pb.IdentifyRequest()]))
        assert await stream.read()
        await asyncio.sleep(0.5)
        stream.cancel()
        await until(lambda: log.records)
    (record,) = log.records
    assert (record["rpc"], record["failed"]) == ("IdentifyStream", {"status": grpc.StatusCode.CANCELLED.name})


def test_a_call_that_nobody_was_let_in_for_is_nobodys() -> None:
    """And not the machine's own, which may do everything."""
    calls.enter(Call("Enroll"))
    with pytest.raises(RuntimeError, match="nobody was let in"):
        calls.caller()
    calls.enter(Call("Enroll", identity=LOCAL))
    assert calls.caller() is LOCAL
