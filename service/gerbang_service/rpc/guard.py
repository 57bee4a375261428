"""The interceptor around every call.

No exception's text reaches a client, and no call is begun before the gallery is loaded or when the server drains.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from grpc import aio

from gerbang_service.domain.errors import NotReady, ShuttingDown
from gerbang_service.rpc.errors import to_status

_CODES = {code.value[0]: code for code in grpc.StatusCode}


async def abort(context: aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    """End a call with the rich status of an exception."""
    status = to_status(error)
    await context.abort(
        _CODES[status.code],
        status.message,
        (("grpc-status-details-bin", status.SerializeToString()),),
    )
    raise AssertionError("abort returned")


class Guard(aio.ServerInterceptor):
    """Turns exceptions of the servicers into statuses.

    `ready` tells whether the gallery is loaded, `draining` whether the server takes no new calls.
    """

    def __init__(self, ready: Callable[[], bool], draining: Callable[[], bool]) -> None:
        self._ready = ready
        self._draining = draining

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the handler of one of Gerbang's own services; health and reflection pass as they are."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith("/gerbang."):
            return handler
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(handler.stream_stream), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _check(self) -> None:
        if self._draining():
            raise ShuttingDown("the server is shutting down and takes no new calls")
        if not self._ready():
            raise NotReady("the server still loads its gallery")

    def _unary(self, behaviour: Any) -> Any:  # noqa: ANN401 - grpc's behaviours are untyped
        async def guarded(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: ANN401
            try:
                self._check()
                return await behaviour(request, context)
            except Exception as error:
                if isinstance(error, aio.AbortError):
                    raise
                await abort(context, error)

        return guarded

    def _stream(self, behaviour: Any) -> Any:  # noqa: ANN401
        async def guarded(requests: Any, context: aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:  # noqa: ANN401
            try:
                self._check()
                async for response in behaviour(requests, context):
                    yield response
            except Exception as error:
                if isinstance(error, aio.AbortError):
                    raise
                await abort(context, error)

        return guarded
