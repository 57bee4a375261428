"""A certificate authority of one's own, for tests and small sites: EC P-256, keys in files that only their owner reads.

A site with a public key infrastructure uses that: the server takes certificates from anywhere.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gerbang_service.access.files import replace

# Clocks of gates are not always right.
_BACKDATED = timedelta(minutes=10)
_CA_LIFE = timedelta(days=3653)
# The longest that browsers' rules allow: short enough that renewing is practised.
DEFAULT_DAYS = 397
_DNS_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


class AuthorityError(Exception):
    """It can't be made or issued, and why."""


class Authority:
    """The authority in a folder: `ca.pem` and `ca.key`. Raises AuthorityError."""

    def __init__(self, folder: Path) -> None:
        """Open the authority that is there."""
        self._folder = folder
        try:
            self._certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
            key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        except FileNotFoundError as error:
            raise AuthorityError(f"there is no authority in {folder}: 'gerbang certs ca' makes one") from error
        except OSError as error:
            raise AuthorityError(f"{error.filename}: {error.strerror}") from error
        except (ValueError, TypeError) as error:  # TypeError: a key with a passphrase
            raise AuthorityError(f"ca.pem and ca.key in {folder} are not as 'gerbang certs ca' makes them") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AuthorityError(f"{folder / 'ca.key'} is not of an authority made by 'gerbang certs ca'")
        self._key = key

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """Make one in a folder that has none yet, and open it."""
        if (folder / "ca.pem").exists() or (folder / "ca.key").exists():
            raise AuthorityError(f"{folder} has an authority already")
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Gerbang test authority")
        builder = _builder(name, name, key, _CA_LIFE)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AuthorityError(f"{folder}: {error.strerror}") from error
        _write(folder, "ca", key, certificate)
        return cls(folder)

    def issue_server(self, name: str, hosts: Sequence[str], days: int = DEFAULT_DAYS) -> None:
        """Write `name`.pem and `name`.key for a server that is reached under these names or IP addresses."""
        self._issue(name, [_general_name(each) for each in hosts], ExtendedKeyUsageOID.SERVER_AUTH, days)

    def issue_client(self, name: str, days: int = DEFAULT_DAYS) -> None:
        """Write `name`.pem and `name`.key for a client whose only name is the DNS name `name`."""
        self._issue(name, [x509.DNSName(_checked(name))], ExtendedKeyUsageOID.CLIENT_AUTH, days)

    def _issue(self, name: str, sans: Sequence[x509.GeneralName], use: x509.ObjectIdentifier, days: int) -> None:
        if _checked(name) == "ca":
            raise AuthorityError("ca.pem is the authority's own")
        _check_use(self._folder / f"{name}.pem", use)
        key = ec.generate_private_key(ec.SECP256R1())
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(_name(name), self._certificate.subject, key, timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(issuer_key, critical=False)
            .add_extension(x509.SubjectAlternativeName(sans), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _write(self._folder, name, key, certificate)


def _checked(name: str) -> str:
    if not _DNS_NAME.fullmatch(name):
        raise AuthorityError(f"{name!r} is no DNS name, such as gate-7 or gate-7.airport.example, in lower case")
    return name


def _check_use(path: Path, use: x509.ObjectIdentifier) -> None:
    """Refuse to put a client's certificate in the place of a server's, or the other way round."""
    if not path.exists():
        return
    try:
        known = x509.load_pem_x509_certificate(path.read_bytes())
        uses = list(known.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (OSError, ValueError, x509.ExtensionNotFound):
        uses = []
    if uses != [use]:
        raise AuthorityError(f"{path} is there already and is for something else: choose another name, or move it away")


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(_checked(host))


def _name(common_name: str) -> x509.Name:
    # Its length is limited to 64; what counts is the SAN.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + life) - _BACKDATED)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write(folder: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    try:
        replace(folder / f"{name}.key", key.private_bytes(pem, *form), 0o600)
        replace(folder / f"{name}.pem", certificate.public_bytes(pem), 0o644)
    except OSError as error:
        raise AuthorityError(f"{error.filename}: {error.strerror}") from error
