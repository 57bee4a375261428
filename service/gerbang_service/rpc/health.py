"""The health service: the names it knows, and watchers that don't hold up the end of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from grpc import aio
from grpc_health.v1 import health, health_pb2

# Name for the ability to take changes: NOT_SERVING while the disk takes none, with searches going on.
WRITES = "gerbang.writes"
# A watcher learns of NOT_SERVING within this time, seconds, before its stream is ended.
_LAST_WORD_S = 0.5
# How often it is looked whether changes can be made, seconds.
_LOOKED_EVERY_S = 0.2


class Health(health.aio.HealthServicer):
    """grpc's own health service; `end_watches` ends the streams that a load balancer keeps open for ever."""

    def __init__(self) -> None:
        super().__init__()
        self._ending = asyncio.Event()

    def end_watches(self) -> None:
        """End all streams of Watch after their last news, so that draining does not wait for them."""
        self._ending.set()

    async def Watch(  # noqa: N802 - the rpc's name
        self, request: health_pb2.HealthCheckRequest, context: aio.ServicerContext[Any, Any]
    ) -> None:
        """Send the status whenever it changes, until the server drains."""
        watching = asyncio.ensure_future(super().Watch(request, context))
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait((watching, ending), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((watching,), timeout=_LAST_WORD_S)
        finally:
            ending.cancel()
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def follow_writes(self, writable: Callable[[], bool]) -> None:
        """Keep the status of WRITES as `writable` says.

        Of this name alone: a gate must not be sent away for what it does not do. Runs until it is cancelled.
        """
        told = None
        while True:
            if told != (found := writable()):
                told = found
                serving = (
                    health_pb2.HealthCheckResponse.SERVING if found else health_pb2.HealthCheckResponse.NOT_SERVING
                )
                await self.set(WRITES, serving)
            await asyncio.sleep(_LOOKED_EVERY_S)
