"""The health service (grpc.health.v1): the names it knows, and watchers that hold up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING: int = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: int = health_pb2.HealthCheckResponse.NOT_SERVING
# Name for the ability to take changes: NOT_SERVING while the disk takes none, with searches going on.
WRITES = "gerbang.writes"
# A watcher learns of NOT_SERVING within this time, seconds, before its stream is ended.
_LAST_WORD_S = 0.5
# How often it is looked whether changes can be made, seconds.
_LOOKED_EVERY_S = 0.2


class Health(health_pb2_grpc.HealthServicer):
    """Tells who asks how the server stands. Belongs to one event loop.

    Not grpc's own: that tells all watchers of a name with one lock held, and one that does not read keeps the others,
    and the end of the server, waiting.
    """

    def __init__(self) -> None:
        self._status: dict[str, int] = {}
        self._draining = False
        self._ending = asyncio.Event()
        # Set, and replaced, when any status changes.
        self._changed = asyncio.Event()

    def set(self, service: str, status: int) -> None:
        """Set the status of a name; nothing any more once the server drains."""
        if not self._draining:
            self._status[service] = status
            self._changed.set()
            self._changed = asyncio.Event()

    def drain(self) -> None:
        """Be NOT_SERVING for good, and end the streams that load balancers keep open for ever after that news."""
        for name in self._status:
            self.set(name, NOT_SERVING)
        self._draining = True
        self._ending.set()

    async def Check(  # noqa: N802 - the rpc's name
        self, request: health_pb2.HealthCheckRequest, context: aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        """Return the status of a name; NOT_FOUND for one that there is not."""
        if (status := self._status.get(request.service)) is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - the rpc's name
        self, request: health_pb2.HealthCheckRequest, context: aio.ServicerContext[Any, Any]
    ) -> None:
        """Send the status of a name whenever it changes, until the server drains."""
        telling = asyncio.ensure_future(self._tell(request.service, context))
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait((telling, ending), return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait((telling,), timeout=_LAST_WORD_S)
        finally:
            ending.cancel()
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling

    async def _tell(self, service: str, context: aio.ServicerContext[Any, Any]) -> None:
        told = None
        while True:
            changed = self._changed
            status = self._status.get(service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            await changed.wait()

    async def follow_writes(self, writable: Callable[[], bool]) -> None:
        """Keep the status of WRITES as `writable` says.

        Of this name alone: a gate must not be sent away for what it does not do. Runs until it is cancelled.
        """
        while True:
            status = SERVING if writable() else NOT_SERVING
            if status != self._status.get(WRITES):
                self.set(WRITES, status)
            await asyncio.sleep(_LOOKED_EVERY_S)
