"""Streams and pages: they go on after an item's error, end when left, and raise the caller's own exceptions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

import gerbang
from clients.scripted_server import PROBE, Context, ScriptedServer, info, rich
from gerbang import errors
from gerbang.v1 import matching_service_pb2 as matching
from gerbang.v1 import watchlist_service_pb2 as watchlists


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


def test_stream_goes_on(server: ScriptedServer, gate: gerbang.GateClient) -> None:
    """A stream numbers its probes and yields answers with errors as they are; error_of tells them."""
    server.answer = echo
    answers = list(gate.identify_stream([PROBE] * 4))
    assert [answer.sequence for answer in answers] == [0, 1, 2, 3]
    assert [type(gerbang.error_of(answer)) for answer in answers] == [type(None), errors.NoFace] * 2


async def test_stream_goes_on_async(server: ScriptedServer) -> None:
    """An asyncio stream does the same, for plain iterables as for asynchronous ones."""
    server.answer = echo

    async def probes() -> Any:
        for _ in range(3):
            yield PROBE

    async with gerbang.AsyncGateClient(server.target) as gate:
        for source in (probes(), [PROBE] * 3):
            assert [answer.sequence async for answer in gate.identify_stream(source)] == [0, 1, 2]


def test_broken_probes(server: ScriptedServer, gate: gerbang.GateClient) -> None:
    """An exception of the caller's probes is raised, after the answers to those before it."""
    server.answer = echo
    answers = gate.identify_stream(broken_probes())
    assert [next(answers).sequence, next(answers).sequence] == [0, 1]
    with pytest.raises(OSError, match="camera unplugged"):
        next(answers)


async def test_broken_probes_async(server: ScriptedServer) -> None:
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


def test_leaving_a_stream_ends_it(server: ScriptedServer, gate: gerbang.GateClient) -> None:
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


def test_all_pages_are_listed(server: ScriptedServer) -> None:
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
