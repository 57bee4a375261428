"""How services are made known to gRPC."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from gerbang_service.rpc.deserializing import Bounded, Parse, deserializer
from gerbang_service.rpc.health import Health

# They take whatever handlers can be added to; their type hints name grpc's own servers only.
_add_health: Callable[[Any, Any], None] = health_pb2_grpc.add_HealthServicer_to_server
_add_reflection: Callable[[Any, Any], None] = reflection_pb2_grpc.add_ServerReflectionServicer_to_server
# Of a request of the services that anybody may call: names of services and symbols. Bytes.
_LARGEST_OPEN = 4096


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
        self._server.add_generic_rpc_handlers([Bounded(each, deserializer) for each in handlers])

    def add_registered_method_handlers(self, *_: object) -> None:
        """Leave them out."""


def add_open_to_all(server: aio.Server, own_health: Health, reflected: Sequence[str]) -> None:
    """Add what is asked without saying who asks: health, and reflection of these services unless there are none.

    What is too large, or no message, is answered as a question for a name that nobody has.
    """
    # Registered with gRPC's core too, health calls have a queue of their own there: a flood can't crowd them out.
    nobody: Message = health_pb2.HealthCheckRequest(service="(unreadable)")
    _add_health(own_health, _Small(server, nobody))
    if reflected:
        names = (*reflected, health.SERVICE_NAME, reflection.SERVICE_NAME)
        nobody = reflection_pb2.ServerReflectionRequest(file_containing_symbol="(unreadable)")
        servicer = reflection.aio.ReflectionServicer(names)
        _add_reflection(servicer, _Small(server, nobody, by_name=True))


class _Small:
    """Adds handlers whose requests are bounded in size, and read as `instead` when they can't be."""

    def __init__(self, server: aio.Server, instead: Message, *, by_name: bool = False) -> None:
        self._server = server
        self._instead = instead
        self._by_name = by_name

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Add them."""
        self._server.add_generic_rpc_handlers([Bounded(each, self._bounded) for each in handlers])

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Add them, unless they are found by name."""
        if not self._by_name:
            bounded = {
                name: each._replace(request_deserializer=self._bounded(each.request_deserializer))
                for name, each in handlers.items()
            }
            self._server.add_registered_method_handlers(service, bounded)

    def _bounded(self, parse: Parse) -> Parse:
        return partial(self._read, parse)

    def _read(self, parse: Parse, data: bytes) -> Message:
        if len(data) > _LARGEST_OPEN:
            return self._instead
        try:
            return parse(data)
        except DecodeError:
            return self._instead
