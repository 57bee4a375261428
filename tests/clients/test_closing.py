"""Clients closed during a call or before it, and cancelled tasks."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import gerbang
from clients.scripted_server import PROBE, Context, ScriptedServer
from gerbang import errors
from gerbang.v1.matching_service_pb2 import IdentifyResponse


def slow(_request: Any, _context: Context) -> IdentifyResponse:
    """Answer when nobody waits any more."""
    time.sleep(0.5)
    return IdentifyResponse()


def test_closed_during_a_call(server: ScriptedServer, gate: gerbang.GateClient) -> None:
    """Closing the client from another thread fails the call in flight with Cancelled."""
    started = threading.Event()

    def answer(request: Any, context: Context) -> IdentifyResponse:
        started.set()
        return slow(request, context)

    server.answer = answer
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(gate.identify, PROBE)
        assert started.wait(5)
        gate.close()
        with pytest.raises(errors.Cancelled):
            call.result()


async def test_closed_during_a_call_async(server: ScriptedServer) -> None:
    """Closing the asyncio client fails the call in flight with Cancelled, not with CancelledError."""
    server.answer = slow
    gate = gerbang.AsyncGateClient(server.target)
    call = asyncio.create_task(gate.identify(PROBE))
    await asyncio.sleep(0.2)
    await gate.close()
    with pytest.raises(errors.Cancelled):
        await call


async def test_cancelled_task(server: ScriptedServer) -> None:
    """Cancelling the caller's task stays a CancelledError."""
    server.answer = slow
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
