"""What stands around every call.

No exception's text reaches a client, and no call is begun before the gallery is loaded or when the server drains.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, NoReturn, TypeAlias

import grpc
from grpc import aio

from gerbang_service.domain.errors import NotReady, ShuttingDown
from gerbang_service.rpc.errors import to_status

Context: TypeAlias = aio.ServicerContext[Any, Any]

_CODES = {code.value[0]: code for code in grpc.StatusCode}


async def abort(context: Context, error: Exception) -> NoReturn:
    """End a call with the rich status of an exception."""
    status = to_status(error)
    await context.abort(
        _CODES[status.code],
        status.message,
        (("grpc-status-details-bin", status.SerializeToString()),),
    )
    raise AssertionError("abort returned")


class Guard:
    """Stands before every method of a servicer: `guard.of(servicer)` is what gRPC is given.

    A wrapper made once, and not an interceptor: that would choose and wrap the handler anew in every call.
    `ready` tells whether the gallery is loaded, `draining` whether the server takes no new calls.
    """

    def __init__(self, ready: Callable[[], bool], draining: Callable[[], bool]) -> None:
        self._ready = ready
        self._draining = draining

    def of(self, servicer: object) -> Any:  # noqa: ANN401 - as duck-typed as what it stands for
        """Return a servicer whose methods are the guarded ones of `servicer`."""
        methods = {name: getattr(servicer, name) for name in dir(servicer) if name[0].isupper()}
        return SimpleNamespace(
            **{
                name: self._stream(method) if inspect.isasyncgenfunction(method) else self._unary(method)
                for name, method in methods.items()
            }
        )

    def _check(self) -> None:
        if self._draining():
            raise ShuttingDown("the server is shutting down and takes no new calls")
        if not self._ready():
            raise NotReady("the server still loads its gallery")

    def _unary(self, behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Any:  # noqa: ANN401
        async def guarded(request: Any, context: Context) -> Any:  # noqa: ANN401
            try:
                self._check()
                return await behaviour(request, context)
            except Exception as error:
                if isinstance(error, aio.AbortError):
                    raise
                await abort(context, error)

        return guarded

    def _stream(self, behaviour: Callable[[Any, Context], AsyncIterator[Any]]) -> Any:  # noqa: ANN401
        async def guarded(requests: Any, context: Context) -> AsyncIterator[Any]:  # noqa: ANN401
            try:
                self._check()
                async for response in behaviour(requests, context):
                    yield response
            except Exception as error:
                if isinstance(error, aio.AbortError):
                    raise
                await abort(context, error)

        return guarded
