"""The guard around every call, on a small server of its own: what can't be provoked from outside of a sound one."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1.matching_service_pb2_grpc import (
    MatchingServiceServicer,
)
from gerbang_service.access.calls import Observers
from gerbang_service.access.identity import LOCAL
from gerbang_service.domain import errors
from gerbang_service.rpc.errors import STATUS
from gerbang_service.rpc.guard import Guard
from rpc.guarded import guarded
from rpc.wire import of_error

SECRET = "vector 0.25 of Siti"


class Failing(MatchingServiceServicer):
    """Raises what it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def Identify(self, _: pb.IdentifyRequest, __: Any) -> pb.IdentifyResponse:  # noqa: N802
        raise self.error

    async def IdentifyStream(  # noqa: N802
        self, requests: AsyncIterable[pb.IdentifyRequest], _: Any
    ) -> AsyncIterator[pb.IdentifyResponse]:
        async for request in requests:
            if request.sequence == 1:
                raise self.error
            yield pb.IdentifyResponse(sequence=request.sequence)


@asynccontextmanager
async def serving(error: Exception, *, ready: bool = True, draining: bool = False) -> AsyncIterator[Any]:
    """Run a server whose matching service fails, behind the guard; yields its stub."""
    guard = Guard(lambda: ready, lambda: draining, lambda _: LOCAL, Observers(()))
    async with guarded(guard, Failing(error)) as stub:  # type: ignore[abstract]  # two are enough
        yield stub


def made(kind: type[errors.GerbangError]) -> errors.GerbangError:
    """Make an error of a class."""
    if issubclass(kind, errors.FieldInvalid):
        return kind("the_field", "is wrong", value=3)
    if issubclass(kind, errors.Overloaded):
        return kind("too much", retry_after_s=1.5, value=3)
    return kind("it happened", value=3)


@pytest.mark.parametrize("kind", STATUS, ids=lambda kind: kind.reason)
async def test_every_row_reaches_the_client(kind: type[errors.GerbangError]) -> None:
    """Whatever row of the table a servicer raises, the client gets its status, reason, domain and metadata."""
    async with serving(made(kind)) as stub:
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.Identify(pb.IdentifyRequest())
    failed = of_error(caught.value)
    assert (failed.code, failed.reason, failed.domain) == (STATUS[kind], kind.reason, "gerbang")
    assert failed.code is caught.value.code()
    assert failed.message == caught.value.details() == str(made(kind))
    assert failed.metadata["value"] == "3"
    assert failed.violations == ({"the_field": "is wrong"} if kind is errors.FieldInvalid else {})
    assert failed.retry_after_s == (1.5 if kind is errors.Overloaded else None)


class Unlisted(errors.GerbangError):
    """One that nobody put into the table."""


@pytest.mark.parametrize(
    "error", [RuntimeError(SECRET), KeyError(SECRET), Unlisted(SECRET), errors.StartupError(SECRET)], ids=repr
)
async def test_unexpected_exception_is_internal_with_an_id_that_is_in_the_log(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that is in no table is INTERNAL; the log has its trail, under an id that the client gets.

    Its text is in neither, unless it is the domain's, which quotes nothing: others may hold what was sent.
    """
    with caplog.at_level(logging.ERROR):
        async with serving(error) as stub:
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.Identify(pb.IdentifyRequest())
    failed = of_error(caught.value)
    assert (failed.code, failed.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "Siti" not in f"{failed} {caught.value.details()} {caught.value.trailing_metadata()}"
    (record,) = [each for each in caplog.records if failed.metadata["error_id"] in each.getMessage()]
    assert failed.metadata["error_id"] in failed.message
    assert type(error).__name__ in record.getMessage()
    assert re.search(r'File ".*test_guard.py", line \d+, in Identify', record.getMessage())
    assert ("Siti" in caplog.text) == isinstance(error, errors.GerbangError)


async def test_the_trail_has_what_led_to_an_exception_and_quotes_none_of_it(caplog: pytest.LogCaptureFixture) -> None:
    """Causes are named, with where they came from, and end even where they are their own."""

    def failing() -> RuntimeError:
        wrapped = RuntimeError(SECRET)
        try:
            int(SECRET)
        except ValueError as error:
            wrapped.__cause__, error.__context__ = error, wrapped
        return wrapped

    async with serving(failing()) as stub:
        with pytest.raises(aio.AioRpcError):
            await stub.Identify(pb.IdentifyRequest())
    assert re.search(r": RuntimeError\n(.|\n)*after ValueError\n.*in failing", caplog.text)
    assert "Siti" not in caplog.text


async def test_stream_that_breaks_tells_no_more_than_a_call(caplog: pytest.LogCaptureFixture) -> None:
    """A stream gives the answers before an unexpected exception, then INTERNAL with an id and without the text."""

    async def requests() -> AsyncIterator[pb.IdentifyRequest]:
        for number in range(3):
            yield pb.IdentifyRequest(sequence=number)

    answers = []
    with caplog.at_level(logging.ERROR):
        async with serving(RuntimeError(SECRET)) as stub:
            with pytest.raises(aio.AioRpcError) as caught:
                async for answer in stub.IdentifyStream(requests()):
                    answers.append(answer.sequence)  # noqa: PERF401 - the ones before the failure count
    failed = of_error(caught.value)
    assert answers == [0]
    assert failed.code is grpc.StatusCode.INTERNAL
    assert "Siti" not in str(failed)
    assert failed.metadata["error_id"] in caplog.text
    assert "Siti" not in caplog.text


@pytest.mark.parametrize("reason", ["NOT_READY", "SHUTTING_DOWN"])
async def test_nothing_is_begun_before_the_gallery_is_loaded_or_at_the_end(reason: str) -> None:
    """Before the server is ready and when it drains, calls and streams are UNAVAILABLE and reach no servicer."""
    error = RuntimeError("the servicer was reached")
    async with serving(error, ready=reason != "NOT_READY", draining=reason == "SHUTTING_DOWN") as stub:
        with pytest.raises(aio.AioRpcError) as unary:
            await stub.Identify(pb.IdentifyRequest())
        with pytest.raises(aio.AioRpcError) as stream:
            async for _ in stub.IdentifyStream(iter([pb.IdentifyRequest()])):
                pass
    for caught in (unary, stream):
        failed = of_error(caught.value)
        assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, reason)
