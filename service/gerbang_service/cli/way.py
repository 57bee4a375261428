"""How a command reaches the server, and as whom: what its options name is checked before anything is sent."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import grpc

import gerbang

DEFAULT_SERVER: Final = "127.0.0.1:50051"
# HOST:PORT, an IPv6 host in brackets.
_ADDRESS: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[^\s:/\[\]@]+):([0-9]{1,5})")


class Target(click.ParamType[str]):
    """Where a server is: HOST:PORT, or what gRPC takes besides, unix:PATH and dns:HOST:PORT."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Refuse what gRPC would take for something else, or tell in odd words that it can't take."""
        target = str(value)
        scheme, _, rest = target.partition(":")
        match scheme:
            case "unix" | "unix-abstract":
                sound = bool(rest)
            case "dns":
                # Between // and / may stand who resolves the name.
                sound = _is_address(re.sub("^//[^/]*/", "", rest))
            case "ipv4" | "ipv6":
                sound = all(map(_is_address, rest.removeprefix("///").split(",")))
            case _:
                sound = _is_address(target)
        if not sound:
            self.fail(f"{target!r} is not HOST:PORT, such as {DEFAULT_SERVER}", param, ctx)
        return target


def _is_address(text: str) -> bool:
    found = _ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found[1]) <= 65535


@dataclass(frozen=True, slots=True)
class Way:
    """How to reach a server, and as whom. `credentials`: None without TLS, elsewhere only if `insecure`."""

    credentials: grpc.ChannelCredentials | None = None
    token: str | None = None
    insecure: bool = False


def token_in(file: Path | None) -> str:
    """Read the token that a file or the environment has; "" for none. Raises click.UsageError, and OSError."""
    if file is None:
        return os.environ.get("GERBANG_TOKEN", "").strip()
    try:
        return file.read_text().strip()
    except UnicodeDecodeError:
        raise click.UsageError(f"--token-file: {file} holds no token") from None


def way_by(ca: Path | None, certificate: Path | None, key: Path | None, token: str) -> Way:
    """Read what the options name. Raises click.UsageError for what does not go together, and OSError."""
    if (certificate is None) != (key is None):
        raise click.UsageError("--client-certificate and --client-key go together")
    if ca is None:
        if certificate or token:
            raise click.UsageError("certificates and tokens are for TLS: say whom to trust, with --ca")
        return Way()
    # Imported here: without TLS none of it is needed.
    from gerbang_service.access.certificates import certificates_in, check_key  # noqa: PLC0415

    pems = {path: path.read_bytes() for path in (ca, certificate, key) if path is not None}
    try:
        certificates_in(ca, pems[ca])
        if certificate is not None and key is not None:
            check_key(key, pems[key], certificate, pems[certificate])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    own = {} if certificate is None or key is None else {"certificate": pems[certificate], "key": pems[key]}
    return Way(gerbang.tls(ca=pems[ca], **own), token or None)
