"""The log as JSON: whose call a line is about, and that nobody's face, label or token is in it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from gerbang import NotFound, WatchlistClient
from gerbang.v1.matching_service_pb2 import EnrollRequest, IdentifyRequest
from gerbang.v1.matching_service_pb2_grpc import MatchingServiceStub
from gerbang.v1.sample_pb2 import Sample, Template
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_service_pb2 import GetSubjectRequest
from gerbang.v1.watchlist_service_pb2_grpc import WatchlistServiceStub
from gerbang_service.access.identity import LOCAL
from gerbang_service.domain.errors import Overloaded, StoreUnavailable, Unauthenticated
from gerbang_service.rpc.calls import REQUEST_ID_KEY, Call
from gerbang_service.rpc.errors import to_status
from gerbang_service.watching.call_log import CallLog
from gerbang_service.watching.logs import JsonFormatter
from running import RunningServer
from watching.watched import DIMENSION, TEMPLATES

JSON = ("--log-format", "json")


def lines_of(server: RunningServer) -> list[dict[str, Any]]:
    """Return the lines of the log, each of which must be an object."""
    lines = [json.loads(line) for line in server.stderr.splitlines()]
    assert all({"time", "level", "logger", "message", "process"} <= set(line) for line in lines)
    return lines


def request_id_of(call: Any) -> str:
    """Return the request id that a client got with an answer or a failure."""
    return str(dict(call.trailing_metadata())[REQUEST_ID_KEY])


def test_a_failed_call_is_one_line_with_the_id_that_the_client_got(data: Path) -> None:
    """Who, what, how it ended, why, and how long it took."""
    with RunningServer(data, *TEMPLATES, *JSON) as server, grpc.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.RpcError) as failed:
            WatchlistServiceStub(channel).GetSubject(GetSubjectRequest(subject_id="nobody"), timeout=10)
        (line,) = (each for each in lines_of(server) if each["logger"] == "gerbang_service.calls")
    assert line["request_id"] == request_id_of(failed.value)
    told = {name: line[name] for name in ("level", "rpc", "identity", "role", "status", "reason")}
    assert told == {
        "level": "INFO",
        "rpc": "GetSubject",
        "identity": "local",
        "role": "admin",
        "status": "NOT_FOUND",
        "reason": "SUBJECT_NOT_FOUND",
    }
    assert 0 < line["duration"] < 10
    assert line["time"].endswith("Z")


def test_at_debug_every_call_is_a_line(data: Path) -> None:
    """Answered ones too, with the id that the client got, and no library's chatter."""
    probe = Sample(template=Template(vector=np.ones(DIMENSION, "<f4").tobytes()))
    with RunningServer(data, *TEMPLATES, *JSON, "--log-level", "debug") as server:
        with grpc.insecure_channel(server.address) as channel:
            _, call = MatchingServiceStub(channel).Identify.with_call(IdentifyRequest(probe=probe), timeout=10)
        lines = lines_of(server)
    (line,) = (each for each in lines if each["logger"] == "gerbang_service.calls")
    assert (line["level"], line["status"], line["rpc"]) == ("DEBUG", "OK", "Identify")
    assert line["request_id"] == request_id_of(call)
    assert all(each["logger"].startswith("gerbang_service") for each in lines if each["level"] == "DEBUG")


def test_answered_calls_are_no_lines_otherwise(data: Path) -> None:
    """A gate's day would fill the disk."""
    with RunningServer(data, *TEMPLATES, *JSON) as server, WatchlistClient(server.address) as office:
        office.create_watchlist("w")
        assert not [each for each in lines_of(server) if each["logger"] == "gerbang_service.calls"]


def test_lines_for_people_say_the_same(data: Path) -> None:
    """As text, the line names the call, the reason and the id."""
    with RunningServer(data, *TEMPLATES) as server, WatchlistClient(server.address) as office:
        with pytest.raises(NotFound):
            office.get_subject("nobody")
        (line,) = (each for each in server.stderr.splitlines() if "gerbang_service.calls" in each)
    assert "INFO gerbang_service.calls: GetSubject failed: SUBJECT_NOT_FOUND, request " in line
    assert line.endswith(", from local (admin)")


def test_nothing_that_was_sent_is_logged(data: Path) -> None:
    """Neither labels, nor vectors, nor ids, whatever the client itself is told, even at DEBUG."""
    vector = np.full(DIMENSION, 0.123456, "<f4")
    good = Sample(template=Template(vector=vector.tobytes()))
    with RunningServer(data, *TEMPLATES, *JSON, "--log-level", "debug") as server:
        with grpc.insecure_channel(server.address) as channel:
            stub = MatchingServiceStub(channel)
            subject = Subject(subject_id="a", labels={"name": "secret-name"})
            assert stub.Enroll(EnrollRequest(subject=subject, samples=[good]), timeout=10).revision == 1
            for bad in (
                EnrollRequest(subject=Subject(labels={"secret-key" * 100: "secret-value"}), samples=[good]),
                EnrollRequest(subject=Subject(subject_id="secret id"), samples=[good]),
                EnrollRequest(subject=Subject(), samples=[Sample(template=Template(vector=b"secret"))]),
                EnrollRequest(subject=Subject(), samples=[Sample(image=b"secret-image")]),
            ):
                for metadata in ((), (("authorization", "Bearer secret-token"),)):
                    with pytest.raises(grpc.RpcError):
                        stub.Enroll(bad, metadata=metadata, timeout=10)
            with pytest.raises(grpc.RpcError, match="secret-subject"):
                WatchlistServiceStub(channel).GetSubject(GetSubjectRequest(subject_id="secret-subject"), timeout=10)
        lines = lines_of(server)
    reasons = [each.get("reason") for each in lines if each.get("rpc") == "Enroll"]
    assert reasons.count("FIELD_INVALID") == 2
    assert {"TEMPLATE_INVALID", "NO_FACE_PACK", "UNAUTHENTICATED"} < set(reasons)
    assert "secret" not in server.stderr
    assert "123456" not in server.stderr


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ValueError("a bug"), logging.ERROR),
        (StoreUnavailable("disk full"), logging.WARNING),
        (Overloaded("too much", retry_after_s=1), logging.DEBUG),
    ],
)
async def test_the_level_tells_whose_fault_it_is(
    error: Exception, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's own failures are loud; refusals under load, of which there may be thousands, are not."""
    caplog.set_level(logging.DEBUG, "gerbang_service.calls")
    call = Call("Identify", identity=LOCAL)
    await CallLog().failed(call, None, to_status(error, call.request_id))
    (record,) = (each for each in caplog.records if each.name == "gerbang_service.calls")
    assert record.levelno == level


async def test_a_flood_of_refusals_does_not_fill_the_disk(caplog: pytest.LogCaptureFixture) -> None:
    """Some lines a second, then one that says how many there were not; the server's own failures always have theirs."""
    caplog.set_level(logging.INFO, "gerbang_service.calls")
    log, refused, broken = CallLog(), to_status(Unauthenticated("no token")), to_status(StoreUnavailable("disk full"))
    deadline, floods = time.monotonic() + 1.2, 0
    while time.monotonic() < deadline:
        await log.failed(Call("Identify"), None, refused)
        await log.failed(Call("Enroll"), None, broken)
        floods += 1
        await asyncio.sleep(0.001)
    levels = [each.levelno for each in caplog.records]
    assert levels.count(logging.INFO) <= 3 * 50 < floods
    assert levels.count(logging.WARNING) >= floods + 1
    assert any("more calls failed within a second" in each.message for each in caplog.records)


def test_an_exception_stays_one_line() -> None:
    """A traceback is a field, so that programs read one object a line."""
    error = ValueError("with\nlines")
    info = (ValueError, error, None)
    record = logging.LogRecord("name", logging.ERROR, __file__, 1, "it\nfailed: %s", ("x",), info)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert "ValueError: with\nlines" in json.loads(text)["exception"]
