"""Without TLS: this machine only, unless told otherwise; and settings that together make no sense are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

import gerbang
from access.pki import TEMPLATES, Pki
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.watchlist_service_pb2_grpc import WatchlistServiceStub
from gerbang_service.access.identity import RPCS, Role
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from rpc.wire import failure
from running import RunningServer, StartRefused

CERT, KEY, CA, POLICY = Path("c.pem"), Path("k.pem"), Path("ca.pem"), Path("p.toml")
TLS = {"tls_certificate": CERT, "tls_key": KEY}
MUTUAL = {**TLS, "client_ca": CA, "policy": POLICY}
ELSEWHERE = "0.0.0.0:50051"


@pytest.mark.parametrize(
    ("changes", "setting", "said"),
    [
        ({"tls_certificate": CERT}, "tls_key", "goes with"),
        ({"tls_key": KEY}, "tls_key", "goes with"),
        ({"client_ca": CA, "policy": POLICY}, "client_ca", "needs tls_certificate"),
        ({**TLS, "client_ca": CA}, "policy", "goes with client_ca"),
        ({**TLS, "policy": POLICY}, "policy", "goes with client_ca"),
        ({"policy": POLICY}, "policy", "goes with client_ca"),
        ({"token_listen": "127.0.0.1:1"}, "token_listen", "needs tls_certificate"),
        ({**TLS, "token_listen": "127.0.0.1:1"}, "token_listen", "at `listen` itself"),
        ({**MUTUAL, "token_listen": "127.0.0.1:50051"}, "token_listen", "is the address of"),
        ({**MUTUAL, "token_listen": "nowhere"}, "token_listen", "HOST:PORT"),
        ({"listen": ELSEWHERE}, "listen", "say insecure"),
        ({"listen": "127.0.0.1:²"}, "listen", "HOST:PORT"),
        ({"listen": "127.0.0.1:" + "1" * 5000}, "listen", "HOST:PORT"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(changes: dict[str, Any], setting: str, said: str) -> None:
    """By name, with what is missing or too much."""
    with pytest.raises(StartupError, match=f"^setting {setting}: .*{said}"):
        Settings(data=Path("d"), pack="none", **changes)


@pytest.mark.parametrize(
    "changes",
    [{}, {"listen": ELSEWHERE, "insecure": True}, {"listen": ELSEWHERE, **TLS}, {"listen": ELSEWHERE, **MUTUAL}],
)
def test_these_make_sense(changes: dict[str, Any]) -> None:
    """Loopback, a word that it is meant, or TLS."""
    assert Settings(data=Path("d"), pack="none", **changes)


def test_another_address_without_tls_is_refused_and_with_the_word_said_loudly(data: Path) -> None:
    """One line that says what is missing: encryption and authentication."""
    with pytest.raises(StartRefused) as refused:
        RunningServer(data, *TEMPLATES, "--listen", "0.0.0.0:0")
    assert refused.value.returncode == 2
    assert "say insecure if that is meant" in refused.value.stderr
    with RunningServer(data, *TEMPLATES, "--listen", "0.0.0.0:0", "--insecure") as running:
        (line,) = [each for each in running.stderr.splitlines() if "NO ENCRYPTION and NO AUTHENTICATION" in each]
    assert "WARNING" in line


def test_on_loopback_everybody_is_the_administrator_and_nothing_is_said(templates_server: RunningServer) -> None:
    """Who can reach it owns the machine."""
    assert RPCS[Role.ADMIN] >= set().union(*RPCS.values())
    with gerbang.WatchlistClient(templates_server.address) as office:
        office.create_watchlist("by-nobody")
        office.delete_watchlist("by-nobody")
    assert "NO ENCRYPTION" not in templates_server.stderr


def test_a_token_in_the_clear_is_refused_by_the_server(templates_server: RunningServer) -> None:
    """Who sends one believes to be protected: they are told that they are not, rather than served as everybody is."""
    with grpc.insecure_channel(templates_server.address) as channel:
        stub = WatchlistServiceStub(channel)
        sent = (("authorization", "Bearer gbt_0123456789ab_" + "A" * 43),)
        refused = failure(lambda: stub.GetServerInfo(office_pb.GetServerInfoRequest(), metadata=sent, timeout=10))
    assert (refused.reason, "over TLS only" in refused.message) == ("UNAUTHENTICATED", True)


def test_a_token_in_the_clear_is_not_even_sent_by_the_clients() -> None:
    """Sync and asyncio clients want credentials beside it."""
    for kind in (gerbang.GateClient, gerbang.AsyncGateClient):
        with pytest.raises(ValueError, match="over TLS only"):
            kind("127.0.0.1:1", token="gbt_x")


def test_half_a_pair_of_files_is_refused_by_the_client(pki: Pki) -> None:
    """A certificate without its key is a mistake, not an anonymous client."""
    with pytest.raises(ValueError, match="needs its key"):
        gerbang.tls(certificate=pki.folder / "admin.pem")
    with pytest.raises(FileNotFoundError):
        gerbang.tls(ca=pki.folder / "nothing.pem")
