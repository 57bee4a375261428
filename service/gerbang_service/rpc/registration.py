"""How services are made known to gRPC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc import aio

from gerbang_service.rpc.deserializing import Bounded


def add_by_name(server: aio.Server, add_to_server: Callable[[Any, Any], None], servicer: object) -> None:
    """Add a servicer with its generated function `add_..._to_server`, its methods found by name alone.

    The generated functions also register each method with gRPC's core. grpc.aio 1.8x waits for a future for every
    method so registered, and does so anew with every call (`asyncio.wait` in AioServer._server_main_loop): with some
    twenty methods that was an eighth of what a call costs the event loop.

    Requests are deserialized within bounds.
    """
    add_to_server(servicer, _ByName(server))


class _ByName:
    def __init__(self, server: aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Add them with bounded deserializers."""
        self._server.add_generic_rpc_handlers([Bounded(each) for each in handlers])

    def add_registered_method_handlers(self, *_: object) -> None:
        """Leave them out."""
