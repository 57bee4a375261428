"""Metrics, logs and traces of one server, put together from the settings."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

import prometheus_client
from grpc import aio
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder

from gerbang_service.access.calls import Observer
from gerbang_service.configuration.addresses import is_loopback
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import DataDamaged, StartupError, StoreUnavailable
from gerbang_service.running.figures import Probes, ServerState
from gerbang_service.running.parts import Parts
from gerbang_service.telemetry.call_counts import CallCounts
from gerbang_service.telemetry.call_log import CallLog
from gerbang_service.telemetry.heartbeat import STUCK_AFTER_S, Heartbeat
from gerbang_service.telemetry.meter import UNMETERED, Meter
from gerbang_service.telemetry.pages import Answer, Page, PageServer
from gerbang_service.telemetry.stages import StageMetrics

if TYPE_CHECKING:
    from gerbang_service.telemetry.tracing import Tracing

log = logging.getLogger(__name__)


class Telemetry:
    """Made before the parts, which tell its `meter`; started with them. Belongs to the event loop.

    Where neither metrics nor traces are asked for, nothing is counted and calls cost nothing more.
    """

    def __init__(self, settings: Settings) -> None:
        """Raise StartupError when traces are asked for and can't be made."""
        self._settings = settings
        self._registry = CollectorRegistry()
        self._stages: StageMetrics | None = None
        self._tracing: Tracing | None = None
        self._server: PageServer | None = None
        self._heartbeat: Heartbeat | None = None
        self.meter: Meter = UNMETERED
        self.observers: list[Observer] = []
        self.interceptors: Sequence[aio.ServerInterceptor] = ()
        if settings.metrics_listen:
            # They would double every series, for times of creation that nobody asks for.
            prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
            self.meter = self._stages = StageMetrics(self._registry)
            self._calls = CallCounts(self._registry)
            self.observers.append(self._calls)
            ProcessCollector(registry=self._registry)
            GCCollector(registry=self._registry)
        self.observers.append(CallLog())
        if settings.trace_endpoint:
            self._trace(settings.trace_endpoint)

    def _trace(self, endpoint: str) -> None:
        try:
            from gerbang_service.telemetry.tracing import SpanMeter, SpanNotes, Tracing  # noqa: PLC0415
        except ImportError as error:
            raise StartupError(
                f"trace_endpoint is set, but {error.name} is not installed: pip install 'gerbang[tracing]'"
            ) from error
        if not endpoint.startswith("https://") and not is_loopback(endpoint.removeprefix("http://"), "trace_endpoint"):
            log.warning("traces of all calls go to %s in the clear: insecure is said", endpoint)
        self._tracing = Tracing(endpoint, f"{os.uname().nodename}:{os.getpid()}")
        self.meter = SpanMeter(self._tracing.tracer, self.meter)
        self.observers.append(SpanNotes())
        self.interceptors = (self._tracing.interceptor(),)

    def start(self, parts: Parts, probes: Probes) -> None:
        """Answer who asks over HTTP, if that is wanted; raises StartupError when the port can't be listened on."""
        if self._stages is None:
            return
        self._registry.register(ServerState(parts, self._settings, self._stages, self._calls, probes))
        self._heartbeat = Heartbeat()
        pages = {
            "/metrics": Page(self._metrics, waits=True),
            "/livez": Page(lambda _: alive(self._heartbeat)),
            "/readyz": Page(lambda _: readiness(parts, probes), waits=True),
        }
        self._server = PageServer(self._settings.metrics_listen, pages)
        log.info("metrics on http://%s/metrics", self._server.address)
        if not is_loopback(self._settings.metrics_listen, "metrics_listen"):
            log.warning(
                "metrics are for everybody who reaches %s, in the clear: insecure is said", self._server.address
            )

    async def stop(self) -> None:
        """Answer no more, and send the spans that are left."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        if self._server is not None:
            self._server.stop()
        if self._tracing is not None:
            self._tracing.stop()

    def _metrics(self, accept: str) -> Answer:
        encode, kind = choose_encoder(accept)
        return Answer(encode(self._registry), kind=kind)


def alive(heartbeat: Heartbeat | None) -> Answer:
    """Answer whether the process does what it is for: a process whose event loop is stuck should be replaced."""
    if heartbeat is None or heartbeat.age_s > STUCK_AFTER_S:
        age = "ever" if heartbeat is None else f"{heartbeat.age_s:.0f} seconds"
        return Answer(f"the event loop has not turned for {age}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE)
    return Answer(b"alive\n")


def readiness(parts: Parts, probes: Probes) -> Answer:
    """Answer whether calls should be sent here. A server that can't write is ready: gates still need it."""
    why = ""
    if probes.draining():
        why = "draining"
    elif not probes.ready():
        why = "the gallery is being loaded"
    else:
        try:
            with parts.store.reading() as reader:
                reader.revision()
        except (StoreUnavailable, DataDamaged):
            why = "the database can't be read"
    return Answer(f"not ready: {why}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE) if why else Answer(b"ready\n")
