"""A real gRPC server that answers as a test tells it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from gerbang.v1 import matching_service_pb2 as matching
from gerbang.v1 import watchlist_service_pb2 as watchlists

Context = grpc.ServicerContext
PROBE = [1.0, 0.0]


class ScriptedServer:
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
