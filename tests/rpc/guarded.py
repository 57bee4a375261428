"""A gRPC server of one servicer behind a guard, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from grpc import aio

from gerbang.v1.matching_service_pb2_grpc import MatchingServiceStub, add_MatchingServiceServicer_to_server
from gerbang_service.rpc.guard import Guard


@asynccontextmanager
async def guarded(guard: Guard, servicer: object) -> AsyncIterator[Any]:
    """Run it; yields its stub."""
    server = aio.server()
    add_MatchingServiceServicer_to_server(guard.of(servicer), server)  # type: ignore[arg-type]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield MatchingServiceStub(channel)
    finally:
        await server.stop(None)
