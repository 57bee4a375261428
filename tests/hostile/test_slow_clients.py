"""Clients that are slow, silent or half gone hold nothing that others need."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang_service.running import listener
from rpc.wire import PLAIN, TIMEOUT_S, Wire, of_error, template
from running import RunningServer
from telemetry.metered import InnerServer

# The first words of HTTP/2: the preface and an empty SETTINGS frame.
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
# What it says to the server's SETTINGS.
ACKNOWLEDGED = bytes(3) + b"\x04\x01" + bytes(4)
# What another client may have to wait, seconds: mostly, and at worst, on a machine that runs other tests too.
USUAL_S, WORST_S = 2.0, 5.0
# What the server waits for, and how long, milliseconds.
PATIENCE_MS = {"_HANDSHAKE_MS": 10_000, "_KEEPALIVE_MS": 20_000, "_KEEPALIVE_TIMEOUT_MS": 10_000}
# A list whose id makes a request that names it as often as it may 4 kB, and a subject whose labels make every answer
# that has it 8 kB.
BULKY_LIST = "bulky-" + "x" * 58
BULKY = {f"{number:02}": "x" * 250 for number in range(32)}


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of templates that gives one caller four streams."""
    data = tmp_path_factory.mktemp("slow") / "data"
    options = ("--pack", "none", "--dimension", "16", "--threshold", "0.5", "--max-streams", "4")
    with RunningServer(data, *options) as running:
        yield running


@pytest.fixture
def wire(narrow: RunningServer) -> Iterator[Wire]:
    """A well-behaved client."""
    with Wire(narrow.address) as opened:
        yield opened


def memory_mb(running: RunningServer) -> float:
    """Return what a server has in memory, MB."""
    for line in Path(f"/proc/{running.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


@contextmanager
def others_are_served(running: RunningServer) -> Iterator[None]:
    """Let another client search all the time, and check that its calls did not take long."""
    stop = threading.Event()
    took: list[float] = []

    def search() -> None:
        with Wire(running.address) as wire:
            while not stop.is_set():
                started = time.perf_counter()
                wire.matching.Identify(pb.IdentifyRequest(probe=template(1)), timeout=TIMEOUT_S)
                took.append(time.perf_counter() - started)
                stop.wait(0.01)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(TIMEOUT_S)
    assert len(took) > 1
    assert statistics.median(took) < USUAL_S
    assert max(took) < WORST_S


def connect(address: str, first: bytes = b"") -> socket.socket:
    """Open a connection and say something, or nothing."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
    connection.sendall(first)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the other end hung up."""
    connection.setblocking(False)
    try:
        while data := connection.recv(65536):
            del data
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def silent_stream(wire: Wire) -> tuple[Any, threading.Event]:
    """Open an IdentifyStream that sends one probe, waits for its answer and then sends nothing until the event."""
    over = threading.Event()

    def requests() -> Iterator[pb.IdentifyRequest]:
        yield pb.IdentifyRequest(probe=template(1))
        over.wait(2 * TIMEOUT_S)

    call = wire.matching.IdentifyStream(requests(), timeout=2 * TIMEOUT_S)
    next(call)
    return call, over


def test_caller_has_a_number_of_streams(narrow: RunningServer, wire: Wire) -> None:
    """Over it a stream is OVERLOADED with when to come back, on whatever connection; calls and others go on."""
    with others_are_served(narrow), ExitStack() as stack:
        open_streams = []
        for _ in range(4):
            other = stack.enter_context(Wire(narrow.address))
            open_streams.append(silent_stream(other))
        with pytest.raises(grpc.RpcError) as caught:
            next(wire.matching.IdentifyStream(iter([pb.IdentifyRequest(probe=template(1))]), timeout=TIMEOUT_S))
        failed = of_error(caught.value)
        assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert failed.retry_after_s == 5.0
        assert failed.metadata["limit"] == "4"
        with pytest.raises(grpc.RpcError):
            next(wire.matching.EnrollStream(iter([pb.EnrollRequest(samples=[template(1)])]), timeout=TIMEOUT_S))
        assert wire.matching.Identify(pb.IdentifyRequest(probe=template(1)), timeout=TIMEOUT_S)
        # One that ends, however it ends, makes room for another.
        open_streams[0][1].set()
        open_streams[1][0].cancel()
        for _, over in open_streams:
            over.set()
        time.sleep(0.5)
    again = [silent_stream(wire) for _ in range(4)]
    for _, over in again:
        over.set()
    time.sleep(0.2)


def test_client_that_never_reads_its_answers_is_not_read_any_more(narrow: RunningServer, wire: Wire) -> None:
    """Of a stream whose answers are not fetched, a bounded number of items is taken and held."""
    wire.watchlists.CreateWatchlist(office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=BULKY_LIST)))
    bulky = Subject(subject_id="bulky", watchlists=[BULKY_LIST], labels=BULKY)
    wire.matching.Enroll(pb.EnrollRequest(subject=bulky, samples=[template(50)]), timeout=TIMEOUT_S)
    taken = 0

    def requests() -> Iterator[pb.IdentifyRequest]:
        nonlocal taken
        while True:
            taken += 1
            # Large, so that few fill what HTTP/2 holds of them.
            yield pb.IdentifyRequest(probe=template(50), sequence=taken, watchlists=[BULKY_LIST] * 64)

    options = (*PLAIN, ("grpc.http2.bdp_probe", 0))
    before = memory_mb(narrow)
    with others_are_served(narrow), grpc.insecure_channel(narrow.address, options) as channel:
        stream = channel.stream_stream(
            "/gerbang.v1.MatchingService/IdentifyStream",
            request_serializer=pb.IdentifyRequest.SerializeToString,
            response_deserializer=pb.IdentifyResponse.FromString,
        )
        call = stream(requests(), timeout=TIMEOUT_S)
        seen = 0
        while seen != taken or not taken:  # until it stands still
            seen = taken
            assert taken < 20_000
            time.sleep(4)
        assert memory_mb(narrow) - before < 40
        call.cancel()


def test_thousand_silent_connections(narrow: RunningServer) -> None:
    """A thousand connections, half of which never speak, take little memory, and others are served."""
    before = memory_mb(narrow)
    connections: list[socket.socket] = []
    with others_are_served(narrow):
        try:
            connections = [connect(narrow.address, HELLO if number % 2 else b"") for number in range(1000)]
            time.sleep(1)
            assert memory_mb(narrow) - before < 100
        finally:
            for each in connections:
                each.close()


def test_silent_connections_are_closed(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who says nothing is hung up on after a time, who speaks HTTP/2 but answers no ping after three times that.

    In a server whose seconds are tenths: the next test says how many they are.
    """
    for name, milliseconds in PATIENCE_MS.items():
        monkeypatch.setattr(listener, name, milliseconds // 10)
    caplog.set_level("INFO")
    with InnerServer(data, lambda: caplog.text) as server:
        server.said("ready")
        with connect(server.address) as mute, connect(server.address, HELLO) as deaf, Wire(server.address) as polite:
            deaf.sendall(ACKNOWLEDGED)
            stream, over = silent_stream(polite)
            started = time.monotonic()
            while not is_closed(mute):
                assert time.monotonic() - started < 5
                time.sleep(0.05)
            assert time.monotonic() - started > 0.8
            assert not is_closed(deaf)
            while not is_closed(deaf):
                assert time.monotonic() - started < 6
                time.sleep(0.05)
            assert time.monotonic() - started > 2
            # A client that answers pings keeps its silent stream.
            over.set()
            assert list(stream) == []


def test_patience_is_what_the_documents_say() -> None:
    """Ten seconds for the first words, a ping after twenty, ten for its answer."""
    assert {name: getattr(listener, name) for name in PATIENCE_MS} == PATIENCE_MS
    assert set(PATIENCE_MS.values()) <= {value for _, value in listener.options(16)}


def test_large_messages_at_once_do_not_keep_others_waiting(narrow: RunningServer, wire: Wire) -> None:
    """Messages of the largest size at once, all of them rubbish, leave the others their answers."""
    large = bytes(60_000_000)
    enroll: Any = wire.channel.unary_unary("/gerbang.v1.MatchingService/Enroll")
    with others_are_served(narrow):
        calls = [enroll.future(large, timeout=TIMEOUT_S) for _ in range(6)]
        assert {call.code() for call in calls} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert wire.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=TIMEOUT_S)
