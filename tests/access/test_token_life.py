"""What becomes of a token: made, used, bound, revoked, expired; and that all worker processes know."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

import gerbang
from access.pki import TEMPLATES, GuardedServer, Pki, SecureWire, gerbang_command, new_token, until
from access.requests import REQUESTS
from gerbang.v1 import matching_service_pb2 as pb
from rpc.wire import failure, of_error, template
from running import RunningServer


@pytest.fixture
def tokens_only(pki: Pki, data: Path) -> Iterator[RunningServer]:
    """A server with TLS and without client certificates: tokens are taken at its one port."""
    with RunningServer(data, *TEMPLATES, *pki.tls) as running:
        yield running


def revoke(data: Path, token_id: str) -> None:
    """Revoke a token."""
    gerbang_command("token", "revoke", "--data", str(data), token_id)


def test_without_client_certificates_tokens_are_taken_and_needed_at_the_main_port(
    tokens_only: RunningServer, pki: Pki
) -> None:
    """Even on loopback: TLS without anybody being asked who they are makes no sense."""
    with SecureWire(tokens_only.address, pki.credentials()) as nobody:
        assert nobody.reason() == "UNAUTHENTICATED"
    text = new_token(tokens_only.data, "gate")["token"]
    with SecureWire(tokens_only.address, pki.credentials(), text) as gate:
        assert until(lambda: gate.reason() == "OK", 1)


def test_made_and_revoked_tokens_count_within_a_second(tokens_only: RunningServer, pki: Pki) -> None:
    """While the server runs, on a connection that is open."""
    made = new_token(tokens_only.data, "gate", "--name", "gate-7")
    with SecureWire(tokens_only.address, pki.credentials(), made["token"]) as wire:
        assert until(lambda: wire.reason() == "OK", 1)
        revoke(tokens_only.data, made["token_id"])
        assert until(lambda: wire.reason() == "UNAUTHENTICATED", 1)
        refused = failure(lambda: wire.call("GetServerInfo", REQUESTS["GetServerInfo"]))
        assert refused.message == f"API token {made['token_id']} was revoked"
        assert refused.metadata["token_id"] == made["token_id"]


@pytest.mark.parametrize("how", ["token", "certificate"])
def test_an_open_stream_ends_with_the_right_to_it(pki: Pki, data: Path, how: str) -> None:
    """A gate whose token is revoked, or that is struck from the policy, gets no more answers on its open stream."""
    pki.client("gate", "gate")
    with GuardedServer(data, pki) as server:
        made = new_token(data, "gate")
        address, credentials, token = (
            (server.tokens, pki.credentials(), made["token"])
            if how == "token"
            else (server.address, pki.credentials("gate"), "")
        )
        with SecureWire(address, credentials, token) as wire:
            assert until(lambda: wire.reason() == "OK", 2)
            requests: queue.Queue[pb.IdentifyRequest] = queue.Queue()
            answers = wire._stubs[0].IdentifyStream(iter(requests.get, None), timeout=30, metadata=wire._metadata)
            requests.put(pb.IdentifyRequest(probe=template(1)))
            assert next(answers)
            if how == "token":
                revoke(data, made["token_id"])
            else:
                pki.write_policy(pki.policy.read_text().replace('san = "gate"', 'san = "other"'))
            time.sleep(1.2)
            requests.put(pb.IdentifyRequest(probe=template(1)))
            with pytest.raises(grpc.RpcError) as ended:
                next(answers)
            assert of_error(ended.value).reason == "UNAUTHENTICATED"


def test_a_token_may_be_bound_and_its_holder_is_known_by_name_and_id(tokens_only: RunningServer, pki: Pki) -> None:
    """The refusal names who was refused: the token's name, and its id to tell two of one name apart."""
    made = new_token(tokens_only.data, "gate", "--name", "airline", "--watchlist", "lounge")
    with SecureWire(tokens_only.address, pki.credentials(), made["token"]) as wire:
        assert until(lambda: wire.reason() == "OK", 1)
        asked = pb.IdentifyRequest(probe=template(1), watchlists=["red"])
        refused = failure(lambda: wire.call("Identify", asked))
    assert (refused.reason, refused.metadata["watchlist_id"]) == ("WATCHLIST_DENIED", "red")
    assert f"airline#{made['token_id']}" in refused.message


def test_a_token_of_another_server_is_unknown(tokens_only: RunningServer, pki: Pki, tmp_path: Path) -> None:
    """Tokens are of a data folder."""
    with RunningServer(tmp_path / "other", *TEMPLATES, *pki.tls):
        text = new_token(tmp_path / "other", "admin")["token"]
    with SecureWire(tokens_only.address, pki.credentials(), text) as wire:
        assert not until(lambda: wire.reason() != "UNAUTHENTICATED", 1)


def test_every_worker_takes_and_drops_a_token_within_a_second(pki: Pki, data: Path) -> None:
    """Two processes share both ports; connections reach either, and whichever answers, the answer is the same."""
    options = (*TEMPLATES, *pki.mutual, "--token-listen", "127.0.0.1:0", "--workers", "2")
    with RunningServer(data, *options, wait_ready=False) as running:
        address = running.expect("listening for tokens on ").removeprefix("listening for tokens on ")
        running.expect("ready")
        made = new_token(data, "admin")
        wires = [SecureWire(address, pki.credentials(), made["token"]) for _ in range(12)]
        assert until(lambda: [each.reason() for each in wires] == ["OK"] * 12, 3)
        starts = {each.call("GetServerInfo", REQUESTS["GetServerInfo"]).start_time.ToNanoseconds() for each in wires}
        assert len(starts) == 2
        revoke(data, made["token_id"])
        time.sleep(1)
        assert [each.reason() for each in wires] == ["UNAUTHENTICATED"] * 12
        for each in wires:
            each.channel.close()


def test_tokens_can_be_listed_without_being_told(tokens_only: RunningServer) -> None:
    """`gerbang token list` shows whose, what for, till when and whether in force, and no secret."""
    data = tokens_only.data
    later = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
    first = new_token(data, "gate", "--name", "gate-7", "--watchlist", "cegah", "--expires", later.isoformat())
    second = new_token(data, "admin")
    revoke(data, second["token_id"])
    table = gerbang_command("token", "list", "--data", str(data))
    lines = {line.split()[0]: line for line in table.splitlines() if line.split()}
    assert all(
        word in lines[first["token_id"]] for word in ("gate-7", "gate", "cegah", f"{later:%Y-%m-%d}", "in force")
    )
    assert all(word in lines[second["token_id"]] for word in (second["token_id"], "admin", "all", "revoked"))
    for made in (first, second):
        assert made["token"].removeprefix(f"gbt_{made['token_id']}_") not in table


def test_the_client_package_takes_a_token_sync_and_asyncio(tokens_only: RunningServer, pki: Pki) -> None:
    """`token=` beside `credentials=`; the error of a refused call carries the id it is logged under."""
    token = new_token(tokens_only.data, "admin")["token"]
    with gerbang.WatchlistClient(tokens_only.address, credentials=pki.credentials(), token=token) as office:
        office.create_watchlist("by-token")
        assert [each.watchlist_id for each in office.list_watchlists()] == ["by-token"]
        assert list(office.enroll_stream([gerbang.enroll_request("t", [template(1)], watchlists=["by-token"])]))


async def test_the_asyncio_client_does_the_same(tokens_only: RunningServer, pki: Pki) -> None:
    """Unary calls and streams alike."""
    token = new_token(tokens_only.data, "gate")["token"]
    await asyncio.sleep(0.5)
    async with gerbang.AsyncGateClient(tokens_only.address, credentials=pki.credentials(), token=token) as gate:
        assert not (await gate.identify(template(1))).hit
        assert [answer.hit async for answer in gate.identify_stream([template(1)])] == [False]
    async with gerbang.AsyncWatchlistClient(tokens_only.address, credentials=pki.credentials(), token=token) as office:
        with pytest.raises(gerbang.RoleDenied) as refused:
            await office.list_watchlists()
    assert len(refused.value.request_id) == 32
