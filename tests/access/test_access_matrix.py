"""Who may call what: every rpc, by every role, with every kind of certificate and token."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from access.pki import ROLES, GuardedServer, Pki, SecureWire, gerbang_command, new_token, until
from access.requests import REQUESTS
from gerbang.v1 import matching_service_pb2, watchlist_service_pb2
from rpc.wire import Failure, failure, of_error
from running import health_stub

Code = grpc.StatusCode
REFUSED = {Code.PERMISSION_DENIED, Code.UNAUTHENTICATED, Code.UNAVAILABLE}

# As it was promised, written out once more: a slip in the server's own table would otherwise test itself.
READING = {"GetSubject", "ListSubjects", "GetWatchlist", "ListWatchlists", "ListProposals", "GetProposal"}
ALLOWED = {
    "gate": {"GetServerInfo", "Identify", "IdentifyStream", "IdentifyBatch", "Extract"},
    "counter": {"GetServerInfo", "Verify", "Extract"},
    "enrolment": {"GetServerInfo", "Enroll", "EnrollStream", "Extract", *READING}
    | {"UpdateSubject", "DeleteSubject", "DeleteTemplate", "ConfirmProposal", "WithdrawProposal"},
    "auditor": {"GetServerInfo", "MeasureRecall", *READING},
    "admin": set(REQUESTS),
}
CERTIFICATES = ("none", "wrong CA", "expired", "right")
TOKENS = ("none", "wrong", "revoked", "expired", "right")


def test_the_matrix_is_whole() -> None:
    """Every rpc of both services is in it, and none that is not there."""
    services = matching_service_pb2.DESCRIPTOR, watchlist_service_pb2.DESCRIPTOR
    rpcs = {method.name for file in services for each in file.services_by_name.values() for method in each.methods}
    assert rpcs == set(REQUESTS)


class Callers:
    """Wires to the guarded server by how they say who they are; opened once each."""

    def __init__(self, server: GuardedServer, pki: Pki, other: Pki) -> None:
        self.server, self.pki, self.other = server, pki, other
        self._wires: dict[tuple[str, ...], SecureWire] = {}
        # All at once, and first: they expire while others are tried.
        soon = datetime.now(UTC) + timedelta(seconds=3)
        self._expired = {
            role: str(new_token(server.data, role, "--expires", soon.isoformat())["token"]) for role in ROLES
        }

    def by_certificate(self, role: str, certificate: str) -> SecureWire:
        """Return the wire of a client with such a certificate."""
        credentials = {
            "none": self.pki.credentials,
            "wrong CA": lambda: self.other.credentials(role, ca=self.pki.folder / "ca.pem"),
            "expired": lambda: self.pki.credentials(f"expired-{role}"),
            "right": lambda: self.pki.credentials(role),
        }
        return self._once(("certificate", role, certificate), credentials[certificate], self.server.address)

    def by_token(self, role: str, token: str) -> SecureWire:
        """Return the wire of a client with such a token."""
        key = ("token", role, token)
        return self._once(key, self.pki.credentials, self.server.tokens, self._token(role, token))

    def _token(self, role: str, token: str) -> str:
        data = self.server.data
        if token == "none":
            return ""
        if token == "expired":
            return self._expired[role]
        made = new_token(data, role)
        if token == "revoked":
            gerbang_command("token", "revoke", "--data", str(data), made["token_id"])
        text = str(made["token"])
        return text if token != "wrong" else text[:-4] + ("AAAA" if not text.endswith("AAAA") else "BBBB")

    def _once(self, key: tuple[str, ...], credentials: object, address: str, token: str = "") -> SecureWire:
        if key not in self._wires:
            assert callable(credentials)
            self._wires[key] = wire = SecureWire(address, credentials(), token)
            if token and key[2] != "wrong":
                # The server knows it, and that of it.
                said = {"right": Code.OK.name, "revoked": "was revoked", "expired": "has expired"}[key[2]]
                assert until(lambda: said in "{0.code.name} {0.message}".format(attempt(wire, "GetServerInfo")), 6)
        return self._wires[key]

    def close(self) -> None:
        """Close them all."""
        for each in self._wires.values():
            each.channel.close()


@pytest.fixture(scope="module")
def callers(guarded: GuardedServer, shared_pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    """Clients of all kinds."""
    other = Pki(tmp_path_factory.mktemp("other") / "pki")
    for role in ROLES:
        other.client(role)
    made = Callers(guarded, shared_pki, other)
    yield made
    made.close()


def attempt(wire: SecureWire, rpc: str) -> Failure:
    """Make a call and return how it failed; code OK when it did not."""
    try:
        wire.call(rpc, REQUESTS[rpc])
    except grpc.RpcError as error:
        return of_error(error)
    return Failure(Code.OK, "", "", "", {}, {}, None)


@pytest.mark.parametrize("certificate", CERTIFICATES)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("rpc", REQUESTS)
def test_exactly_the_allowed_calls_pass_by_certificate(callers: Callers, rpc: str, role: str, certificate: str) -> None:
    """A certificate that is none, of another authority or expired ends the handshake; the right one has its role."""
    answered = attempt(callers.by_certificate(role, certificate), rpc)
    if certificate != "right":
        assert (answered.code, answered.reason) == (Code.UNAVAILABLE, "")
    elif rpc in ALLOWED[role]:
        assert answered.code not in REFUSED, answered
    else:
        assert (answered.code, answered.reason) == (Code.PERMISSION_DENIED, "ROLE_DENIED")
        assert (answered.metadata["role"], answered.metadata["rpc"]) == (role, rpc)


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("rpc", REQUESTS)
def test_exactly_the_allowed_calls_pass_by_token(callers: Callers, rpc: str, role: str, token: str) -> None:
    """A token that is missing, wrong, revoked or expired lets nobody in; the right one has its role."""
    answered = attempt(callers.by_token(role, token), rpc)
    if token != "right":
        assert (answered.code, answered.reason) == (Code.UNAUTHENTICATED, "UNAUTHENTICATED")
    elif rpc in ALLOWED[role]:
        assert answered.code not in REFUSED, answered
    else:
        assert (answered.code, answered.reason) == (Code.PERMISSION_DENIED, "ROLE_DENIED")


@pytest.mark.parametrize("rpc", REQUESTS)
def test_a_certificate_that_is_in_no_policy_is_nobodys(guarded: GuardedServer, shared_pki: Pki, rpc: str) -> None:
    """The authority vouches for a name, the policy for what it may do: without the second there is nothing it may."""
    with SecureWire(guarded.address, shared_pki.credentials("stranger")) as wire:
        refused = failure(lambda: wire.call(rpc, REQUESTS[rpc]))
    assert (refused.code, refused.reason) == (Code.UNAUTHENTICATED, "UNAUTHENTICATED")


def test_a_servers_certificate_is_no_clients(guarded: GuardedServer, shared_pki: Pki) -> None:
    """Who steals the server's key can't call as a client: its certificate is issued for servers only."""
    with SecureWire(guarded.address, shared_pki.credentials("server")) as wire:
        refused = failure(lambda: wire.call("GetServerInfo", REQUESTS["GetServerInfo"]))
    assert refused.code is Code.UNAVAILABLE


def test_a_refused_handshake_is_in_the_servers_log(guarded: GuardedServer, shared_pki: Pki) -> None:
    """It reaches neither the guard nor the audit log; gRPC's own line is all there is."""
    before = guarded.stderr.count("Handshake failed")
    with SecureWire(guarded.address, shared_pki.credentials()) as nobody:
        assert nobody.reason() == "UNAVAILABLE"
    assert until(lambda: guarded.stderr.count("Handshake failed") > before, 3)


def test_a_certificate_does_not_do_for_a_token_nor_a_token_for_a_certificate(
    guarded: GuardedServer, shared_pki: Pki
) -> None:
    """The port for tokens asks for no certificate, and the other one lets nobody in without, whatever token is sent."""
    text = new_token(guarded.data, "admin")["token"]
    with SecureWire(guarded.tokens, shared_pki.credentials("admin")) as wire:
        assert failure(lambda: wire.call("ListSubjects", REQUESTS["ListSubjects"])).reason == "UNAUTHENTICATED"
    with SecureWire(guarded.address, shared_pki.credentials(), text) as wire:
        assert failure(lambda: wire.call("ListSubjects", REQUESTS["ListSubjects"])).code is Code.UNAVAILABLE
    # Where the certificate counts, a token beside it changes nothing.
    with SecureWire(guarded.address, shared_pki.credentials("gate"), text) as wire:
        assert failure(lambda: wire.call("ListSubjects", REQUESTS["ListSubjects"])).reason == "ROLE_DENIED"


@pytest.mark.parametrize("address", ["address", "tokens"])
def test_plaintext_is_answered_by_neither_port(guarded: GuardedServer, address: str) -> None:
    """A client that does not speak TLS gets nothing."""
    with grpc.insecure_channel(getattr(guarded, address)) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert refused.value.code() is Code.UNAVAILABLE


@pytest.mark.parametrize("name", ["stranger", "gate", ""])
def test_health_is_told_to_any_tls_peer(guarded: GuardedServer, shared_pki: Pki, name: str) -> None:
    """A load balancer needs a connection, not a role."""
    address = guarded.address if name else guarded.tokens
    with grpc.secure_channel(address, shared_pki.credentials(name)) as channel:
        answer = health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("header", ["Basic {}", "Bearer", "Bearer  ", "{}", "Bearer {} {}"])
def test_an_authorization_of_another_form_is_refused(guarded: GuardedServer, shared_pki: Pki, header: str) -> None:
    """Only `Bearer TOKEN` is."""
    text = new_token(guarded.data, "admin")["token"]
    with SecureWire(guarded.tokens, shared_pki.credentials(), text) as wire:
        assert until(lambda: wire.reason() == "OK", 3)
        wire._metadata = (("authorization", header.format(text, text)),)
        assert wire.reason() == "UNAUTHENTICATED"


def test_two_tokens_at_once_are_refused(guarded: GuardedServer, shared_pki: Pki) -> None:
    """It would not be clear who calls."""
    made = [new_token(guarded.data, role)["token"] for role in ("gate", "admin")]
    with SecureWire(guarded.tokens, shared_pki.credentials(), made[1]) as wire:
        assert until(lambda: wire.reason() == "OK", 3)
        wire._metadata = tuple(("authorization", f"Bearer {each}") for each in made)
        assert wire.reason() == "UNAUTHENTICATED"
        wire._metadata = wire._metadata[:1]
        assert wire.reason() == "OK"


def test_nothing_of_a_token_is_logged_or_stored(guarded: GuardedServer, shared_pki: Pki) -> None:
    """Neither the database nor the log has the token that was just used."""
    text = new_token(guarded.data, "gate")["token"]
    with SecureWire(guarded.tokens, shared_pki.credentials(), text) as wire:
        assert until(lambda: attempt(wire, "GetServerInfo").code is Code.OK, 2)
        attempt(wire, "ListSubjects")
    secret = text[len("gbt_") + 13 :]
    assert secret not in guarded.stderr
    for file in Path(guarded.data).rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file
