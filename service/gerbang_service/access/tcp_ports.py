"""The ports a server opens: what each asks of who connects, and who a caller of theirs is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import grpc
from grpc import aio

from gerbang_service.access.authentication import Authentication, Context, everyone_is_local
from gerbang_service.access.certificates import Material, ServerCertificates
from gerbang_service.access.files import Refreshed
from gerbang_service.access.identity import Identity
from gerbang_service.access.policy import Policy, refreshed_policy
from gerbang_service.access.tokens import TokenBook
from gerbang_service.configuration.addresses import check_host, is_loopback, split_address
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.store.port import TokenReader

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """The addresses that were bound, HOST:PORT; `tokens` is empty when tokens have no port of their own."""

    main: str
    tokens: str


class Ports:
    """The ports of the settings, `listen` and `token_listen`.

    Without a certificate everybody is the machine's own (settings see to it that only this machine can connect, or that
    the operator said otherwise). With one, `listen` wants client certificates when their authority is known, else
    tokens; `token_listen` wants tokens.
    """

    def __init__(self, settings: Settings, note: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
        """Read certificates and policy; raise StartupError when they can't be used.

        `note` is told, for the audit log and in any thread, what changed of who is let in, before anybody is.
        """
        self._settings = settings
        self._note = note
        self._certificates: ServerCertificates | None = None
        self._policy: Refreshed[Policy] | None = None
        if settings.tls_certificate is not None and settings.tls_key is not None:
            self._certificates = ServerCertificates(
                settings.tls_certificate, settings.tls_key, settings.client_ca, self._note_certificates
            )
        if settings.policy is not None:
            self._policy = refreshed_policy(settings.policy, self._note_policy)
        if self._certificates is None and not is_loopback(settings.listen):
            log.warning(
                "%s: NO ENCRYPTION and NO AUTHENTICATION. Whoever can reach this address may search, enrol and delete, "
                "and whoever is on the way sees every face. tls_certificate, tls_key, client_ca and policy give both.",
                settings.listen,
            )

    def authentication(
        self, tokens: Callable[[], AbstractContextManager[TokenReader]]
    ) -> Callable[[Context], Identity]:
        """Return what tells the guard who calls; `tokens` lends them. For the event loop's thread."""
        if self._certificates is None:
            return everyone_is_local
        takes_tokens = self._settings.client_ca is None or bool(self._settings.token_listen)
        return Authentication(self._policy, TokenBook(tokens, self._note) if takes_tokens else None)

    def open(self, server: aio.Server, again: Opened | None = None) -> Opened:
        """Bind the ports of the settings, or those that were bound before; raise StartupError when one can't be."""
        wanted = again or Opened(self._settings.listen, self._settings.token_listen)
        main = _bind(server, wanted.main, self._credentials(require=self._settings.client_ca is not None))
        if not wanted.tokens:
            return Opened(main, "")
        return Opened(main, _bind(server, wanted.tokens, self._credentials(require=False)))

    def facts(self) -> dict[str, Any]:
        """Return by which files callers are let in, for the audit log's record of the start."""
        certificates = {} if self._certificates is None else self._certificates.current().facts()
        return {**certificates, "policy_sha256": None if self._policy is None else self._policy.current().digest}

    def _note_policy(self, policy: Policy) -> None:
        self._note({"event": "policy", "policy_sha256": policy.digest})

    def _note_certificates(self, material: Material) -> None:
        self._note({"event": "certificates", **material.facts()})

    def _credentials(self, *, require: bool) -> grpc.ServerCredentials | None:
        if self._certificates is None:
            return None
        return self._certificates.credentials(require_client_certificate=require)


def _bind(server: aio.Server, listen: str, credentials: grpc.ServerCredentials | None) -> str:
    host, port = split_address(listen)
    shown = f"[{host}]" if ":" in host else host
    address = f"{shown}:{port}"
    check_host(listen)
    try:
        bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartupError(f"can't listen on {listen}: is the port taken?") from error
    return f"{shown}:{bound}"
