"""What stands around every call.

No exception's text reaches a client, nobody is served who may not be, no call is begun before the gallery is loaded or
when the server drains, and audit and metrics learn of every answer before it is sent.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, NoReturn, TypeAlias

import grpc
from google.rpc import status_pb2
from grpc import aio

from gerbang_service.access import calls
from gerbang_service.access.calls import REQUEST_ID_KEY, Call, Observer
from gerbang_service.access.identity import Identity
from gerbang_service.domain.errors import NotReady, RevisionNotReached, ShuttingDown
from gerbang_service.rpc.deserializing import Unreadable
from gerbang_service.rpc.errors import to_status

Context: TypeAlias = aio.ServicerContext[Any, Any]

# What becomes of a call whose client went away, or did not wait any longer; nobody is told but observers.
_GONE = status_pb2.Status(code=grpc.StatusCode.CANCELLED.value[0], message="the client went away")

# Who sends on a stream is asked again so often, seconds: with what the book of tokens takes, within one.
_ASKED_EVERY_S = 0.5
_CODES = {code.value[0]: code for code in grpc.StatusCode}
# gRPC's clients repeat what is UNAVAILABLE by themselves. This one has waited for as long as its deadline let it: they
# would lose the reason in a repeat that can't end in time. Negative: not again (gRFC A6).
_NOT_AGAIN = (("grpc-retry-pushback-ms", "-1"),)


class Guard:
    """Stands before every method of a servicer: `guard.of(servicer)` is what gRPC is given.

    A wrapper made once, and not an interceptor: that would choose and wrap the handler anew in every call.
    """

    def __init__(
        self,
        ready: Callable[[], bool],
        draining: Callable[[], bool],
        authenticate: Callable[[Context], Identity],
        observer: Observer,
    ) -> None:
        """`ready`: whether the gallery is loaded; `draining`: whether the server takes no new calls.

        `authenticate` tells who calls, or raises Unauthenticated. `observer` is told of all that is answered, but for
        items of a stream, which the servicer reports itself.
        """
        self._ready = ready
        self._draining = draining
        self._authenticate = authenticate
        self._observer = observer

    def of(self, servicer: object) -> Any:  # noqa: ANN401 - as duck-typed as what it stands for
        """Return a servicer whose methods are the guarded ones of `servicer`."""
        methods = {name: getattr(servicer, name) for name in dir(servicer) if name[0].isupper()}
        return SimpleNamespace(
            **{
                name: self._stream(name, method) if inspect.isasyncgenfunction(method) else self._unary(name, method)
                for name, method in methods.items()
            }
        )

    def _begin(self, call: Call, context: Context) -> None:
        context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id),))
        call.peer = context.peer()
        call.identity = self._authenticate(context)
        call.identity.check_rpc(call.rpc)
        if self._draining():
            raise ShuttingDown("the server is shutting down and takes no new calls")
        if not self._ready():
            raise NotReady("the server still loads its gallery")

    def _unary(self, rpc: str, behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Any:  # noqa: ANN401
        async def guarded(request: Any, context: Context) -> Any:  # noqa: ANN401
            call = Call(rpc)
            calls.enter(call)
            try:
                self._begin(call, context)
                if isinstance(request, Unreadable):
                    raise request.error  # noqa: TRY301 - fails as whatever else does
                response = await behaviour(request, context)
                await self._observer.answered(call, request, response)
            except asyncio.CancelledError:
                await self._observer.failed(call, request, _GONE)
                raise
            except Exception as error:
                if isinstance(error, aio.AbortError):
                    raise
                await self._fail(call, None if isinstance(request, Unreadable) else request, context, error)
            return response

        return guarded

    def _stream(self, rpc: str, behaviour: Callable[[Any, Context], AsyncIterator[Any]]) -> Any:  # noqa: ANN401
        async def guarded(requests: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401
            call = Call(rpc)
            calls.enter(call)
            try:
                self._begin(call, context)
                async for response in behaviour(self._of_one_caller(call, requests, context), context):
                    yield response
            # Where an answer waits to be taken, gRPC only drops the generator of a client that went away.
            except (asyncio.CancelledError, GeneratorExit):
                await self._observer.failed(call, None, _GONE)
                raise
            except Exception as error:
                if isinstance(error, aio.AbortError):
                    raise
                await self._fail(call, None, context, error)

        return guarded

    async def _of_one_caller(self, call: Call, requests: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401
        """Yield a stream's requests, asking now and then who sends them: a stream may be open for longer than a right.

        Raises Unauthenticated or RoleDenied at a request of somebody who may not send it any more.
        """
        asked = time.monotonic()
        async for request in requests:
            if time.monotonic() - asked > _ASKED_EVERY_S:
                call.identity = self._authenticate(context)
                call.identity.check_rpc(call.rpc)
                asked = time.monotonic()
            yield request

    async def _fail(self, call: Call, request: Any, context: Context, error: Exception) -> NoReturn:  # noqa: ANN401
        status = to_status(error, call.request_id)
        await self._observer.failed(call, request, status)
        await abort(context, status, _NOT_AGAIN if isinstance(error, RevisionNotReached) else ())


async def abort(context: Context, status: status_pb2.Status, trailing: tuple[tuple[str, str], ...] = ()) -> NoReturn:
    """End a call with a rich status, and `trailing` metadata besides."""
    request_id = ((REQUEST_ID_KEY, calls.current().request_id),)
    await context.abort(
        _CODES[status.code],
        status.message,
        (("grpc-status-details-bin", status.SerializeToString()), *request_id, *trailing),
    )
    raise AssertionError("abort returned")
