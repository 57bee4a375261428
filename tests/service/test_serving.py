"""How the server starts, says what it is, and is configured."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from gerbang import AsyncGateClient, AsyncWatchlistClient, GateClient, NotFound, WatchlistClient
from gerbang_service.configuration.addresses import is_loopback, split_address
from gerbang_service.configuration.settings import Settings, read_toml
from gerbang_service.domain.errors import StartupError
from gerbang_service.faces.standin.drawing import draw_face, encode_jpeg
from running import FreshServer as RunningServer
from running import StartRefused, health_stub

TEMPLATES = ("--pack", "none", "--dimension", "4", "--threshold", "0.5")


@pytest.mark.parametrize("service", ["", "gerbang.v1.MatchingService", "gerbang.v1.WatchlistService"])
def test_health_is_serving_for_the_server_and_each_service(server: RunningServer, service: str) -> None:
    """The standard health service answers by service name."""
    with grpc.insecure_channel(server.address) as channel:
        stub = health_stub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_services_unless_switched_off(server: RunningServer, data: Path) -> None:
    """Tools can find the services; --no-reflection hides them."""
    with grpc.insecure_channel(server.address) as channel:
        assert "gerbang.v1.MatchingService" in ProtoReflectionDescriptorDatabase(channel).get_services()
    with RunningServer(data, *TEMPLATES, "--no-reflection") as hidden, grpc.insecure_channel(hidden.address) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            ProtoReflectionDescriptorDatabase(channel).get_services()
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_everything_is_there_after_a_restart(data: Path) -> None:
    """Lists, subjects, templates, labels and the revision survive; who was deleted stays away."""
    with RunningServer(data, *TEMPLATES) as first, WatchlistClient(first.address) as office:
        office.create_watchlist("w", direction="arrival", threshold=0.25, labels={"x": "y"})
        office.enroll("kept", [[1.0, 0, 0, 0]], watchlists=["w"], labels={"k": "v"})
        office.enroll("gone", [[0, 1.0, 0, 0]], watchlists=["w"])
        office.delete_subject("gone")
        before = (office.get_watchlist("w"), office.get_subject("kept"), office.server_info().revision)
        assert first.stop() == 0
    with RunningServer(data, *TEMPLATES) as second:
        with WatchlistClient(second.address) as office:
            assert (office.get_watchlist("w"), office.get_subject("kept"), office.server_info().revision) == before
            with pytest.raises(NotFound):
                office.get_subject("gone")
        with GateClient(second.address) as gate:
            (found,) = gate.identify([1.0, 0, 0, 0]).candidates
            assert (found.subject_id, dict(found.labels)) == ("kept", {"k": "v"})
            assert not gate.identify([0, 1.0, 0, 0]).hit


def test_settings_come_from_flag_environment_and_file_in_this_order(data: Path, tmp_path: Path) -> None:
    """The command line goes before the environment, and that before the file."""
    config = tmp_path / "gerbang.toml"
    config.write_text('pack = "none"\ndimension = 4\nthreshold = 0.1\nverification_threshold = 0.11\n')
    env = {"GERBANG_THRESHOLD": "0.2", "GERBANG_VERIFICATION_THRESHOLD": "0.22"}
    options = ("--config", str(config), "--threshold", "0.3")
    with RunningServer(data, *options, env=env) as running, WatchlistClient(running.address) as office:
        info = office.server_info()
    assert info.identification_threshold == pytest.approx(0.3)
    assert info.verification_threshold == pytest.approx(0.22)
    assert info.dimension == 4


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    """A misspelt setting must not be ignored."""
    config = tmp_path / "gerbang.toml"
    config.write_text("treshold = 0.4\n")
    with pytest.raises(StartupError, match="treshold"):
        read_toml(config)


@pytest.mark.parametrize("text", ["threshold = " + "1" * 5000, "x = " + "[" * 100_000, "pack = \xff"], ids=len)
def test_a_file_that_is_no_toml_is_refused_whatever_it_is(tmp_path: Path, text: str) -> None:
    """Numbers of thousands of digits, deep nesting and other encodings are not told by the parser's own error."""
    config = tmp_path / "gerbang.toml"
    config.write_bytes(text.encode("latin-1"))
    with pytest.raises(StartupError, match=r"gerbang\.toml"):
        read_toml(config)


@pytest.mark.parametrize(
    "options", [("--listen", "{}"), ("--listen", "{}", "--workers", "2"), ("--metrics-listen", "{}")]
)
def test_a_host_that_is_not_known_is_named(data: Path, options: tuple[str, ...]) -> None:
    """And not taken for a port that is taken."""
    named = [each.format("nohost.invalid:50561") for each in options]
    with pytest.raises(StartRefused, match=r"nohost\.invalid can't be resolved") as refused:
        RunningServer(data, "--pack", "none", "--dimension", "4", "--threshold", "0.5", "--insecure", *named)
    assert refused.value.returncode == 3
    assert "is the port taken?" not in refused.value.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_last_line_of_an_orderly_stop_says_so(data: Path, workers: str) -> None:
    """Who reads the log knows that it was not cut off."""
    options = ("--pack", "none", "--dimension", "4", "--threshold", "0.5", "--workers", workers)
    with RunningServer(data, *options) as running:
        assert running.stop() == 0
    assert re.fullmatch(
        r".* INFO gerbang_service\.running\.(server|supervisor): stopped", running.stderr.splitlines()[-1]
    )


def test_a_recogniser_without_a_known_threshold_needs_one(data: Path) -> None:
    """A guessed threshold lets wanted people through or stops innocent ones."""
    with pytest.raises(StartRefused, match="--threshold") as refused:
        RunningServer(data, "--pack", "none", "--dimension", "4")
    assert refused.value.returncode == 3


@pytest.mark.parametrize("pack", ["./no/such/folder", "/no/such/folder"])
def test_a_pack_that_is_not_there_is_refused(data: Path, pack: str) -> None:
    """A path is never taken for a name to be fetched."""
    with pytest.raises(StartRefused, match="no such folder"):
        RunningServer(data, "--pack", pack)


def test_an_unprotected_port_needs_an_explicit_word(tmp_path: Path) -> None:
    """Listening on other than loopback without encryption has to be meant."""
    with pytest.raises(StartupError, match="insecure"):
        Settings(data=tmp_path, pack="none", listen="0.0.0.0:50051")
    assert Settings(data=tmp_path, pack="none", listen="0.0.0.0:50051", insecure=True).insecure
    assert is_loopback("[::1]:1")
    assert is_loopback("localhost:1")
    assert not is_loopback("gate.example:1")


@pytest.mark.parametrize("listen", ["50051", "host:", ":1", "h:99999", "h:x"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    """HOST:PORT, with a port that exists."""
    with pytest.raises(StartupError, match="HOST:PORT"):
        split_address(listen)


@pytest.mark.parametrize(
    ("name", "value"),
    [("det_size", 100), ("threshold", 1.5), ("graph_m", 0), ("plan", "fast"), ("max_pending_images", 0)],
)
def test_a_setting_out_of_range_is_refused_by_name(tmp_path: Path, name: str, value: Any) -> None:
    """The message says which setting and what it may be."""
    with pytest.raises(StartupError, match=f"setting {name}"):
        Settings(data=tmp_path, pack="none", **{name: value})


async def test_the_asynchronous_clients_do_the_same(server: RunningServer) -> None:
    """Enrol, identify and stream from asyncio."""
    async with AsyncWatchlistClient(server.address) as office, AsyncGateClient(server.address) as gate:
        await office.create_watchlist("aio")
        people = range(900_000, 900_004)
        await asyncio.gather(
            *(
                office.enroll(f"aio-{each}", [encode_jpeg(draw_face(each))], watchlists=["aio"], timeout=30)
                for each in people
            )
        )
        probes = [encode_jpeg(draw_face(each, 1)) for each in people]
        answer = await gate.identify(probes[0], watchlists=["aio"], timeout=30)
        assert answer.candidates[0].subject_id == "aio-900000"
        found = {a.sequence: a.candidates[0].subject_id async for a in gate.identify_stream(probes, watchlists=["aio"])}
        assert found == {i: f"aio-{each}" for i, each in enumerate(people)}


def test_the_client_needs_no_neural_network_runtime() -> None:
    """`import gerbang` loads neither numpy nor anything of the service."""
    code = "import sys, gerbang; print([m for m in ('numpy', 'onnxruntime', 'gerbang_service') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_wrong_setting_is_wrong_usage(data: Path) -> None:
    """As a wrong option is: what restarts a server can tell it from a folder that is in use."""
    for options in (["--time-zone", "Asia/Jakata"], ["--target-fpir", "0.1", "--threshold", "0.4"]):
        with pytest.raises(StartRefused) as refused:
            RunningServer(data, "--pack", "none", "--dimension", "4", *options)
        assert refused.value.returncode == 2
        assert options[1] in refused.value.stderr or "not together" in refused.value.stderr
    assert not data.exists()
