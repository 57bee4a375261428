"""/livez and /readyz, and what the port does with who should not hold it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from gerbang.v1.matching_service_pb2 import IdentifyRequest
from gerbang.v1.matching_service_pb2_grpc import MatchingServiceStub
from gerbang.v1.sample_pb2 import Sample, Template
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.running import telemetry
from gerbang_service.running.parts import Parts
from gerbang_service.store.sqlite.connection import DATABASE_FILE
from gerbang_service.telemetry import pages as web
from running import RunningServer, StartRefused
from telemetry.metered import DIMENSION, TEMPLATES, InnerServer, MeteredServer, addresses, ask


def test_a_server_that_serves_is_alive_and_ready(metered: MeteredServer) -> None:
    """Both pages answer 200, HEAD as well as GET; other paths are not there."""
    assert ask(metered.metrics, "/livez") == (200, "alive\n")
    assert ask(metered.metrics, "/readyz?verbose") == (200, "ready\n")
    assert ask(metered.metrics, "/")[0] == 404
    assert raw(metered.metrics, b"HEAD /livez HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
    assert raw(metered.metrics, b"POST /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 405 ")


def test_a_stuck_event_loop_is_not_alive(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the loop does not turn /livez says so, from its own thread; when it turns again all is well."""
    monkeypatch.setattr(telemetry, "STUCK_AFTER_S", 1.0)
    caplog.set_level("INFO")
    with InnerServer(data, lambda: caplog.text) as server:
        server.said("ready")
        assert ask(server.metrics, "/livez")[0] == 200
        server.loop.call_soon_threadsafe(time.sleep, 3.0)
        time.sleep(2.0)
        status, text = ask(server.metrics, "/livez")
        assert (status, text) == (503, "the event loop has not turned for 2 seconds\n")
        time.sleep(2.0)
        assert ask(server.metrics, "/livez")[0] == 200


def test_a_server_that_loads_is_alive_but_not_ready(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Until the gallery is loaded /readyz is 503 and says why."""
    caplog.set_level("INFO")
    may_load, load = threading.Event(), Parts.load
    monkeypatch.setattr(Parts, "load", lambda parts, check: may_load.wait(20) and load(parts, check))
    with InnerServer(data, lambda: caplog.text) as server:
        try:
            assert ask(server.metrics, "/readyz") == (503, "not ready: the gallery is being loaded\n")
            assert ask(server.metrics, "/livez")[0] == 200
        finally:
            may_load.set()
        server.said("ready")
        assert ask(server.metrics, "/readyz") == (200, "ready\n")


def test_a_server_that_drains_is_alive_but_not_ready(metered: MeteredServer) -> None:
    """While calls in flight are finished /readyz is 503; the port closes with the server."""
    probe = Sample(template=Template(vector=np.ones(DIMENSION, "<f4").tobytes()))
    with grpc.insecure_channel(metered.address) as channel:
        stub = MatchingServiceStub(channel)
        # It waits, at most five seconds, for a revision that never comes.
        waiting = stub.Identify.future(IdentifyRequest(probe=probe, min_revision=10**6), timeout=5)
        time.sleep(0.3)
        metered.terminate()
        time.sleep(0.5)
        assert ask(metered.metrics, "/readyz") == (503, "not ready: draining\n")
        assert ask(metered.metrics, "/livez")[0] == 200
        assert waiting.exception() is not None
    assert metered.wait() == 0
    with pytest.raises(OSError, match="refused"):
        ask(metered.metrics, "/livez")


def test_a_server_whose_database_is_gone_is_not_ready(metered: MeteredServer) -> None:
    """A database that can't be read any more makes the server unready, and metrics say so; it stays alive."""
    database = metered.data / DATABASE_FILE
    content = database.read_bytes()
    database.write_bytes(b"\0" * len(content))
    database.with_name(database.name + "-wal").write_bytes(b"")
    assert ask(metered.metrics, "/readyz") == (503, "not ready: the database can't be read\n")
    assert "gerbang_store_readable 0.0" in ask(metered.metrics, "/metrics")[1]
    assert ask(metered.metrics, "/livez")[0] == 200


def test_slow_and_silent_clients_hold_nobody_up(metered: MeteredServer) -> None:
    """More of them than there are places, silent or with a byte now and then: who asks is answered meanwhile."""
    host, port = metered.metrics.rsplit(":", 1)
    clients = [socket.create_connection((host, int(port))) for _ in range(2 * web._MOST_CONNECTIONS)]
    try:
        deadline = time.monotonic() + web._PATIENCE_S + 3
        while time.monotonic() < deadline:
            for each in clients[::2]:
                with contextlib.suppress(OSError):
                    each.send(b"G")
            assert ask(metered.metrics, "/livez", timeout=1)[0] == 200
            time.sleep(0.5)
        assert all(closed(each) for each in clients)
    finally:
        for each in clients:
            each.close()


def test_a_request_that_is_too_long_is_cut_off(metered: MeteredServer) -> None:
    """Memory is not filled by what never ends."""
    assert raw(metered.metrics, b"GET /livez HTTP/1.1\r\n" + b"X: " + b"y" * 10**6) == b""


def test_an_address_beyond_loopback_has_to_be_meant() -> None:
    """How often somebody was found on which list is nobody's business who merely reaches the port."""
    with pytest.raises(StartupError, match=r"metrics_listen: 0\.0\.0\.0:9464 is no loopback address"):
        Settings(data=Path("data"), pack="none", metrics_listen="0.0.0.0:9464")
    Settings(data=Path("data"), pack="none", metrics_listen="0.0.0.0:9464", insecure=True)
    with pytest.raises(StartupError, match="metrics_listen: 'nowhere' is not HOST:PORT"):
        Settings(data=Path("data"), pack="none", metrics_listen="nowhere")
    with pytest.raises(StartupError, match="3 workers need ports up to 65537"):
        Settings(data=Path("data"), pack="none", metrics_listen="127.0.0.1:65535", workers=3)


def test_a_taken_port_is_a_refusal_to_start(metered: MeteredServer, tmp_path: Path) -> None:
    """A server that can't tell metrics where it was told to does not start."""
    with pytest.raises(StartRefused) as refused:
        RunningServer(tmp_path / "other", *TEMPLATES, "--metrics-listen", metered.metrics)
    assert refused.value.returncode == 3
    assert f"can't listen on {metered.metrics} for metrics: Address already in use\n" in refused.value.stderr


def test_without_an_address_nobody_is_answered(data: Path) -> None:
    """Metrics are off unless asked for."""
    with RunningServer(data, *TEMPLATES) as server:
        assert addresses(server.stderr) == []


def raw(address: str, request: bytes) -> bytes:
    """Send bytes as they are and return all that comes back."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            connection.sendall(request)
            answer = b""
            while part := connection.recv(65536):
                answer += part
                if b"\r\n\r\n" in answer:
                    break
        except ConnectionError:
            return b""
    return answer


def closed(connection: socket.socket) -> bool:
    """Tell whether the other side has closed a connection."""
    connection.settimeout(1)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False
