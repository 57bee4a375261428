"""Certificates, the policy, and the ports that are listened on."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from gerbang_service.access import certificates, policy
from gerbang_service.access.files import readable_by_all
from gerbang_service.cli.doctor.finding import Finding
from gerbang_service.configuration.addresses import split_address
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError

_TLS, _PORTS = "certificates", "ports"
_SOON = timedelta(days=30)
_ADVICE = {
    errno.EADDRINUSE: "stop who has it, or take another port",
    errno.EADDRNOTAVAIL: "name an address that this machine has",
    errno.EACCES: "take a port from 1024 on, or give the server CAP_NET_BIND_SERVICE",
}


def check_certificates(settings: Settings) -> Iterator[Finding]:
    """Yield whether the files fit together, and how long they are valid."""
    if settings.tls_certificate is None or settings.tls_key is None:
        yield Finding.ok(_TLS, "none: no TLS")
        return
    try:
        material = certificates.load(settings.tls_certificate, settings.tls_key, settings.client_ca)
    except StartupError as error:
        yield Finding.fail(_TLS, str(error), "renew or replace the file; a running server takes it up by itself")
        return
    left = material.expires - datetime.now(UTC)
    text = f"{settings.tls_certificate} and its key fit together, valid for {left.days} days"
    if left < _SOON:
        yield Finding.warning(_TLS, text, "renew it; a running server takes the new file up by itself")
    else:
        yield Finding.ok(_TLS, text)
    if readable_by_all(settings.tls_key):
        yield Finding.warning(_TLS, f"{settings.tls_key} may be read by everybody", f"chmod 600 {settings.tls_key}")
    if settings.policy is not None:
        try:
            entries = policy.load(settings.policy).entries
        except StartupError as error:
            yield Finding.fail(_TLS, str(error), "mend the policy; a running server keeps the old one")
            return
        yield Finding.ok(_TLS, f"the policy knows {len(entries)} names")


def check_ports(settings: Settings, *, running: bool) -> Iterator[Finding]:
    """Yield whether the ports are free. `running`: a server has the data folder already."""
    wanted = {"listen": settings.listen, "token_listen": settings.token_listen}
    if settings.metrics_listen:
        host, port = split_address(settings.metrics_listen)
        shown = f"[{host}]" if ":" in host else host
        for number in range(settings.workers):
            name = f"metrics_listen of worker {number}" if settings.workers > 1 else "metrics_listen"
            wanted[name] = f"{shown}:{port + number if port else 0}"
    seen: dict[str, str] = {}
    for name, address in wanted.items():
        if not address:
            continue
        if address in seen and not address.endswith(":0"):
            yield Finding.fail(_PORTS, f"{name} and {seen[address]} are both {address}", "give each its own")
            continue
        seen[address] = name
        problem = _problem(address)
        if problem is None:
            yield Finding.ok(_PORTS, f"{name} {address} is free")
        elif running and problem.errno == errno.EADDRINUSE:
            yield Finding.ok(_PORTS, f"{name} {address} is taken, and a server runs on the data folder")
        elif isinstance(problem, socket.gaierror):
            yield Finding.fail(
                _PORTS,
                f"{name} {address}: the name can't be resolved ({problem.strerror})",
                "name an address of this machine, or mend DNS or /etc/hosts",
            )
        else:
            advice = _ADVICE.get(problem.errno or 0, "name another address")
            yield Finding.fail(_PORTS, f"{name} {address}: {problem.strerror or problem}", advice)


def _problem(address: str) -> OSError | None:
    host, port = split_address(address)
    try:
        family, kind, protocol, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(found)
    except OSError as error:
        return error
    return None
