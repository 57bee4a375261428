"""Which targets are on this machine, so that what is sent there can't be seen by anybody on the way."""

from __future__ import annotations

import ipaddress


def is_local(target: str) -> bool:
    """Tell whether a gRPC target is surely this machine: a unix socket, or loopback addresses alone.

    It may be written in any way that gRPC takes; of one that is not understood the answer is False.
    """
    scheme, _, rest = target.partition(":")
    match scheme:
        case "unix" | "unix-abstract":
            return True
        case "dns":
            # Between // and / would stand who resolves the name: somebody else's localhost is not this machine's.
            return _is_loopback(rest.removeprefix("///"))
        case "ipv4" | "ipv6":
            return all(map(_is_loopback, rest.removeprefix("///").split(",")))
    return _is_loopback(target)


def _is_loopback(address: str) -> bool:
    """Tell it of HOST, HOST:PORT, [IPV6] or [IPV6]:PORT."""
    host = address if address.endswith("]") or ":" not in address else address.rpartition(":")[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
