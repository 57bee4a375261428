"""What decides who is let in is in the audit log when it changes, before anybody is let in by it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from access.pki import GuardedServer, Pki, SecureWire, gerbang_command, new_token, until
from audit.logs import entries, verify


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """An authority with an auditor."""
    (tmp_path / "pki").mkdir()
    made = Pki(tmp_path / "pki")
    made.client("clerk", "auditor")
    return made


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _log(data: Path) -> list[dict[str, Any]]:
    return entries(data / "audit")


def test_policy_and_certificates_in_force_are_recorded_with_the_start_and_when_they_change(
    pki: Pki, tmp_path: Path
) -> None:
    """Hashes of the very files, so that an auditor can tell which of the office's versions let somebody in."""
    data = tmp_path / "data"
    old = {"policy_sha256": _sha256(pki.policy), "certificate_sha256": _sha256(pki.folder / "server.pem")}
    with GuardedServer(data, pki) as server, SecureWire(server.address, pki.credentials("clerk")) as wire:
        assert wire.reason() == "OK"
        pki.write_policy(pki.policy.read_text().replace('"auditor"', '"gate"'))
        assert until(lambda: wire.reason("ListSubjects") == "ROLE_DENIED", 3)
        pki.authority.issue_server("server", ["localhost", "127.0.0.1"])

        def renewed() -> bool:
            with SecureWire(server.address, pki.credentials("clerk")) as anew:
                assert anew.reason() == "OK"
            return "certificate changed and is in force" in server.stderr

        assert until(renewed, 5)
    log = _log(data)
    (start,) = [each for each in log if each.get("event") == "start"]
    assert start == start | old | {"client_ca_sha256": _sha256(pki.folder / "ca.pem")}
    (changed,) = [each for each in log if each.get("event") == "policy"]
    assert changed["policy_sha256"] == _sha256(pki.policy) != old["policy_sha256"]
    (renewal,) = [each for each in log if each.get("event") == "certificates"]
    assert renewal["certificate_sha256"] == _sha256(pki.folder / "server.pem") != old["certificate_sha256"]
    # The very first call that is denied by the new policy comes after its record.
    denied = next(each for each in log if each.get("failed", {}).get("reason") == "ROLE_DENIED")
    assert changed["sequence"] < denied["sequence"]


def test_a_token_is_recorded_before_its_first_call_and_when_it_is_revoked(pki: Pki, tmp_path: Path) -> None:
    """Tokens are made beside the server, by who can write its folder: the log names each that lets somebody in."""
    data = tmp_path / "data"
    with GuardedServer(data, pki) as server:
        made = new_token(data, "gate", "--name", "gate-7", "--watchlist", "cegah")
        with SecureWire(server.tokens, pki.credentials(), made["token"]) as wire:
            assert until(lambda: wire.reason() == "OK", 3)
            gerbang_command("token", "revoke", made["token_id"], "--data", str(data))
            assert until(lambda: wire.reason() == "UNAUTHENTICATED", 3)
    log = _log(data)
    (token,) = [each for each in log if each.get("event") == "token"]
    expected = {"token_id": made["token_id"], "name": "gate-7", "role": "gate", "watchlists": ["cegah"]}
    assert token == token | expected
    assert made["token"].encode() not in b"".join(
        each.read_bytes() for each in (data / "audit").rglob("*") if each.is_file()
    )
    (revoked,) = [each for each in log if each.get("event") == "token_revoked"]
    assert revoked["token_id"] == made["token_id"]
    calls = [each["sequence"] for each in log if each.get("rpc") == "GetServerInfo" and "failed" not in each]
    assert token["sequence"] < min(calls) <= max(calls) < revoked["sequence"]
    with GuardedServer(data, pki) as server, SecureWire(server.tokens, pki.credentials(), made["token"]) as wire:
        assert wire.reason() == "UNAUTHENTICATED"
    assert len([each for each in _log(data) if each.get("event") == "token"]) == 1  # revoked, it lets nobody in
    assert verify(data / "audit", None).sound
