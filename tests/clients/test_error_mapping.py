"""Failures as the clients report them, from real gRPC servers on loopback ports."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

import gerbang
from gerbang import errors
from gerbang._error_mapping import BY_CODE, BY_REASON
from gerbang.v1 import matching_service_pb2 as matching
from gerbang.v1 import watchlist_service_pb2 as watchlists
from gerbang_service.domain import errors as domain

Context = grpc.ServicerContext
PROBE = [1.0, 0.0]
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def classes(base: type[Any]) -> list[type[Any]]:
    """Return all subclasses, at any depth."""
    return [kind for child in base.__subclasses__() for kind in (child, *classes(child))]


REASONS = sorted({kind.reason for kind in classes(domain.GerbangError)} - {"", domain.StartupError.reason})
EXCEPTIONS = classes(errors.GerbangError)


class Server:
    """Answers every call of both services by the function that a test puts in `answer`, and counts them."""

    def __init__(self, **options: int) -> None:
        self.calls = 0
        self.answer: Callable[[Any, Context], Any] = lambda _request, _context: None
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0), *options.items()])
        self._server.add_generic_rpc_handlers(
            (
                self._handlers("gerbang.v1.MatchingService", matching, ("Identify", "Enroll", "Extract"), ()),
                self._handlers("gerbang.v1.MatchingService", matching, (), ("IdentifyStream",)),
                self._handlers(
                    "gerbang.v1.WatchlistService",
                    watchlists,
                    ("DeleteSubject", "GetSubject", "ListSubjects"),
                    (),
                ),
            )
        )
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _handlers(
        self, service: str, messages: Any, unary: tuple[str, ...], streams: tuple[str, ...]
    ) -> grpc.GenericRpcHandler:
        def handler(call: str, make: Any) -> Any:
            name = "Identify" if call == "IdentifyStream" else call
            return make(
                self._count,
                request_deserializer=getattr(messages, f"{name}Request").FromString,
                response_serializer=getattr(messages, f"{name}Response").SerializeToString,
            )

        return grpc.method_handlers_generic_handler(
            service,
            {call: handler(call, grpc.unary_unary_rpc_method_handler) for call in unary}
            | {call: handler(call, grpc.stream_stream_rpc_method_handler) for call in streams},
        )

    def _count(self, request: Any, context: Context) -> Any:
        self.calls += 1
        return self.answer(request, context)

    def fail(self, *codes: grpc.StatusCode) -> None:
        """Fail as often as there are codes, then answer Identify."""
        left = list(codes)

        def answer(_request: Any, context: Context) -> Any:
            if left:
                context.abort(left.pop(0), "as told")
            return matching.IdentifyResponse(hit=True)

        self.answer = answer

    def fail_richly(self, code: grpc.StatusCode, *details: Any, message: str = "as told") -> None:
        """Fail always, with a rich status."""
        status = rich(code, *details, message=message)
        self.answer = lambda _request, context: context.abort_with_status(rpc_status.to_status(status))

    def stop(self) -> None:
        """Stop at once."""
        self._server.stop(None).wait()


def rich(code: grpc.StatusCode, *details: Any, message: str = "as told") -> status_pb2.Status:
    """Make a google.rpc.Status with details."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def info(reason: str, **metadata: str) -> error_details_pb2.ErrorInfo:
    """Make the ErrorInfo that the server sends."""
    return error_details_pb2.ErrorInfo(domain="gerbang", reason=reason, metadata=metadata)


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server for one test."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def gate(server: Server) -> Iterator[gerbang.GateClient]:
    """Return a gate of that server."""
    with gerbang.GateClient(server.target) as gate:
        yield gate


@pytest.fixture
def nowhere() -> str:
    """Return the address of a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


# -- reasons ------------------------------------------------------------------------------------------------


def test_every_reason_has_its_class() -> None:
    """The client knows all reasons of the server and no others, each by its own class."""
    assert sorted(BY_REASON) == REASONS
    assert len(set(BY_REASON.values())) == len(BY_REASON)


@pytest.mark.parametrize("reason", REASONS)
def test_reason_decides(server: Server, gate: gerbang.GateClient, reason: str) -> None:
    """A rich status of the server raises the class of its reason, whatever its code."""
    server.fail_richly(grpc.StatusCode.FAILED_PRECONDITION, info(reason))
    with pytest.raises(errors.GerbangError) as caught:
        gate.identify(PROBE)
    assert type(caught.value) is BY_REASON[reason]
    assert caught.value.reason == reason


def test_details_arrive(server: Server, gate: gerbang.GateClient) -> None:
    """Code, message, metadata, violations and the time to wait arrive."""
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="probe", description="neither image nor template")
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    server.fail_richly(
        grpc.StatusCode.INVALID_ARGUMENT,
        info("FIELD_INVALID", field="probe"),
        bad,
        retry,
        message="wajah: 顔",
    )
    with pytest.raises(errors.FieldInvalid) as caught:
        gate.identify(PROBE)
    error = caught.value
    assert (error.code, error.message) == (grpc.StatusCode.INVALID_ARGUMENT, "wajah: 顔")
    assert error.metadata == {"field": "probe"}
    assert error.violations == (errors.FieldViolation("probe", "neither image nor template"),)
    assert error.retry_after_s == 1.5
    assert str(error) == "FIELD_INVALID: wajah: 顔"


@pytest.mark.parametrize(("code", "kind"), BY_CODE.items(), ids=lambda value: getattr(value, "name", ""))
def test_unknown_reason(
    server: Server, gate: gerbang.GateClient, code: grpc.StatusCode, kind: type[errors.GerbangError]
) -> None:
    """A reason of a newer server raises the class of the status code, and keeps the reason."""
    server.fail_richly(code, info("BRAND_NEW"))
    with pytest.raises(errors.GerbangError) as caught:
        gate.identify(PROBE)
    assert type(caught.value) is kind
    assert caught.value.reason == "BRAND_NEW"


def test_refused_by_the_core(server: Server, gate: gerbang.GateClient) -> None:
    """A call that a flooded server's gRPC core breaks off is Busy: the client itself cancelled nothing."""
    server.fail(grpc.StatusCode.CANCELLED)
    with pytest.raises(errors.Busy, match="refused the call"):
        gate.identify(PROBE)


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code not in BY_CODE and code is not grpc.StatusCode.OK]
)
def test_other_codes(server: Server, gate: gerbang.GateClient, code: grpc.StatusCode) -> None:
    """Codes that stand for a defect are a ServerFault."""
    server.fail(code)
    with pytest.raises(errors.ServerFault, match="as told"):
        gate.identify(PROBE)


def test_reason_of_another_domain(server: Server, gate: gerbang.GateClient) -> None:
    """A proxy's reason that happens to be spelled like one of ours is not taken for it."""
    server.fail_richly(grpc.StatusCode.NOT_FOUND, error_details_pb2.ErrorInfo(domain="proxy.example", reason="NO_FACE"))
    with pytest.raises(errors.NotFound):
        gate.identify(PROBE)


def test_garbled_details(server: Server, gate: gerbang.GateClient) -> None:
    """Details that can't be read leave the class of the status code."""

    def answer(_request: Any, context: Context) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff\xff"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "as told")

    server.answer = answer
    with pytest.raises(errors.NotFound, match="as told"):
        gate.identify(PROBE)


async def test_async_maps_alike(server: Server) -> None:
    """The asyncio client raises the same class with the same details."""
    server.fail_richly(grpc.StatusCode.FAILED_PRECONDITION, info("FACE_BLURRED", sharpness="3.1"))
    async with gerbang.AsyncGateClient(server.target) as gate:
        with pytest.raises(errors.FaceBlurred) as caught:
            await gate.identify(PROBE)
    assert caught.value.metadata == {"sharpness": "3.1"}


# -- the transport -------------------------------------------------------------------------------------------


def test_no_server(nowhere: str) -> None:
    """Without a server, the error is Unavailable and names the address."""
    with gerbang.GateClient(nowhere) as gate, pytest.raises(errors.Unavailable, match=nowhere):
        gate.identify(PROBE)


async def test_no_server_async(nowhere: str) -> None:
    """Without a server, the asyncio client's error is Unavailable and names the address."""
    async with gerbang.AsyncGateClient(nowhere) as gate:
        with pytest.raises(errors.Unavailable, match=nowhere):
            await gate.identify(PROBE)


def test_no_server_for_a_stream(nowhere: str) -> None:
    """Without a server, a stream fails with Unavailable too."""
    with gerbang.GateClient(nowhere) as gate, pytest.raises(errors.Unavailable, match=nowhere):
        list(gate.identify_stream([PROBE]))


@pytest.mark.parametrize("per_call", [True, False])
def test_deadline(server: Server, *, per_call: bool) -> None:
    """The call's deadline, else the client's, ends a call whose server sleeps."""
    server.answer = lambda _request, _context: time.sleep(1.5)
    start = time.monotonic()
    with gerbang.GateClient(server.target, timeout=30 if per_call else 0.2) as gate:
        with pytest.raises(errors.DeadlineExceeded, match=server.target):
            gate.identify(PROBE, timeout=0.2 if per_call else None)
        assert time.monotonic() - start < 1


def test_deadline_travels(server: Server, gate: gerbang.GateClient) -> None:
    """The server is told the client's default of 5 s, and no limit on streams."""
    seen: list[float | None] = []

    def answer(request: Any, context: Context) -> Any:
        seen.append(context.time_remaining())
        response = matching.IdentifyResponse()
        return response if isinstance(request, matching.IdentifyRequest) else iter([response])

    server.answer = answer
    gate.identify(PROBE)
    list(gate.identify_stream([PROBE]))
    assert seen[0] is not None
    assert 4 < seen[0] <= 5
    assert seen[1] is None or seen[1] > 1e6


def test_message_too_large() -> None:
    """A message over the server's limit is MessageTooLarge, although its code is that of an overload."""
    server = Server(**{"grpc.max_receive_message_length": 100_000})
    with gerbang.GateClient(server.target) as gate, pytest.raises(errors.MessageTooLarge):
        gate.extract(bytes(200_000))
    server.stop()


# -- retries -------------------------------------------------------------------------------------------------


def test_read_is_retried(server: Server, gate: gerbang.GateClient) -> None:
    """Identify with a photo of 3 MB survives three failures of an unavailable server."""
    server.fail(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE)
    assert gate.identify(bytes(3_000_000)).hit
    assert server.calls == 4


def test_enroll_is_retried_with_its_request_id(server: Server) -> None:
    """A repeat of Enroll carries the request_id of the first attempt."""
    seen = []

    def answer(request: matching.EnrollRequest, context: Context) -> matching.EnrollResponse:
        seen.append(request.request_id)
        if len(seen) == 1:
            context.abort(UNAVAILABLE, "as told")
        return matching.EnrollResponse(revision=1)

    server.answer = answer
    with gerbang.WatchlistClient(server.target) as office:
        assert office.enroll("a", [PROBE]).revision == 1
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_change_is_not_retried(server: Server) -> None:
    """A deletion is tried once."""
    server.fail(UNAVAILABLE)
    with gerbang.WatchlistClient(server.target) as office, pytest.raises(errors.Unavailable):
        office.delete_subject("a")
    assert server.calls == 1


def test_busy_is_not_retried(server: Server, gate: gerbang.GateClient) -> None:
    """An overloaded server is not asked again by the client itself."""
    server.fail_richly(grpc.StatusCode.RESOURCE_EXHAUSTED, info("OVERLOADED"))
    with pytest.raises(errors.Busy):
        gate.identify(PROBE)
    assert server.calls == 1


# -- streams -------------------------------------------------------------------------------------------------


def echo(requests: Iterator[matching.IdentifyRequest], _context: Context) -> Iterator[Any]:
    """Answer each request with its number, the odd ones with an error."""
    for request in requests:
        response = matching.IdentifyResponse(sequence=request.sequence)
        if request.sequence % 2:
            response.error.CopyFrom(rich(grpc.StatusCode.FAILED_PRECONDITION, info("NO_FACE")))
        yield response


def broken_probes() -> Iterator[list[float]]:
    """Yield two probes, then fail."""
    yield PROBE
    yield PROBE
    raise OSError("camera unplugged")


def test_stream_goes_on(server: Server, gate: gerbang.GateClient) -> None:
    """A stream numbers its probes and yields answers with errors as they are; error_of tells them."""
    server.answer = echo
    answers = list(gate.identify_stream([PROBE] * 4))
    assert [answer.sequence for answer in answers] == [0, 1, 2, 3]
    assert [type(gerbang.error_of(answer)) for answer in answers] == [type(None), errors.NoFace] * 2


async def test_stream_goes_on_async(server: Server) -> None:
    """An asyncio stream does the same, for plain iterables as for asynchronous ones."""
    server.answer = echo

    async def probes() -> Any:
        for _ in range(3):
            yield PROBE

    async with gerbang.AsyncGateClient(server.target) as gate:
        for source in (probes(), [PROBE] * 3):
            assert [answer.sequence async for answer in gate.identify_stream(source)] == [0, 1, 2]


def test_broken_probes(server: Server, gate: gerbang.GateClient) -> None:
    """An exception of the caller's probes is raised, after the answers to those before it."""
    server.answer = echo
    answers = gate.identify_stream(broken_probes())
    assert [next(answers).sequence, next(answers).sequence] == [0, 1]
    with pytest.raises(OSError, match="camera unplugged"):
        next(answers)


async def test_broken_probes_async(server: Server) -> None:
    """An exception of the caller's probes is raised by the asyncio stream too."""
    server.answer = echo
    async with gerbang.AsyncGateClient(server.target) as gate:
        answers = gate.identify_stream(broken_probes())
        assert [(await anext(answers)).sequence, (await anext(answers)).sequence] == [0, 1]
        with pytest.raises(OSError, match="camera unplugged"):
            await anext(answers)


def test_wrong_option_of_a_stream(gate: gerbang.GateClient) -> None:
    """A wrong option is refused when the stream is made, not when it is read."""
    with pytest.raises(ValueError, match="arrival"):
        gate.identify_stream([PROBE], direction="up")


def test_leaving_a_stream_ends_it(server: Server, gate: gerbang.GateClient) -> None:
    """Closing the iterator early ends the call at the server."""
    ended = threading.Event()

    def answer(_requests: Any, context: Context) -> Iterator[Any]:
        context.add_callback(ended.set)
        yield matching.IdentifyResponse()
        ended.wait(10)

    server.answer = answer
    answers = gate.identify_stream([PROBE])
    next(answers)
    answers.close()  # type: ignore[attr-defined]  # iterators made by generators have it
    assert ended.wait(5)


def test_all_pages_are_listed(server: Server) -> None:
    """list_subjects follows the page tokens to the end."""

    def answer(request: watchlists.ListSubjectsRequest, _context: Context) -> Any:
        assert (request.watchlist, request.page_size) == ("red", 2)
        start = int(request.page_token or 0)
        response = watchlists.ListSubjectsResponse(next_page_token=str(start + 2) if start < 4 else "")
        for number in range(start, min(start + 2, 5)):
            response.subjects.add(subject_id=str(number))
        return response

    server.answer = answer
    with gerbang.WatchlistClient(server.target) as office:
        found = [subject.subject_id for subject in office.list_subjects(watchlist="red", page_size=2)]
    assert found == ["0", "1", "2", "3", "4"]


# -- closing -------------------------------------------------------------------------------------------------


def test_closed_during_a_call(server: Server, gate: gerbang.GateClient) -> None:
    """Closing the client from another thread fails the call in flight with Cancelled."""
    started = threading.Event()

    def answer(_request: Any, _context: Context) -> None:
        started.set()
        time.sleep(0.5)

    server.answer = answer
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(gate.identify, PROBE)
        assert started.wait(5)
        gate.close()
        with pytest.raises(errors.Cancelled):
            call.result()


async def test_closed_during_a_call_async(server: Server) -> None:
    """Closing the asyncio client fails the call in flight with Cancelled, not with CancelledError."""
    server.answer = lambda _request, _context: time.sleep(0.5)
    gate = gerbang.AsyncGateClient(server.target)
    call = asyncio.create_task(gate.identify(PROBE))
    await asyncio.sleep(0.2)
    await gate.close()
    with pytest.raises(errors.Cancelled):
        await call


async def test_cancelled_task(server: Server) -> None:
    """Cancelling the caller's task stays a CancelledError."""
    server.answer = lambda _request, _context: time.sleep(0.5)
    async with gerbang.AsyncGateClient(server.target) as gate:
        call = asyncio.create_task(gate.identify(PROBE))
        await asyncio.sleep(0.2)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_closed_client() -> None:
    """A closed client refuses calls with ValueError, and may be closed again."""
    gate, twin = gerbang.GateClient(), gerbang.AsyncGateClient()
    for _ in range(2):
        gate.close()
        await twin.close()
    with pytest.raises(ValueError, match="closed"):
        gate.identify(PROBE)
    with pytest.raises(ValueError, match="closed"):
        await twin.identify(PROBE)


# -- the whole -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_tree_names_every_class(kind: type[errors.GerbangError]) -> None:
    """The tree in the docstring has every class, below its parent."""
    lines = (errors.__doc__ or "").splitlines()
    depths = {
        line.lstrip("│├└─ ").split()[0]: len(line) - len(line.lstrip("│├└─ "))
        for line in lines
        if line.startswith(("├", "│", "└"))
    }
    parent = kind.__bases__[0]
    assert depths[kind.__name__] == depths.get(parent.__name__, 0) + 4


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_errors_survive_pickling(kind: type[errors.GerbangError]) -> None:
    """An error passes between processes whole."""
    error = kind("as told", code=UNAVAILABLE, reason="R", metadata={"a": "b"}, retry_after_s=1.0)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(copy) is kind
    assert vars(copy) == vars(error)


def test_all_is_complete() -> None:
    """`__all__` has every public name of the package, every exception among them, in order."""
    public = {name for name, value in vars(gerbang).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert set(gerbang.__all__) == public
    assert gerbang.__all__ == sorted(set(gerbang.__all__))
    assert {kind.__name__ for kind in EXCEPTIONS} <= public


@pytest.mark.parametrize("name", ["GateClient", "CounterClient", "WatchlistClient"])
def test_twins(name: str) -> None:
    """The asyncio client has the same calls with the same arguments as the sync one."""

    def calls(kind: type[Any]) -> dict[str, list[str]]:
        return {
            call: list(inspect.signature(function).parameters)
            for call, function in inspect.getmembers(kind, inspect.isfunction)
            if not call.startswith("_")
        }

    assert calls(getattr(gerbang, name)) == calls(getattr(gerbang, f"Async{name}"))
