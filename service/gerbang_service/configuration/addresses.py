"""Addresses to listen on, as settings have them: HOST:PORT."""

from __future__ import annotations

import ipaddress
import socket

from gerbang_service.domain.errors import StartupError


def split_address(listen: str, setting: str = "listen") -> tuple[str, int]:
    """Split `HOST:PORT` (an IPv6 host in brackets); raise StartupError, which names the setting, for anything else."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5) or int(port) > 65535:
        raise StartupError(f"setting {setting}: {listen!r} is not HOST:PORT")
    return host, int(port)


def check_host(listen: str) -> None:
    """Raise StartupError when the host of `listen` can't be resolved: what binds it would not tell that."""
    host, port = split_address(listen)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, socket.gaierror) else "no host name"
        raise StartupError(f"can't listen on {listen}: {host} can't be resolved ({why})") from error


def is_loopback(listen: str, setting: str = "listen") -> bool:
    """Tell whether only this machine can reach `listen`; raises StartupError as split_address does."""
    host, _ = split_address(listen, setting)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
