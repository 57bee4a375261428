"""Traces: spans of calls by OpenTelemetry's own gRPC instrumentation, and within them of the stages they wait for.

Only imported when traces are asked for: the packages are an extra, and a span costs more than all metrics of a call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

from google.rpc import status_pb2
from grpc import aio
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import aio_server_interceptor, filters
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, Tracer

from gerbang_service.access.calls import Call, OneByOne
from gerbang_service.telemetry.meter import COMMIT, EXTRACT, SEARCH, Meter
from gerbang_service.telemetry.statuses import reason_of

# Of a call, in the event loop. Those of the work behind belong to many calls at once, or to a thread that knows none.
_SPANNED = frozenset({EXTRACT, SEARCH})


class Tracing:
    """Sends spans to an OTLP/gRPC collector, from a thread of its own, until `stop`."""

    def __init__(self, endpoint: str, instance: str) -> None:
        """`endpoint`: HOST:PORT, in the clear, or https://HOST:PORT; `instance`: which of several servers this is."""
        resource = Resource.create(
            {SERVICE_NAME: "gerbang", SERVICE_VERSION: version("gerbang"), SERVICE_INSTANCE_ID: instance}
        )
        # No events: the instrumentation records what a call raised, with its text and all that led to it, which quotes
        # what was sent. A reason and a request id are on the span; the rest is in the log.
        self._provider = TracerProvider(resource=resource, span_limits=SpanLimits(max_events=0))
        exporter = OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer: Tracer = self._provider.get_tracer("gerbang")

    def interceptor(self) -> aio.ServerInterceptor:
        """Return what begins and ends the span of each call, health calls left out."""
        made: aio.ServerInterceptor = aio_server_interceptor(  # type: ignore[no-untyped-call]
            tracer_provider=self._provider, filter_=filters.negate(filters.health_check())
        )
        return made

    def stop(self) -> None:
        """Send what is left, for a few seconds at most."""
        self._provider.force_flush(5000)
        self._provider.shutdown()


class SpanNotes(OneByOne):
    """An Observer that writes on a call's span what the client and the log know it by."""

    async def answered(self, call: Call, request: Any, response: Any) -> None:  # noqa: ANN401, ARG002
        """Write the request id."""
        self._note(call)

    async def failed(self, call: Call, request: Any, status: status_pb2.Status) -> None:  # noqa: ANN401, ARG002
        """Write the request id and the reason."""
        self._note(call).set_attribute("gerbang.reason", reason_of(status))

    def _note(self, call: Call) -> Span:
        span = trace.get_current_span()
        span.set_attribute("gerbang.request_id", call.request_id)
        if call.identity is not None:
            span.set_attribute("gerbang.role", call.identity.role.value)
        return span


class SpanMeter:
    """A Meter that makes spans of what a call waits for, and tells another Meter everything."""

    def __init__(self, tracer: Tracer, inner: Meter) -> None:
        self._tracer = tracer
        self._inner = inner
        self.image = inner.image
        self.searched = inner.searched
        self.committed = inner.committed
        self.expired_erased = inner.expired_erased
        self.revised = inner.revised

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Time a stage, and if a call waits for it make a span of it."""
        timed = self._inner.stage(name)
        return _Spanned(self._tracer.start_as_current_span(name), timed) if name in _SPANNED else timed

    def submitted(self) -> Callable[[Any], object]:
        """Make a span from now until the result is called, in whatever thread."""
        done = self._inner.submitted()
        span = self._tracer.start_span(COMMIT, context.get_current())

        def end(result: object) -> None:
            span.end()
            done(result)

        return end


class _Spanned:
    __slots__ = ("_span", "_timed")

    def __init__(self, span: AbstractContextManager[Span], timed: AbstractContextManager[object]) -> None:
        self._span = span
        self._timed = timed

    def __enter__(self) -> Self:
        self._span.__enter__()
        self._timed.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timed.__exit__(kind, error, traceback)
        # What was raised is not for traces: its text is not meant to leave, and the call's span has the reason.
        self._span.__exit__(None, None, None)
