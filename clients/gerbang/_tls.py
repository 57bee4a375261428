"""Credentials from files: whom a client trusts, and who it is."""

from __future__ import annotations

from pathlib import Path

import grpc


def tls(
    *, ca: Path | bytes | None = None, certificate: Path | bytes | None = None, key: Path | bytes | None = None
) -> grpc.ChannelCredentials:
    """Return credentials for a client, all in PEM form, as files or their content.

    ca: the authority that the server's certificate must be of. None: those that gRPC brings along.
    certificate, key: the client's own, for a server that asks for one; both or neither.
    They are read now: a client that is to use new files is made anew. Raises ValueError, and OSError for a file that
    can't be read.
    """
    if (certificate is None) != (key is None):
        raise ValueError("a certificate needs its key, and a key its certificate")
    return grpc.ssl_channel_credentials(_content(ca), _content(key), _content(certificate))


def _content(given: Path | bytes | None) -> bytes | None:
    return given.read_bytes() if isinstance(given, Path) else given
