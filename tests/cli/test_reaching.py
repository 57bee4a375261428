"""What the asking commands are told of the way to the server is checked before anything is sent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from access.pki import Pki
from gerbang import Unavailable
from gerbang_service.cli.advice import advice, advice_on
from gerbang_service.cli.way import Target, way_by
from running import RunningServer

SOUND = (
    "127.0.0.1:50051",
    "gerbang.airport.example:1",
    "[::1]:65535",
    "[fe80::1%eth0]:50051",
    "unix:/run/gerbang.sock",
    "unix:///run/gerbang.sock",
    "unix-abstract:gerbang",
    "dns:gerbang:50051",
    "dns:///gerbang:50051",
    "dns://192.0.2.1/gerbang:50051",
    "ipv4:127.0.0.1:50051,127.0.0.2:50051",
    "ipv6:[::1]:50051",
)
ODD = (
    "127.0.0.1",
    "127.0.0.1:99999",
    "127.0.0.1:0",
    "127.0.0.1:",
    "127.0.0.1:50051/",
    "http://127.0.0.1:50551",
    "::1:50051",
    ":50051",
    "a b:1",
    "unix:",
    "dns:gerbang",
    "ipv4:127.0.0.1:50051,127.0.0.2",
    "",
)


@pytest.mark.parametrize("target", SOUND)
def test_what_grpc_takes_is_a_server(target: str) -> None:
    """HOST:PORT, and the other ways to name one."""
    assert Target().convert(target, None, None) == target


@pytest.mark.parametrize("target", ODD)
def test_what_is_no_server_is_wrong_usage(target: str) -> None:
    """GRPC would take a default port, the first digits of a port, or the whole for a name."""
    with pytest.raises(click.BadParameter, match="is not HOST:PORT") as refused:
        Target().convert(target, None, None)
    assert refused.value.exit_code == 2


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority, two clients and a text."""
    pki = Pki(tmp_path_factory.mktemp("pems") / "pki")
    pki.client("a")
    pki.client("b")
    (pki.folder / "text.txt").write_text("no certificate")
    return pki.folder


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("ca.pem", "a.pem", "b.key"), "{}/b.key is not the key of {}/a.pem"),
        (("ca.pem", "a.key", "a.pem"), "{}/a.key holds no certificate in PEM form"),
        (("ca.pem", "a.pem", "ca.pem"), "{}/ca.pem holds no private key in PEM form"),
        (("text.txt", "a.pem", "a.key"), "{}/text.txt holds no certificate in PEM form"),
    ],
)
def test_files_that_are_no_good_are_wrong_usage(pems: Path, files: tuple[str, ...], said: str) -> None:
    """GRPC would say at the first call that it can't make a handshaker."""
    with pytest.raises(click.UsageError) as refused:
        way_by(pems / files[0], pems / files[1], pems / files[2], "")
    assert refused.value.message == said.format(pems, pems)


def test_files_that_go_together_are_taken(pems: Path) -> None:
    """Whom to trust, with or without who asks."""
    assert way_by(pems / "ca.pem", pems / "a.pem", pems / "a.key", "").credentials
    assert way_by(pems / "ca.pem", None, None, "token").token == "token"


@pytest.mark.parametrize("verbosity", ["", "info"])
def test_the_core_of_grpc_says_nothing_of_its_own_unless_it_is_asked_to(
    pems: Path, templates_server: RunningServer, verbosity: str
) -> None:
    """One line says what is wrong; who looks for more sets gRPC's own variable."""
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    asked = ("info", "--server", templates_server.address, "--ca", str(pems / "ca.pem"))
    done = subprocess.run(
        [sys.executable, "-m", "gerbang_service.cli", *asked],
        capture_output=True,
        text=True,
        env=environment | ({"GRPC_VERBOSITY": verbosity} if verbosity else {}),
        check=False,
    )
    assert done.returncode == 3
    assert ("ssl_transport_security" in done.stderr) == bool(verbosity), done.stderr
    assert "speaks no TLS" in done.stderr


def test_advice_is_right_for_every_role() -> None:
    """A counter may not list subjects, and a list may be denied for what the subject is left on."""
    assert "'gerbang subject list', for those who may ask it" in advice_on("SUBJECT_NOT_FOUND")
    assert "leave the subject on one" in advice_on("WATCHLIST_DENIED")


def test_a_server_that_was_killed_is_not_taken_for_one_that_turns_away() -> None:
    """As gRPC words it when a stream ends with its server; without TLS there is no certificate to mend."""
    said = advice(Unavailable("x:1 is unavailable: Stream removed (recvmsg:Connection reset by peer (104))"))
    assert said.startswith("has the server ended meanwhile?")
