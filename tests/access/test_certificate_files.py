"""The certificate files: what can't be used is refused at start, and what changes is taken up without a failed call."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

import gerbang
from access.pki import TEMPLATES, GuardedServer, Pki, SecureWire, new_token, until
from access.requests import REQUESTS
from gerbang_service.access.tcp_ports import Ports
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from rpc.wire import failure, template
from running import RunningServer, StartRefused


def settings(pki: Pki) -> Settings:
    """Return the settings of a server with mutual TLS."""
    return Settings(
        data=pki.folder,
        pack="none",
        tls_certificate=pki.folder / "server.pem",
        tls_key=pki.folder / "server.key",
        client_ca=pki.folder / "ca.pem",
        policy=pki.policy,
    )


def _remove(pki: Pki, name: str) -> None:
    (pki.folder / name).unlink()


def _garble(pki: Pki, name: str) -> None:
    (pki.folder / name).write_text("-----BEGIN NONSENSE-----\n")


def _other_key(pki: Pki, _: str) -> None:
    (pki.folder / "server.key").write_bytes((pki.folder / "admin.key").read_bytes())


def _folder(pki: Pki, name: str) -> None:
    (pki.folder / name).unlink()
    (pki.folder / name).mkdir()


def _expired(pki: Pki, _: str) -> None:
    pki.authority.issue_server("server", ["localhost"], days=-1)


def _not_yet_valid(pki: Pki, _: str) -> None:
    key = serialization.load_pem_private_key((pki.folder / "ca.key").read_bytes(), None)
    old = x509.load_pem_x509_certificate((pki.folder / "server.pem").read_bytes())
    soon = datetime.now(UTC) + timedelta(days=1)
    builder = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), 7, soon, soon + timedelta(days=1))
    made = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    (pki.folder / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _passphrase(pki: Pki, _: str) -> None:
    key = serialization.load_pem_private_key((pki.folder / "server.key").read_bytes(), None)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (pki.folder / "server.key").write_bytes(key.private_bytes(*form, serialization.BestAvailableEncryption(b"x")))


def _group_writable(pki: Pki, name: str) -> None:
    (pki.folder / name).chmod(0o660)


def _all_writable(pki: Pki, name: str) -> None:
    (pki.folder / name).chmod(0o666)


@pytest.mark.parametrize(
    ("spoil", "name", "setting", "said"),
    [
        (_remove, "server.pem", "tls_certificate", "No such file"),
        (_remove, "server.key", "tls_key", "No such file"),
        (_remove, "ca.pem", "client_ca", "No such file"),
        (_folder, "server.pem", "tls_certificate", "Is a directory"),
        (_garble, "server.pem", "tls_certificate", "no certificate in PEM form"),
        (_garble, "server.key", "tls_key", "no private key in PEM form"),
        (_garble, "ca.pem", "client_ca", "no certificate in PEM form"),
        (_other_key, "", "tls_key", r"not the key of .*/server\.pem"),
        (_passphrase, "", "tls_key", "encrypted with a passphrase"),
        (_expired, "", "tls_certificate", "expired at"),
        (_not_yet_valid, "", "tls_certificate", "clock"),
        (_group_writable, "server.key", "tls_key", "may be written by others"),
        (_all_writable, "ca.pem", "client_ca", "may be written by others"),
        (_all_writable, "policy.toml", "policy", "may be written by others"),
    ],
)
def test_files_that_cant_be_used_are_refused_at_start(
    pki: Pki, spoil: Callable[[Pki, str], None], name: str, setting: str, said: str
) -> None:
    """One clear sentence that names the setting."""
    Ports(settings(pki))
    spoil(pki, name)
    with pytest.raises(StartupError, match=rf"^setting {setting}: .*{said}"):
        Ports(settings(pki))


def test_the_process_refuses_with_that_sentence_and_no_trace(pki: Pki, data: Path) -> None:
    """Exit status 3, before anything is loaded."""
    _other_key(pki, "")
    with pytest.raises(StartRefused) as refused:
        RunningServer(data, *TEMPLATES, *pki.mutual)
    assert refused.value.returncode == 3
    assert "gerbang serve: setting tls_key: " in refused.value.stderr
    assert "Traceback" not in refused.value.stderr
    assert not data.exists()


def test_a_key_that_all_may_read_and_a_certificate_that_ends_soon_are_said_loudly(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning each: the server starts all the same."""
    pki.authority.issue_server("server", ["localhost"], days=3)
    (pki.folder / "server.key").chmod(0o644)
    with caplog.at_level(logging.WARNING):
        Ports(settings(pki))
    assert "chmod 600" in caplog.text
    assert "expires soon" in caplog.text


@pytest.fixture
def served(pki: Pki, data: Path) -> GuardedServer:
    """A server of the test's own."""
    return GuardedServer(data, pki)


def shown(address: str) -> str:
    """Return the certificate that a port shows, PEM."""
    host, _, port = address.rpartition(":")
    return ssl.get_server_certificate((host, int(port)), timeout=5)


async def test_rotation_under_load_fails_no_call(pki: Pki, served: GuardedServer) -> None:
    """While the files are replaced again and again, one after the other, calls of old and new connections succeed."""
    with served:
        pki.client("gate", "gate")
        stop = asyncio.Event()
        counts = {"open": 0, "new": 0}

        async def keep_calling(kind: str, calls: int) -> None:
            while not stop.is_set():
                async with gerbang.AsyncGateClient(
                    served.address, credentials=pki.credentials("gate"), options=[("grpc.enable_retries", 0)]
                ) as gate:
                    while calls and not stop.is_set():
                        await gate.identify(template(1))
                        counts[kind] += 1
                        if kind == "new":
                            break

        await asyncio.to_thread(until, lambda: not _refused(pki, served, "gate"), 3)
        load = asyncio.gather(*(keep_calling("open", 1) for _ in range(2)), *(keep_calling("new", 1) for _ in range(2)))
        seen = [await asyncio.to_thread(shown, served.address)]
        for _ in range(6):
            pki.authority.issue_server("server", ["localhost", "127.0.0.1"])
            before = seen[-1]
            assert await asyncio.to_thread(until, lambda: shown(served.tokens) != before, 3)  # noqa: B023
            assert not load.done()
            seen.append(await asyncio.to_thread(shown, served.address))
        stop.set()
        await load
        assert len(set(seen)) == 7
        assert min(counts.values()) > 20, counts


def _refused(pki: Pki, served: GuardedServer, name: str) -> bool:
    with SecureWire(served.address, pki.credentials(name)) as wire:
        return wire.reason() != "OK"


@pytest.mark.parametrize("spoil", [_garble, _remove, _other_key, _expired])
def test_new_files_that_cant_be_used_leave_the_old_in_force_and_are_logged_once(
    pki: Pki, served: GuardedServer, spoil: Callable[[Pki, str], None]
) -> None:
    """Connections go on being taken with the certificate before; the log says what is wrong; mending it is enough."""
    with served:
        before = shown(served.tokens)
        spoil(pki, "server.key")
        assert until(lambda: shown(served.tokens) == before and "stays in force" in served.stderr, 3)
        for _ in range(5):
            assert not _refused(pki, served, "admin")
        assert not until(lambda: shown(served.tokens) != before, 1.2)
        assert served.stderr.count("stays in force") == 1
        if (pki.folder / "server.key").is_file():
            (pki.folder / "server.key").unlink()
        pki.authority.issue_server("server", ["localhost", "127.0.0.1"])
        assert until(lambda: shown(served.tokens) != before, 3)


def test_a_new_authority_counts_for_the_next_connection(pki: Pki, served: GuardedServer, tmp_path: Path) -> None:
    """With both authorities in the file, clients of both come in; when the old one is gone, its clients don't."""
    other = Pki(tmp_path / "other")
    other.client("admin")
    with served:
        old_ca = (pki.folder / "ca.pem").read_bytes()

        def refused(made: Pki) -> bool:
            with SecureWire(served.address, made.credentials("admin", ca=tmp_path / "old.pem")) as wire:
                return wire.reason() != "OK"

        (tmp_path / "old.pem").write_bytes(old_ca)
        assert refused(other)
        assert not refused(pki)
        new_ca = (other.folder / "ca.pem").read_bytes()
        (pki.folder / "ca.pem").write_bytes(old_ca + new_ca)
        assert until(lambda: not refused(other), 3)
        assert not refused(pki)
        (pki.folder / "ca.pem").write_bytes(new_ca)
        assert until(lambda: refused(pki), 3)
        assert not refused(other)


def test_a_certificate_that_expires_on_an_open_connection_stops_counting(pki: Pki, served: GuardedServer) -> None:
    """The handshake was long ago; each call asks again."""
    name = "brief"
    pki.client(name, "admin")
    key = serialization.load_pem_private_key((pki.folder / "ca.key").read_bytes(), None)
    old = x509.load_pem_x509_certificate((pki.folder / f"{name}.pem").read_bytes())
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), 8, now - timedelta(days=1), now + timedelta(seconds=4)
    )
    for each in old.extensions:
        builder = builder.add_extension(each.value, each.critical)
    made = builder.sign(key, hashes.SHA256())  # type: ignore[arg-type]
    (pki.folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    with served, SecureWire(served.address, pki.credentials(name)) as wire:
        assert until(lambda: not _refused(pki, served, name), 2)
        assert wire.call("GetServerInfo", REQUESTS["GetServerInfo"])
        assert until(lambda: datetime.now(UTC) > now + timedelta(seconds=4.5), 5)
        refused = failure(lambda: wire.call("GetServerInfo", REQUESTS["GetServerInfo"]))
        assert (refused.reason, "expired" in refused.message) == ("UNAUTHENTICATED", True)


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_tls_before_1_2_is_not_spoken(guarded: GuardedServer, newest: ssl.TLSVersion) -> None:
    """It speaks 1.2 and 1.3."""
    assert _handshake(guarded.tokens, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with (
        pytest.warns(DeprecationWarning, match="TLS"),
        pytest.raises(ssl.SSLError, match=r"(?i)protocol.version|unsupported|EOF"),
    ):
        _handshake(guarded.tokens, newest)


def _handshake(address: str, version: ssl.TLSVersion) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as raw, context.wrap_socket(raw) as secured:
        return secured.version()


def test_a_token_goes_on_working_when_the_certificate_is_rotated(pki: Pki, served: GuardedServer) -> None:
    """Both ports follow the same files."""
    with served:
        token = new_token(served.data, "admin")["token"]
        before = shown(served.tokens)
        pki.authority.issue_server("server", ["localhost", "127.0.0.1"])
        assert until(lambda: shown(served.tokens) != before, 3)
        with SecureWire(served.tokens, pki.credentials(), token) as wire:
            assert wire.call("GetServerInfo", REQUESTS["GetServerInfo"]).dimension == 16
