"""What the clients send again, and what they don't."""

from __future__ import annotations

import grpc
import pytest

import gerbang
from clients.scripted_server import PROBE, Context, ScriptedServer, info
from gerbang import errors
from gerbang.v1 import matching_service_pb2 as matching

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def test_read_is_retried(server: ScriptedServer, gate: gerbang.GateClient) -> None:
    """Identify with a photo of 3 MB survives three failures of an unavailable server."""
    server.fail(UNAVAILABLE, UNAVAILABLE, UNAVAILABLE)
    assert gate.identify(bytes(3_000_000)).hit
    assert server.calls == 4


def test_enroll_is_retried_with_its_request_id(server: ScriptedServer) -> None:
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


def test_change_is_not_retried(server: ScriptedServer) -> None:
    """A deletion is tried once."""
    server.fail(UNAVAILABLE)
    with gerbang.WatchlistClient(server.target) as office, pytest.raises(errors.Unavailable):
        office.delete_subject("a")
    assert server.calls == 1


def test_busy_is_not_retried(server: ScriptedServer, gate: gerbang.GateClient) -> None:
    """An overloaded server is not asked again by the client itself."""
    server.fail_richly(grpc.StatusCode.RESOURCE_EXHAUSTED, info("OVERLOADED"))
    with pytest.raises(errors.Busy):
        gate.identify(PROBE)
    assert server.calls == 1
