"""From a call to who makes it: by the certificate of its connection, or by its API token."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, TypeAlias

from cryptography import x509
from grpc import aio

from gerbang_service.access.files import Refreshed
from gerbang_service.access.identity import LOCAL, Identity
from gerbang_service.access.policy import Kind, Policy
from gerbang_service.access.tokens import TokenBook
from gerbang_service.domain.errors import Unauthenticated

Context: TypeAlias = aio.ServicerContext[Any, Any]

_AUTHORIZATION: Final = "authorization"
_BEARER: Final = "bearer"
_PEM: Final = "x509_pem_cert"
_COMMON_NAME: Final = "x509_common_name"
# Of a certificate that nobody is let in with, what is told: so many names, each of so many characters.
_NAMES_TOLD, _NAME_TOLD = 3, 64
# Certificates remembered; an airport has some hundreds.
_REMEMBERED = 4096


def everyone_is_local(context: Context) -> Identity:
    """Take every caller for the machine's own: nothing is encrypted, and nobody is asked who they are.

    Raises Unauthenticated for a token: who sends one believes to be protected, and is not.
    """
    if _authorizations(context):
        raise Unauthenticated("API tokens are taken over TLS only, and this server has none")
    return LOCAL


class Authentication:
    """Tells who calls over TLS. Called with each call's context, by one event loop.

    A certificate was verified by gRPC in the handshake. Whether it is still valid, and in the policy, is asked anew
    with every call: a connection may be open for months.
    """

    def __init__(self, policy: Refreshed[Policy] | None, tokens: TokenBook | None) -> None:
        """`policy`: None when no port asks for client certificates; `tokens`: None when none takes tokens."""
        self._policy = policy
        self._tokens = tokens
        # By the certificate itself, which is what the identity follows from; never by address or connection.
        self._by_certificate: dict[bytes, tuple[Identity, float]] = {}
        self._by_policy: Policy | None = None

    def __call__(self, context: Context) -> Identity:
        """Return who calls. Raises Unauthenticated; with tokens also StoreUnavailable."""
        if self._policy is not None:
            peer = context.auth_context()
            if pem := peer.get(_PEM):
                return self._of_certificate(next(iter(pem)), peer, self._policy.current())
        if self._tokens is None:
            raise Unauthenticated("a client certificate is needed")
        return self._tokens.identity(_bearer(_authorizations(context)))

    def _of_certificate(self, pem: bytes, peer: Mapping[str, Iterable[bytes]], policy: Policy) -> Identity:
        if policy is not self._by_policy or len(self._by_certificate) >= _REMEMBERED:
            self._by_certificate, self._by_policy = {}, policy
        known = self._by_certificate.get(pem)
        if known is None:
            names = {kind: _texts(peer.get(kind.value, ())) for kind in Kind}
            try:
                identity = policy.identity(names)
            except Unauthenticated as error:
                told = [name for found in names.values() for name in found] or _texts(peer.get(_COMMON_NAME, ()))
                raise Unauthenticated(str(error), certificate=_told(told)) from None
            expires = x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()
            known = self._by_certificate[pem] = identity, expires
        identity, expires = known
        if time.time() >= expires:
            raise Unauthenticated(
                "the client certificate has expired since the connection was made", certificate=_told([identity.name])
            )
        return identity


def _texts(names: Iterable[bytes]) -> list[str]:
    return [each.decode() for each in names if each.isascii()]


def _told(names: Iterable[str]) -> str:
    """Return the first of a certificate's names, cut short: whoever issued it may have written anything there."""
    short = (each[:_NAME_TOLD] for each in names if each.isprintable())
    return ", ".join(islice(short, _NAMES_TOLD))


def _authorizations(context: Context) -> list[str | bytes]:
    return [value for key, value in context.invocation_metadata() or () if key == _AUTHORIZATION]


def _bearer(found: list[str | bytes]) -> str:
    if not found:
        raise Unauthenticated("an API token is needed: metadata 'authorization: Bearer TOKEN'")
    scheme, _, token = str(found[0]).partition(" ")
    if len(found) > 1 or scheme.lower() != _BEARER or not token:
        raise Unauthenticated("the metadata 'authorization' must be 'Bearer TOKEN', once")
    return token.strip()
