"""gRPC's server on its ports: with its options, and begun anew when a request has killed it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from grpc import aio

from gerbang_service.access.tcp_ports import Opened, Ports
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.running.failed import Failed

log = logging.getLogger(__name__)

# Milliseconds: to TLS and HTTP/2's first words; between pings; for their answer; without any call.
_HANDSHAKE_MS, _KEEPALIVE_MS, _KEEPALIVE_TIMEOUT_MS, _IDLE_MS = 10_000, 20_000, 10_000, 3_600_000
# Calls of one connection at a time; a client keeps the rest back.
_CALLS_OF_A_CONNECTION = 64
# Calls that gRPC's core holds until they are begun, from which on it refuses some and, at twice as many, all: a dozen
# full connections carry so many. Not fewer: what is refused makes room for the client to send the next, has its price
# too, and can't say when to come back (docs/performance.md).
_UNBEGUN_CALLS = 768


def options(max_message_mb: int, *, shared_port: bool = False) -> tuple[tuple[str, int], ...]:
    """Return gRPC's options. `max_message_mb`: largest message taken, MiB; `shared_port`: workers share it."""
    return (
        # On by default, it would let a second server bind the same port without a word.
        ("grpc.so_reuseport", int(shared_port)),
        ("grpc.max_receive_message_length", max_message_mb * 1024 * 1024),
        # What was asked for is answered: a page of subjects may be larger than a request.
        ("grpc.max_send_message_length", -1),
        # Gates keep idle connections through firewalls with pings; the default calls that abuse.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        # Who opens a connection and then does not speak holds it no longer than this.
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        # A peer that is gone without a word, or stopped, is found by pings, and its calls are ended.
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        # To these pings, too: gRPC would wait a minute for the answer to any.
        ("grpc.http2.ping_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),
        # A client that was away so long connects anew with its next call.
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        # What is too much waits at the client, or is refused while refusing is still cheap: calls that waited here
        # until past their deadline would cost as much as those that are of use (docs/performance.md).
        ("grpc.max_concurrent_streams", _CALLS_OF_A_CONNECTION),
        # It counts calls that were cancelled and are not cleared up yet, and would refuse others of a client that keeps
        # to its bound but cancels some.
        ("grpc.http.overload_protection", 0),
        ("grpc.server.max_pending_requests", _UNBEGUN_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _UNBEGUN_CALLS),
    )


# What the kernel needs to give back the ports of a server that died, at most, seconds.
_PORTS_FREE_WITHIN_S = 5.0
_TRIED_EVERY_S = 0.05


class Listener:
    """Keeps a gRPC server on the ports. Belongs to one event loop.

    grpc.aio decodes the path of a request that is of none of its registered methods in its accepting loop, and one that
    is not UTF-8 ends that loop, and with it the server: whoever can open a connection could stop the service with one
    request. So its end is waited for, and a new one with the same services takes its place: connections are lost, and
    clients connect again; the gallery stays in memory.
    """

    def __init__(
        self,
        settings: Settings,
        ports: Ports,
        interceptors: Sequence[aio.ServerInterceptor],
        add_services: Callable[[aio.Server], None],
    ) -> None:
        self._settings = settings
        self._ports = ports
        self._interceptors = interceptors
        self._add_services = add_services
        self._server: aio.Server | None = None
        self._opened: Opened | None = None

    @property
    def listening(self) -> bool:
        """Whether there is a server that takes connections."""
        return self._server is not None

    def bind(self) -> Opened:
        """Bind the ports and return their addresses; raise StartupError when one can't be."""
        self._server = self._made()
        self._opened = self._ports.open(self._server)
        return self._opened

    async def serve(self, stopping: asyncio.Event) -> None:
        """Serve on the ports that were bound, until `stopping`. Raises Failed when they can't be bound anew."""
        assert self._server is not None  # noqa: S101 - bound before
        await self._server.start()
        stopped = asyncio.ensure_future(stopping.wait())
        try:
            while not stopped.done():
                ended = asyncio.ensure_future(self._server.wait_for_termination())
                await asyncio.wait((stopped, ended), return_when=asyncio.FIRST_COMPLETED)
                # Not to be cancelled: it waits for what the end of the server waits for too, and would cancel that.
                if not stopped.done():
                    await self._begin_anew(ended.exception())
        finally:
            stopped.cancel()

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, and give those in flight so long."""
        if self._server is not None:
            await self._server.stop(grace_s)

    async def _begin_anew(self, why: BaseException | None) -> None:
        log.critical("gRPC's server died of a request and is begun anew: all connections are lost", exc_info=why)
        dead, self._server = self._server, None
        if dead is not None:
            await dead.stop(None)
        end = asyncio.get_running_loop().time() + _PORTS_FREE_WITHIN_S
        while True:
            server = self._made()
            try:
                self._ports.open(server, self._opened)
                break
            except StartupError as error:
                await server.stop(None)
                if asyncio.get_running_loop().time() > end:
                    raise Failed(f"the ports can't be bound anew: {error}") from error
                await asyncio.sleep(_TRIED_EVERY_S)
        await server.start()
        self._server = server

    def _made(self) -> aio.Server:
        shared_port = self._settings.workers > 1
        server = aio.server(
            interceptors=self._interceptors, options=options(self._settings.max_message_mb, shared_port=shared_port)
        )
        self._add_services(server)
        return server
