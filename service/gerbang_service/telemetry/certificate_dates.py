"""When certificate files expire."""

from __future__ import annotations

import logging
from pathlib import Path

from cryptography import x509

log = logging.getLogger(__name__)


class CertificateDates:
    """Reads the earliest end of validity in a PEM file, again only when the file changed. Belongs to one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._expires_s = 0.0

    def expires_s(self) -> float:
        """Return it in seconds since the epoch; 0 when the file can't be read, which has long expired."""
        try:
            state = self._path.stat()
            seen = (state.st_mtime_ns, state.st_size)
            if seen != self._seen:
                self._expires_s = earliest_expiry_s(self._path.read_bytes())
                self._seen = seen
        except (OSError, ValueError) as error:
            log.warning("certificate %s can't be read: %s", self._path, error)
            self._seen, self._expires_s = None, 0.0
        return self._expires_s


def earliest_expiry_s(pem: bytes) -> float:
    """Return when the first of these certificates expires, seconds since the epoch; raise ValueError for none."""
    certificates = x509.load_pem_x509_certificates(pem)
    return min(each.not_valid_after_utc for each in certificates).timestamp()
