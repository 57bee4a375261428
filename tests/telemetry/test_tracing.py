"""Traces, as a collector gets them."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gerbang import WatchlistClient
from gerbang.v1.matching_service_pb2 import IdentifyRequest
from gerbang.v1.matching_service_pb2_grpc import MatchingServiceStub
from gerbang.v1.sample_pb2 import Sample
from gerbang.v1.watchlist_service_pb2 import GetSubjectRequest
from gerbang.v1.watchlist_service_pb2_grpc import WatchlistServiceStub
from gerbang_service.access.calls import REQUEST_ID_KEY
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from pictures import photo
from running import RunningServer, health_stub
from telemetry.metered import TEMPLATES

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = (("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01"),)


class Collector(otlp_grpc.TraceServiceServicer):
    """An OTLP collector that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def Export(self, request: otlp.ExportTraceServiceRequest, _: Any) -> otlp.ExportTraceServiceResponse:  # noqa: N802
        """Keep them."""
        with self._lock:
            for each in request.resource_spans:
                self.resources.append(attributes(each.resource))
                self.spans += [span for scope in each.scope_spans for span in scope.spans]
        return otlp.ExportTraceServiceResponse()

    def named(self, name: str) -> list[Span]:
        """Return the spans of that name."""
        return [span for span in self.spans if span.name == name]


def attributes(message: Any) -> dict[str, str]:
    """Return the attributes of a span or resource, as text."""
    return {each.key: each.value.string_value or str(each.value.int_value) for each in message.attributes}


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    """A collector, and its address."""
    made = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    otlp_grpc.add_TraceServiceServicer_to_server(made, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield made, f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_a_call_and_its_stages_are_spans_of_the_callers_trace(data: Path, collector: tuple[Collector, str]) -> None:
    """A photo to be identified: the caller's span, in it the call, in it extraction and search."""
    found, endpoint = collector
    with RunningServer(data, "--pack", "stand-in", "--trace-endpoint", endpoint) as server:
        with grpc.insecure_channel(server.address) as channel:
            request = IdentifyRequest(probe=Sample(image=photo(1)))
            identify = MatchingServiceStub(channel).Identify
            _, call = identify.with_call(request, metadata=TRACEPARENT, timeout=30)
            health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert server.stop() == 0
    (root,) = found.named("/gerbang.v1.MatchingService/Identify")
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert attributes(root)["gerbang.request_id"] == dict(call.trailing_metadata())[REQUEST_ID_KEY]
    (extract,), (search,) = found.named("extract"), found.named("search")
    assert extract.parent_span_id == search.parent_span_id == root.span_id
    assert root.start_time_unix_nano <= extract.start_time_unix_nano < extract.end_time_unix_nano
    assert extract.end_time_unix_nano <= search.start_time_unix_nano < search.end_time_unix_nano
    assert search.end_time_unix_nano <= root.end_time_unix_nano
    assert {span.name for span in found.spans} == {root.name, "extract", "search"}
    assert found.resources[0]["service.name"] == "gerbang"


def test_a_change_is_a_span_until_it_is_durable(data: Path, collector: tuple[Collector, str]) -> None:
    """Writing is a stage of the call that asked for it."""
    found, endpoint = collector
    with RunningServer(data, *TEMPLATES, "--trace-endpoint", endpoint) as server:
        with WatchlistClient(server.address) as office:
            office.create_watchlist("w")
        assert server.stop() == 0
    (root,) = found.named("/gerbang.v1.WatchlistService/CreateWatchlist")
    (commit,) = found.named("commit")
    assert commit.parent_span_id == root.span_id
    assert root.start_time_unix_nano <= commit.start_time_unix_nano < commit.end_time_unix_nano


def test_a_failure_is_in_the_span_without_what_was_sent(data: Path, collector: tuple[Collector, str]) -> None:
    """Status and reason, the request id, and nothing of the message."""
    found, endpoint = collector
    with RunningServer(data, *TEMPLATES, "--trace-endpoint", endpoint) as server:
        with grpc.insecure_channel(server.address) as channel:
            get = WatchlistServiceStub(channel).GetSubject
            # The second is refused for its token, which must be nowhere either.
            for metadata in ((), (("authorization", "Bearer secret-token"),)):
                with pytest.raises(grpc.RpcError):
                    get(GetSubjectRequest(subject_id="xyzzy"), metadata=metadata, timeout=10)
        assert server.stop() == 0
    root, refused = found.named("/gerbang.v1.WatchlistService/GetSubject")
    assert attributes(refused)["gerbang.reason"] == "UNAUTHENTICATED"
    told = attributes(root)
    assert told["gerbang.reason"] == "SUBJECT_NOT_FOUND"
    assert told["rpc.grpc.status_code"] == str(grpc.StatusCode.NOT_FOUND.value[0])
    assert "secret" not in str(found.spans)
    assert "xyzzy" not in str(found.spans)


def test_without_a_collector_calls_are_served(data: Path) -> None:
    """Traces are lost when nobody takes them; nothing else is, and the server still ends soon."""
    with RunningServer(data, *TEMPLATES, "--trace-endpoint", "127.0.0.1:9") as server:
        with WatchlistClient(server.address, timeout=5) as office:
            assert office.create_watchlist("w").revision == 1
        assert server.stop() == 0


def test_missing_packages_are_a_refusal_to_start(data: Path) -> None:
    """Who asks for traces and has not installed them is told how, and nothing is served."""
    hidden = "import sys; sys.modules['opentelemetry.exporter'] = None; from gerbang_service.cli import main; main()"
    options = ["--data", str(data), *TEMPLATES, "--no-encryption"]
    command = [sys.executable, "-c", hidden, "serve", "--listen", "127.0.0.1:0", *options]
    ended = subprocess.run(
        [*command, "--trace-endpoint", "127.0.0.1:4317"], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 3
    assert "pip install 'gerbang[tracing]'" in ended.stderr


def test_spans_go_in_the_clear_to_loopback_only() -> None:
    """Who called when is not for the network, unless it is encrypted or said to be meant."""
    with pytest.raises(StartupError, match="trace_endpoint: collector:4317 is no loopback address"):
        Settings(data=Path("data"), pack="none", trace_endpoint="collector:4317")
    for endpoint in ("https://collector:4317", "http://127.0.0.1:4317", "[::1]:4317"):
        Settings(data=Path("data"), pack="none", trace_endpoint=endpoint)
