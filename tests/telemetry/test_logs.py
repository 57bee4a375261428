"""The log as JSON: whose call a line is about, and that nobody's face, label or token is in it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
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
from gerbang_service.access.calls import REQUEST_ID_KEY, Call
from gerbang_service.access.identity import LOCAL
from gerbang_service.domain.errors import (
    AuditUnavailable,
    Overloaded,
    StoreUnavailable,
    Unauthenticated,
)
from gerbang_service.rpc.errors import to_status
from gerbang_service.telemetry.call_log import CallLog
from gerbang_service.telemetry.logs import JsonFormatter, configure
from hostile.http2 import WINDOW_SIZE, Http2
from running import RunningServer
from telemetry.metered import DIMENSION, TEMPLATES

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


@pytest.fixture
def written() -> Iterator[Callable[[], list[str]]]:
    """The server's own handler in place of all others: returns the lines that it wrote."""
    root, stream = logging.getLogger(), io.StringIO()
    before, level = root.handlers[:], root.level
    configure("text", "info")
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    yield lambda: stream.getvalue().splitlines()
    root.handlers[:] = before
    root.setLevel(level)
    logging.getLogger("gerbang_service").setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (Unauthenticated("no token"), "INFO"),
        (StoreUnavailable("disk full"), "WARNING"),
        (AuditUnavailable("disk full"), "WARNING"),
        (ValueError("a bug"), "ERROR"),
    ],
    ids=str,
)
async def test_a_flood_of_failures_does_not_fill_the_disk(
    error: Exception, level: str, written: Callable[[], list[str]]
) -> None:
    """Some lines a second, whoever's fault it is, then one that says how many there were not; others have theirs."""
    calls, flood = CallLog(), 0
    deadline = time.monotonic() + 1.2
    while time.monotonic() < deadline:
        await calls.failed(Call("Identify"), None, to_status(error))
        flood += 1
        await asyncio.sleep(0.001)
    logging.getLogger("gerbang_service.running.parts").info("another's line")
    lines = [line for line in written() if f" {level} gerbang_service.calls: Identify failed" in line]
    assert 50 <= len(lines) <= 3 * 50 < flood
    assert len(written()) < 7 * 50
    told = [line for line in written() if "more lines of gerbang_service.calls within a second are left out" in line]
    assert told
    assert all(f" {level} " in line for line in told)
    assert "another's line" in written()[-1]


def test_what_libraries_log_quotes_nobody(written: Callable[[], list[str]]) -> None:
    """Of gRPC the constant text, of asyncio the trail too; that a client has gone is nothing to report."""
    token = b"Bearer secret\xff"
    grpc_log, asyncio_log = logging.getLogger("grpc._cython.cygrpc"), logging.getLogger("asyncio")
    try:
        token.decode()
    except UnicodeDecodeError as error:
        grpc_log.exception("Invalid encoding on %s", token)
        grpc_log.exception(error)
        text = f"Exception in callback _settle([secret])\nfuture: {error!r}"
        asyncio_log.error(text, exc_info=error)
    gone = type("ExecuteBatchError", (Exception,), {})("secret")
    grpc_log.error("ExecuteBatchError raised in core by servicer method [/gerbang.v1.X/Y]", exc_info=gone)
    lines = written()
    assert [line.partition(" ERROR ")[2] for line in lines if " ERROR " in line] == [
        "grpc._cython.cygrpc: Invalid encoding on %s",
        "grpc._cython.cygrpc: UnicodeDecodeError",
        "asyncio: Exception in callback _settle: UnicodeDecodeError",
    ]
    assert "in test_what_libraries_log_quotes_nobody" in lines[3]
    assert not [line for line in lines if "secret" in line.lower() or "ExecuteBatchError" in line]


def test_a_client_that_goes_away_is_no_error(data: Path) -> None:
    """It takes no answer, and closes the connection: nothing that anybody has to see."""
    probe = Sample(template=Template(vector=np.ones(DIMENSION, "<f4").tobytes()))
    with RunningServer(data, *TEMPLATES) as server:
        before = server.stderr
        for _ in range(3):
            with Http2(server.address, [(WINDOW_SIZE, 0)]) as client:
                client.answer(0.1)
                client.call(
                    b"/gerbang.v1.MatchingService/IdentifyStream", IdentifyRequest(probe=probe).SerializeToString()
                )
                client.answer(0.3)
        time.sleep(0.5)
        assert server.stderr == before


def test_a_token_that_is_no_text_is_not_logged(data: Path) -> None:
    """What gRPC itself says of metadata that it can't decode is cut short."""
    with RunningServer(data, *TEMPLATES) as server:
        with Http2(server.address) as client:
            client.answer(0.1)
            token = (b"authorization", b"Bearer gbt_secret\xff\xfe")
            client.call(b"/gerbang.v1.WatchlistService/GetServerInfo", b"", metadata=(token,))
            client.answer(0.5)
        assert "Invalid encoding" in server.stderr
        assert "gbt_secret" not in server.stderr
        assert "Traceback" not in server.stderr


def test_what_leaves_the_machine_in_the_clear_is_said_loudly(data: Path) -> None:
    """Metrics for everybody, and traces to another machine, which insecure allows: a warning each, at every start."""
    with RunningServer(
        data, *TEMPLATES, "--metrics-listen", "127.0.0.1:0", "--trace-endpoint", "localhost:1"
    ) as server:
        assert "WARNING" not in server.stderr
    anywhere = ("--insecure", "--metrics-listen", "0.0.0.0:0", "--trace-endpoint", "collector.invalid:4317")
    with RunningServer(data, *TEMPLATES, *anywhere) as server:
        lines = [
            line.partition("WARNING gerbang_service.running.telemetry: ")[2] for line in server.stderr.splitlines()
        ]
    warned = [line for line in lines if line]
    assert len(warned) == 2
    assert warned[0] == "traces of all calls go to collector.invalid:4317 in the clear: insecure is said"
    assert re.fullmatch(r"metrics are for everybody who reaches 0\.0\.0\.0:\d+, .*: insecure is said", warned[1])


def test_an_exception_stays_one_line() -> None:
    """A traceback is a field, so that programs read one object a line."""
    error = ValueError("with\nlines")
    info = (ValueError, error, None)
    record = logging.LogRecord("name", logging.ERROR, __file__, 1, "it\nfailed: %s", ("x",), info)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert "ValueError: with\nlines" in json.loads(text)["exception"]
