"""Failures on the way to the server: nobody there, deadlines, and messages over the limit."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

import gerbang
from clients.scripted_server import PROBE, Context, ScriptedServer
from gerbang import errors
from gerbang.v1 import matching_service_pb2 as matching


@pytest.fixture
def nowhere() -> str:
    """Return the address of a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


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
def test_deadline(server: ScriptedServer, *, per_call: bool) -> None:
    """The call's deadline, else the client's, ends a call whose server sleeps."""
    server.answer = lambda _request, _context: time.sleep(1.5)
    start = time.monotonic()
    with gerbang.GateClient(server.target, timeout=30 if per_call else 0.2) as gate:
        with pytest.raises(errors.DeadlineExceeded, match=server.target):
            gate.identify(PROBE, timeout=0.2 if per_call else None)
        assert time.monotonic() - start < 1


def test_deadline_travels(server: ScriptedServer, gate: gerbang.GateClient) -> None:
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
    server = ScriptedServer(**{"grpc.max_receive_message_length": 100_000})
    with gerbang.GateClient(server.target) as gate, pytest.raises(errors.MessageTooLarge):
        gate.extract(bytes(200_000))
    server.stop()
