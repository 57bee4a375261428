"""The server's life: bind, load, serve, drain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gerbang.v1 import matching_service_pb2, watchlist_service_pb2
from gerbang.v1.matching_service_pb2_grpc import add_MatchingServiceServicer_to_server
from gerbang.v1.watchlist_service_pb2_grpc import add_WatchlistServiceServicer_to_server
from gerbang_service.access.identity import Identity
from gerbang_service.access.ports import Opened, Ports
from gerbang_service.audit.log import AuditLog
from gerbang_service.audit.serving import compare, note_start, open_log
from gerbang_service.domain.errors import StartupError
from gerbang_service.parts import Parts, build
from gerbang_service.rpc.calls import Observers
from gerbang_service.rpc.enrolling import Enrolling
from gerbang_service.rpc.guard import Context, Guard
from gerbang_service.rpc.health import WRITES, Health
from gerbang_service.rpc.matching_servicer import MatchingServicer
from gerbang_service.rpc.parsing import Parser
from gerbang_service.rpc.recording import Recorder
from gerbang_service.rpc.registration import add_by_name
from gerbang_service.rpc.streams import Drain, OpenStreams
from gerbang_service.rpc.watchlist_servicer import ServerFacts, WatchlistServicer
from gerbang_service.rpc.writing import Writing
from gerbang_service.settings import Settings, split_address
from gerbang_service.store import reading
from gerbang_service.watching.state import Probes
from gerbang_service.watching.watching import Watching

log = logging.getLogger(__name__)

SERVICES = (
    matching_service_pb2.DESCRIPTOR.services_by_name["MatchingService"].full_name,
    watchlist_service_pb2.DESCRIPTOR.services_by_name["WatchlistService"].full_name,
)
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# How long new calls are still answered, with SHUTTING_DOWN, seconds.
_LAST_CALLS_S = 0.2
# How long those who changed something, and then were cut off, have to have it recorded, seconds.
_LAST_RECORDS_S = 1.0
# Milliseconds: to TLS and HTTP/2's first words; between pings; for their answer; without any call.
_HANDSHAKE_MS, _KEEPALIVE_MS, _KEEPALIVE_TIMEOUT_MS, _IDLE_MS = 10_000, 20_000, 10_000, 3_600_000
# Calls of one connection at a time; a client keeps the rest back.
_CALLS_OF_A_CONNECTION = 64
# Calls that gRPC's core holds until they are begun, from which on it refuses some and, at twice as many, all: a dozen
# full connections carry so many. Not fewer: what is refused makes room for the client to send the next, has its price
# too, and can't say when to come back (docs/performance.md).
_UNBEGUN_CALLS = 768


def options(max_message_mb: int, *, shared_port: bool = False) -> tuple[tuple[str, int], ...]:
    """Return gRPC's options. `max_message_mb`: largest message, MiB; `shared_port`: other workers listen on it too."""
    largest = max_message_mb * 1024 * 1024
    return (
        # On by default, it would let a second server bind the same port without a word.
        ("grpc.so_reuseport", int(shared_port)),
        ("grpc.max_receive_message_length", largest),
        ("grpc.max_send_message_length", largest),
        # Gates keep idle connections through firewalls with pings; the default calls that abuse.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        # Who opens a connection and then does not speak holds it no longer than this.
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        # A peer that is gone without a word, or stopped, is found by pings, and its calls are ended.
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
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


class Failed(StartupError):
    """Started, and had to stop: memory and disk may differ."""


class Server:
    """One server, from `start` to `stop`. Belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready = False
        self._failed = False
        self._stopping = asyncio.Event()
        self._drain = Drain()
        self._health = Health()
        self._open_streams = OpenStreams(settings.max_streams)
        self._watching = Watching(settings)
        self._ports: list[int] = []
        self._audit: AuditLog | None = None
        self._writing: Writing | None = None

    async def run(self, say: Callable[[str], None]) -> None:
        """Serve until `stop`; `say` is told the bound address, and when the server is ready.

        Raises StartupError when it can't start, or Failed when it had to stop because memory and disk may differ.
        """
        watch = self._watching.watch
        # First of all: it costs nothing to find out that a certificate can't be used.
        ports = Ports(self._settings, self._note)
        parts = build(self._settings, on_failure=self._fail, watch=watch)
        try:
            self._open_audit(parts)
            self._watching.start(parts, self._probes())
            await self._set_health(_NOT_SERVING)
            if self._settings.workers > 1:
                # Before it listens: the kernel would hand it connections that the others could serve.
                await self._load(parts)
            server, opened = self._bind(ports, parts)
            self._ports += [split_address(each)[1] for each in (opened.main, opened.tokens) if each]
            self._note_start(parts, opened, ports.facts())
            await server.start()
            say(f"listening on {opened.main}")
            if opened.tokens:
                say(f"listening for tokens on {opened.tokens}")
            try:
                await self._serve(parts, say)
            finally:
                await self._drain_and_stop(server)
        finally:
            await self._watching.stop()
            await asyncio.to_thread(parts.stop, loaded=self._ready)
            await self._close_audit()
        if self._failed:
            raise Failed("stopped: what is in memory may not be what is stored, see the log")

    def stop(self) -> None:
        """Begin to drain: no new calls, those in flight are finished, then `run` returns."""
        self._stopping.set()

    def _fail(self) -> None:
        self._failed = True
        self.stop()

    async def _serve(self, parts: Parts, say: Callable[[str], None]) -> None:
        if not self._ready:
            await self._load(parts)
        say("ready")
        following = asyncio.ensure_future(
            self._health.follow_writes(lambda: parts.writer.writable and self._recordable())
        )
        await self._stopping.wait()
        following.cancel()

    def _recordable(self) -> bool:
        return self._audit is None or not self._audit.failing

    async def _load(self, parts: Parts) -> None:
        await asyncio.to_thread(parts.load)
        self._ready = True
        await self._set_health(_SERVING)

    async def _drain_and_stop(self, server: aio.Server) -> None:
        # Load balancers and clients see NOT_SERVING first, streams end after what they took, and calls in flight have
        # the grace to finish.
        await self._health.enter_graceful_shutdown()
        self._health.end_watches()
        self._drain.begin()
        log.info("draining")
        # Those who call in this time are told SHUTTING_DOWN; once gRPC stops, it only cancels what it has not begun.
        await asyncio.sleep(_LAST_CALLS_S)
        await server.stop(self._settings.drain_grace_s)

    async def _set_health(self, status: int) -> None:
        # The empty name is the server as a whole; grpc's servicer starts with it SERVING.
        for name in ("", *SERVICES, WRITES):
            await self._health.set(name, status)

    def _probes(self) -> Probes:
        return Probes(
            ready=lambda: self._ready,
            draining=self._stopping.is_set,
            ports=lambda: self._ports,
            open_streams=lambda: self._open_streams.count,
            audit_waiting=lambda: 0 if self._audit is None else self._audit.waiting[0],
            audit_writable=self._recordable,
        )

    def _open_audit(self, parts: Parts) -> None:
        alone = self._settings.workers == 1
        self._audit = open_log(self._settings, parts.store.cipher, alone=alone)
        if self._audit is not None and alone:
            with parts.store.reading() as connection:
                compare(self._audit, reading.revision(connection))

    def _note(self, event: dict[str, Any]) -> None:
        if self._audit is not None:
            self._audit.note(event)

    def _note_start(self, parts: Parts, opened: Opened, callers: dict[str, Any]) -> None:
        if self._audit is not None:
            recogniser = parts.recogniser
            note_start(
                self._audit,
                self._settings,
                listen=opened.main,
                token_listen=opened.tokens,
                model=recogniser.model,
                threshold=recogniser.defaults.identification_threshold,
                verification_threshold=recogniser.defaults.verification_threshold,
                **callers,
            )

    async def _close_audit(self) -> None:
        if self._audit is None:
            return
        if self._writing is not None:
            await self._writing.finished(_LAST_RECORDS_S)
        self._audit.note({"event": "stop", "gave_up": self._failed})
        await asyncio.to_thread(self._audit.stop)

    def _bind(self, ports: Ports, parts: Parts) -> tuple[aio.Server, Opened]:
        server = aio.server(
            interceptors=self._watching.interceptors,
            options=options(self._settings.max_message_mb, shared_port=self._settings.workers > 1),
        )
        self._add_services(server, parts, ports.authentication(parts.store))
        return server, ports.open(server)

    def _add_services(self, server: aio.Server, parts: Parts, authenticate: Callable[[Context], Identity]) -> None:
        recogniser = parts.recogniser
        parser = Parser(recogniser.model, recogniser.dimension)
        audit = self._audit
        writing = self._writing = Writing(parts.writer, audit.check if audit is not None else lambda: None)
        enrolling = Enrolling(parts.matching, parser, parts.store, writing, parts.queries)
        facts = ServerFacts(
            recogniser.pack, recogniser.model, recogniser.dimension, recogniser.defaults, parts.start_time_ns
        )
        # First: what can't be recorded is not answered, and the others are told of the failure only.
        recorders = () if audit is None else (Recorder(audit, recogniser.model),)
        observer = Observers((*recorders, *self._watching.observers))
        guard = Guard(lambda: self._ready, self._stopping.is_set, authenticate, observer)
        matching = MatchingServicer(parts.matching, enrolling, parser, self._drain, self._open_streams, observer)
        add_by_name(server, add_MatchingServiceServicer_to_server, guard.of(matching))
        add_by_name(server, add_WatchlistServiceServicer_to_server, guard.of(WatchlistServicer(parts, writing, facts)))
        # Registered with gRPC's core, health calls have a queue of their own there: a flood can't crowd them out.
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.reflection:
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
