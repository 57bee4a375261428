"""What HTTP/2 allows and no gRPC client sends: the service goes on for everybody else."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from audit.logs import wait_for
from gerbang import GateClient, GerbangError, WatchlistClient
from hostile.http2 import WINDOW_SIZE, Http2
from rpc.wire import TIMEOUT_S, template
from running import RunningServer, health_stub

TEMPLATES = ("--pack", "none", "--dimension", "16", "--threshold", "0.5")
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# What no decoder of UTF-8 takes.
PATHS = (b"/x\xff", b"\xc3\x28", b"/gerbang.v1.MatchingService/Identify\x80", b"/\xed\xa0\x80/x")


def served(address: str) -> bool:
    """Tell whether a new client is answered, from a gallery of one."""
    try:
        with GateClient(address, timeout=2) as gate:
            return gate.identify(template(1)).gallery_size == 1
    except GerbangError:
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_a_path_that_is_no_text_does_not_end_the_service(data: Path, workers: int) -> None:
    """The server of gRPC dies of one; another takes its place on the port, with all that is in memory, and says so."""
    with RunningServer(data, *TEMPLATES, "--workers", str(workers)) as server:
        with WatchlistClient(server.address, timeout=TIMEOUT_S) as office:
            office.enroll("p-1", [template(1)])
        for path in PATHS * workers:
            with Http2(server.address) as hostile:
                hostile.answer(0.1)
                hostile.call(path, b"")
                hostile.answer(0.3)
            wait_for(lambda: served(server.address), 10)
        assert "gRPC's server died of a request and is begun anew" in server.stderr
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10


def test_a_health_watch_that_does_not_read_holds_up_nobody(data: Path) -> None:
    """Others that watch the same name learn of the end, and the server ends."""
    news: list[int] = []
    with RunningServer(data, *TEMPLATES, "--drain-grace-s", "1") as server:
        with Http2(server.address, [(WINDOW_SIZE, 0)]) as silent, grpc.insecure_channel(server.address) as channel:
            silent.answer(0.2)
            silent.call(b"/grpc.health.v1.Health/Watch", b"")
            silent.answer(0.3)
            watching: Any = health_stub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
            reader = threading.Thread(target=lambda: news.extend(each.status for each in watching))
            reader.start()
            wait_for(lambda: news == [SERVING], 5)
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 8
            reader.join(10)
    assert news == [SERVING, NOT_SERVING]


@pytest.mark.parametrize(
    "content", [b"\x0a\xff\xff\xff\xff\x0f", b"\x07", b"\x0a" + b"\x80\x89\x7a" + b"x" * 2_000_000]
)
@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("/grpc.health.v1.Health/Check", grpc.StatusCode.NOT_FOUND),
        ("/grpc.health.v1.Health/Watch", grpc.StatusCode.DEADLINE_EXCEEDED),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", None),
    ],
)
def test_open_services_take_no_large_and_no_broken_requests(
    module_server: RunningServer, method: str, code: grpc.StatusCode | None, content: bytes
) -> None:
    """They are asked without saying who asks: what can't be read is a name that nobody has, and leaves no trace."""
    with grpc.insecure_channel(module_server.address) as channel:
        call: Any = channel.stream_stream(method)
        answers: list[bytes] = []
        try:
            answers.extend(call(iter([content]), timeout=1))
        except grpc.RpcError as error:
            assert error.code() is code  # noqa: PT017 - of a watcher, its own deadline
        else:
            assert code is None
        assert len(answers) == (0 if code is grpc.StatusCode.NOT_FOUND else 1)
        status = health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S).status
    assert status == SERVING
    assert "Traceback" not in module_server.stderr


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server of templates."""
    with RunningServer(tmp_path_factory.mktemp("open") / "data", *TEMPLATES) as running:
        yield running
