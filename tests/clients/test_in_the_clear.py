"""Faces are not sent to another machine in the clear unless that is said; and what a token may be."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from click.testing import CliRunner

import gerbang
from clients.scripted_server import PROBE, ScriptedServer
from gerbang._target import is_local
from gerbang.v1 import matching_service_pb2 as matching
from gerbang_service.cli.root import root

CLIENTS = (
    gerbang.GateClient,
    gerbang.CounterClient,
    gerbang.WatchlistClient,
    gerbang.AsyncGateClient,
    gerbang.AsyncCounterClient,
    gerbang.AsyncWatchlistClient,
)


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:50051",
        "127.0.0.1",
        "127.8.9.1:50051",
        "localhost:50051",
        "localhost",
        "[::1]:50051",
        "[::1]",
        "dns:localhost:50051",
        "dns:///127.0.0.1:50051",
        "ipv4:127.0.0.1:50051,127.0.0.2:50051",
        "ipv6:[::1]:50051",
        "unix:gerbang.sock",
        "unix:///run/gerbang.sock",
        "unix-abstract:gerbang",
    ],
)
def test_targets_that_are_this_machine(target: str) -> None:
    """Loopback addresses and unix sockets, in every way that gRPC takes."""
    assert is_local(target)
    gerbang.GateClient(target).close()


@pytest.mark.parametrize(
    "target",
    [
        "gerbang.example:50051",
        "localhost.example:50051",
        "127.0.0.1.example:50051",
        "10.0.0.7:50051",
        "0.0.0.0:50051",
        "[fe80::1]:50051",
        "[::]:50051",
        "::1",
        "dns:gerbang.example:50051",
        "dns://8.8.8.8/localhost:50051",
        "ipv4:127.0.0.1:50051,10.0.0.7:50051",
        "ipv4:",
        "xds:///localhost:50051",
        "localhost:50051@gerbang.example:50051",
        "unix.example:50051",
        "127.1:50051",
        "",
        ":50051",
    ],
)
@pytest.mark.parametrize("kind", CLIENTS)
def test_other_targets_need_credentials_or_a_word(kind: Any, target: str) -> None:
    """Also what is not understood: it may be anywhere."""
    with pytest.raises(ValueError, match=r"in the clear.*insecure=True"):
        kind(target)
    assert kind(target, insecure=True).target == target
    assert kind(target, credentials=gerbang.tls()).target == target


@pytest.mark.parametrize(
    "token", ["", "gbt_SECRET\n", "gbt_SECRET x", " gbt_SECRET", "gbt_SECRET\0", "gbt_SECRET\u00e9", "gbt_\tSECRET"]
)
@pytest.mark.parametrize("kind", CLIENTS)
def test_a_token_that_no_header_may_be_is_refused_unquoted(kind: Any, token: str) -> None:
    """Most often it is a file's last line end. gRPC would fail every call, in words that help nobody."""
    with pytest.raises(ValueError, match="printable ASCII") as refused:
        kind("127.0.0.1:50051", credentials=gerbang.tls(), token=token)
    assert "SECRET" not in "".join(traceback.format_exception_only(refused.value))


def test_commands_ask_elsewhere_over_tls_or_when_told_otherwise(server: ScriptedServer) -> None:
    """`0.0.0.0` is this machine when it is connected to, and no address of it."""
    server.answer = lambda _request, _context: matching.IdentifyResponse()
    elsewhere = server.target.replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - nothing listens there
    asked = ("watchlist", "list", "--server", elsewhere)
    refused = CliRunner().invoke(root, asked, prog_name="gerbang")
    assert (refused.exit_code, server.calls) == (2, 0)
    assert "--ca" in refused.output
    assert "--insecure" in refused.output
    told = CliRunner().invoke(root, [*asked, "--insecure"], prog_name="gerbang")
    # It is asked, and does not know the call.
    assert (told.exit_code, "Method not found" in told.output) == (3, True), told.output
    with gerbang.GateClient(elsewhere, insecure=True) as gate:
        assert not gate.identify(PROBE).hit
