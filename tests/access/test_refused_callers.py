"""Who was not let in is known as far as they showed who they are: in the audit log, and in the server's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from access.pki import GuardedServer, Pki, SecureWire, gerbang_command, new_token, until
from audit.logs import entries
from gerbang_service.access.authentication import _told
from gerbang_service.access.identity import Role
from gerbang_service.access.tokens import new_token as made_elsewhere
from gerbang_service.domain.errors import StoreUnavailable, Unauthenticated
from gerbang_service.rpc.errors import to_status
from gerbang_service.telemetry.statuses import claimed


def test_a_refused_caller_is_recorded_with_what_it_showed(pki: Pki, data: Path) -> None:
    """A token's id but not the token, a certificate's names; nothing of who showed nothing that has a name."""
    pki.client("stranger.example")
    unknown = made_elsewhere("", Role.GATE)
    with GuardedServer(data, pki, "--log-format", "json") as server:
        revoked = new_token(data, "gate", "--name", "gate-7")
        with SecureWire(server.tokens, pki.credentials(), revoked["token"]) as wire:
            assert until(lambda: wire.reason() == "OK", 3)
            gerbang_command("token", "revoke", revoked["token_id"], "--data", str(data))
            assert until(lambda: wire.reason() == "UNAUTHENTICATED", 3)
        for address, credentials, token in (
            (server.tokens, pki.credentials(), unknown.text),
            (server.tokens, pki.credentials(), "secret"),
            (server.address, pki.credentials("stranger.example"), ""),
        ):
            with SecureWire(address, credentials, token) as wire:
                assert wire.reason() == "UNAUTHENTICATED"
        lines = [json.loads(line) for line in server.stderr.splitlines()]
    expected = [
        f"token {revoked['token_id']}",
        f"token {unknown.stored.token_id}",
        None,
        "certificate stranger.example",
    ]
    refused = [each for each in entries(data / "audit") if each.get("failed", {}).get("reason") == "UNAUTHENTICATED"]
    assert [each.get("claimed") for each in refused] == expected
    assert not [each for each in refused if each["identity"] or each["role"] or "asked" in each]
    told = [each for each in lines if each.get("reason") == "UNAUTHENTICATED"]
    assert [each.get("claimed") for each in told] == expected
    assert told[-1]["message"].endswith("from an unknown caller who showed certificate stranger.example")
    everything = server.stderr.encode() + b"".join(
        each.read_bytes() for each in (data / "audit").rglob("*") if each.is_file()
    )
    for token in (revoked["token"], unknown.text, "secret"):
        assert token.rpartition("_")[2].encode() not in everything


def test_names_of_a_certificate_are_few_and_short() -> None:
    """Whoever issued it may have written there what they liked."""
    names = ["a" * 500, "line\nbreak", "\x1b[2J", "b", "c", "d"]
    assert _told(names) == f"{'a' * 64}, b, c"
    assert _told([]) == ""


@pytest.mark.parametrize("error", [Unauthenticated("no token"), StoreUnavailable("disk", token_id="x"), ValueError()])
def test_other_failures_claim_nothing(error: Exception) -> None:
    """Only who was not let in is somebody whose identity is not told otherwise."""
    assert claimed(to_status(error)) == ""
