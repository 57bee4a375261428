"""The server's certificate, its key, and the authorities of client certificates: from files, read again on change."""

from __future__ import annotations

import hashlib
import logging
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from gerbang_service.access.files import Refreshed, check_unwritable, read, readable_by_all
from gerbang_service.domain.errors import StartupError

log = logging.getLogger(__name__)

_SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Material:
    """PEM bytes that fit together. `expires`: of the server's certificate. `client_ca` is None without mutual TLS."""

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    expires: datetime

    def facts(self) -> dict[str, str | None]:
        """Return what an auditor can compare with the files: SHA-256 of each, hexadecimal, and the expiry."""
        return {
            "certificate_sha256": hashlib.sha256(self.chain).hexdigest(),
            "client_ca_sha256": None if self.client_ca is None else hashlib.sha256(self.client_ca).hexdigest(),
            "certificate_expires": self.expires.isoformat(),
        }

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """Return it in gRPC's form."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], self.client_ca)


class ServerCertificates:
    """Makes credentials for ports whose certificates follow the files. Thread-safe.

    TLS 1.2 and 1.3 only: gRPC's own minimum. Connections that are open keep the certificates they were opened with.
    """

    def __init__(
        self, certificate: Path, key: Path, client_ca: Path | None, on_change: Callable[[Material], object]
    ) -> None:
        """Read the files; raise StartupError when they can't be used. `on_change` may be called in any thread."""
        paths = [certificate, key, *([client_ca] if client_ca else [])]
        self._files = Refreshed("the TLS certificate", paths, lambda: load(certificate, key, client_ca), on_change)
        if readable_by_all(key):
            log.warning("the private key %s may be read by every user of this machine: chmod 600 it", key)

    def current(self) -> Material:
        """Return what is in use."""
        return self._files.current()

    def credentials(self, *, require_client_certificate: bool) -> grpc.ServerCredentials:
        """Return credentials for a port."""
        material = self._files.current()
        return grpc.dynamic_ssl_server_credentials(
            material.configuration(),
            self._fetcher(material),  # type: ignore[arg-type]  # it may return None, as gRPC documents
            require_client_certificate,
        )

    def _fetcher(self, given: Material) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
        """Return what gRPC asks at each handshake, in a thread of its own: None for "as before"."""

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            try:
                material = self._files.current()
                if material is given:
                    return None
                configuration = material.configuration()
            except Exception:
                # gRPC would fail the handshake of whoever happens to connect.
                log.exception("the TLS certificate could not be looked at; the old one stays in force")
                return None
            given = material
            return configuration

        return fetch


def load(certificate: Path, key: Path, client_ca: Path | None) -> Material:
    """Read and check the files: all there, the key the certificate's, nothing expired. Raises StartupError."""
    chain_pem, key_pem = read("tls_certificate", certificate), read("tls_key", key)
    check_unwritable("tls_key", key, stat.S_IWGRP | stat.S_IWOTH)
    leaf = _certificates("tls_certificate", certificate, chain_pem)[0]
    try:
        check_key(key, key_pem, certificate, chain_pem)
    except ValueError as error:
        raise StartupError(f"setting tls_key: {error}") from error
    _check_validity("tls_certificate", certificate, leaf)
    ca_pem = None
    if client_ca is not None:
        ca_pem = read("client_ca", client_ca)
        check_unwritable("client_ca", client_ca, stat.S_IWOTH)
        authorities = _certificates("client_ca", client_ca, ca_pem)
        # Of several, an old one may have had its day; one that is in force there must be.
        newest = max(authorities, key=lambda each: each.not_valid_after_utc)
        _check_validity("client_ca", client_ca, newest)
    if leaf.not_valid_after_utc - datetime.now(UTC) < _SOON:
        log.warning("the TLS certificate %s expires soon, at %s", certificate, leaf.not_valid_after_utc.isoformat())
    return Material(chain_pem, key_pem, ca_pem, leaf.not_valid_after_utc)


def certificates_in(path: Path, pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in the content of a file, at least one; raise ValueError, which says what it holds."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError(f"{path} holds no certificate in PEM form") from None


def check_key(path: Path, pem: bytes, certificate: Path, chain: bytes) -> None:
    """Raise ValueError when the content of a file is not the private key of the first certificate of another."""
    leaf = certificates_in(certificate, chain)[0]
    try:
        key = serialization.load_pem_private_key(pem, None)
    except TypeError:
        raise ValueError(f"{path} is encrypted with a passphrase, which nobody could enter") from None
    except Exception:  # noqa: BLE001 - ValueError and UnsupportedAlgorithm; their texts may quote the file
        raise ValueError(f"{path} holds no private key in PEM form") from None
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise ValueError(f"{path} is not the key of {certificate}")


def _certificates(setting: str, path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return certificates_in(path, pem)
    except ValueError as error:
        raise StartupError(f"setting {setting}: {error}") from error


def _check_validity(setting: str, path: Path, certificate: x509.Certificate) -> None:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc <= now:
        raise StartupError(f"setting {setting}: {path} expired at {certificate.not_valid_after_utc.isoformat()}")
    if certificate.not_valid_before_utc > now:
        raise StartupError(
            f"setting {setting}: {path} is valid only from {certificate.not_valid_before_utc.isoformat()} on: "
            "is this machine's clock right?"
        )
