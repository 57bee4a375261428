"""When certificates expire, as metrics tell it."""

from __future__ import annotations

import time
from pathlib import Path

from gerbang_service.telemetry.certificate_dates import CertificateDates
from telemetry.certificates import certificate
from telemetry.metered import TEMPLATES, MeteredServer, value

DAY_S = 86400
NAME = "gerbang_certificate_expiry_timestamp_seconds"


def days_left(expires_s: float) -> float:
    """Return how many days it is valid."""
    return (expires_s - time.time()) / DAY_S


def test_a_server_tells_when_its_certificate_expires_and_follows_the_file(data: Path, tmp_path: Path) -> None:
    """Of the file as it is at each scrape, since the server takes a new one up by itself."""
    options = certificate(tmp_path, 30)
    with MeteredServer(data, *TEMPLATES, *options) as server:
        assert 30 < days_left(value(server.scrape(), NAME, certificate="server")) < 31
        certificate(tmp_path, 300)
        assert 300 < days_left(value(server.scrape(), NAME, certificate="server")) < 301


def test_a_file_that_can_not_be_read_has_long_expired(tmp_path: Path) -> None:
    """So that the alert for certificates comes, and goes when the file is there again."""
    certificate(tmp_path, 30)
    file = tmp_path / "server.pem"
    dates, content = CertificateDates(file), file.read_bytes()
    assert dates.expires_s() > time.time()
    file.write_bytes(b"no certificate")
    assert dates.expires_s() == 0
    file.unlink()
    assert dates.expires_s() == 0
    file.write_bytes(content)
    assert dates.expires_s() > time.time()


def test_of_several_certificates_the_first_to_expire_counts(tmp_path: Path) -> None:
    """A chain is worth nothing when one of it has expired."""
    file = tmp_path / "server.pem"
    certificate(tmp_path, 300)
    long = file.read_bytes()
    certificate(tmp_path, 30)
    file.write_bytes(long + file.read_bytes())
    assert 30 < days_left(CertificateDates(file).expires_s()) < 31
