"""A server that does nothing, as well as this stack can: what a service over it can't beat.

The same grpc.aio, messages and options as `gerbang serve`; requests are parsed, and a small fixed answer is sent at
once. It has no WatchlistService, by which load.py knows it.

    python -m benchmarks.noop --listen 127.0.0.1:50050
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc
from grpc import aio

from gerbang.v1.matching_service_pb2 import (
    EnrollRequest,
    EnrollResponse,
    ExtractRequest,
    IdentifyBatchRequest,
    IdentifyBatchResponse,
    IdentifyRequest,
    IdentifyResponse,
    VerifyRequest,
    VerifyResponse,
)
from gerbang.v1.matching_service_pb2_grpc import MatchingServiceServicer, add_MatchingServiceServicer_to_server
from gerbang_service.rpc.registration import add_by_name
from gerbang_service.running.listener import options

_MESSAGE_MB = 64
Context = aio.ServicerContext[Any, Any]


class NoOp(MatchingServiceServicer):
    """Answers that nobody was found."""

    async def Identify(self, request: IdentifyRequest, context: Context) -> IdentifyResponse:  # noqa: ARG002, N802
        """Answer at once."""
        return IdentifyResponse(threshold=0.5)

    async def Verify(self, request: VerifyRequest, context: Context) -> VerifyResponse:  # noqa: ARG002, N802
        """Answer at once."""
        return VerifyResponse(threshold=0.5)

    async def IdentifyStream(  # noqa: N802
        self,
        requests: AsyncIterator[IdentifyRequest],
        context: Context,  # noqa: ARG002
    ) -> AsyncIterator[IdentifyResponse]:
        """Answer each at once."""
        async for request in requests:
            yield IdentifyResponse(threshold=0.5, sequence=request.sequence)

    async def IdentifyBatch(  # noqa: N802
        self,
        request: IdentifyBatchRequest,
        context: Context,  # noqa: ARG002
    ) -> IdentifyBatchResponse:
        """Answer all at once."""
        return IdentifyBatchResponse(responses=[IdentifyResponse(threshold=0.5) for _ in request.requests])

    async def Enroll(self, request: EnrollRequest, context: Context) -> EnrollResponse:  # noqa: ARG002, N802
        """Answer at once."""
        return EnrollResponse(revision=1)

    async def EnrollStream(  # noqa: N802
        self,
        requests: AsyncIterator[EnrollRequest],
        context: Context,  # noqa: ARG002
    ) -> AsyncIterator[EnrollResponse]:
        """Answer each at once."""
        async for _ in requests:
            yield EnrollResponse(revision=1)

    async def Extract(self, request: ExtractRequest, context: Context) -> NoReturn:  # noqa: ARG002, N802
        """Refuse: there is no such thing as an extraction of nothing."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "a no-op extracts nothing")


async def serve(listen: str) -> None:
    """Serve until cancelled; prints "listening on HOST:PORT" and "ready", as `gerbang serve` does."""
    # In all as gerbang_service.running.listener.
    server = aio.server(options=options(_MESSAGE_MB))
    add_by_name(server, add_MatchingServiceServicer_to_server, NoOp())
    port = server.add_insecure_port(listen)
    await server.start()
    print(f"listening on {listen.rpartition(':')[0]}:{port}", flush=True)
    print("ready", flush=True)
    await server.wait_for_termination()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", default="127.0.0.1:50050", help="HOST:PORT; port 0: any free one")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args().listen))


if __name__ == "__main__":
    main()
