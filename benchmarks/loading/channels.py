"""Connections to a server under load: the one place where channels are made.

A target is "host:port", or, over mutual TLS, "host:port@FOLDER/NAME" with FOLDER and NAME as of `gerbang certs`.
"""

from __future__ import annotations

from pathlib import Path

import grpc
from grpc import aio

import gerbang

_MIB = 1024 * 1024
_OPTIONS = (
    # A connection of its own: gRPC shares one among equal channels otherwise.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 256 * _MIB),
    # A load test counts what failed, and repeats nothing.
    ("grpc.enable_retries", 0),
)


def resolved(target: str) -> tuple[str, grpc.ChannelCredentials | None]:
    """Return "host:port" of a target, and the credentials to use there; None: nothing is encrypted."""
    address, _, certificate = target.partition("@")
    if not certificate:
        return address, None
    of_client = Path(certificate)
    return address, gerbang.tls(
        ca=of_client.parent / "ca.pem",
        certificate=of_client.with_name(f"{of_client.name}.pem"),
        key=of_client.with_name(f"{of_client.name}.key"),
    )


def open_channel(target: str) -> aio.Channel:
    """Open a channel to a target, for asyncio."""
    address, credentials = resolved(target)
    if credentials is None:
        return aio.insecure_channel(address, options=_OPTIONS)
    return aio.secure_channel(address, credentials, options=_OPTIONS)


def open_blocking_channel(target: str) -> grpc.Channel:
    """Open a channel to a target, for threads."""
    address, credentials = resolved(target)
    if credentials is None:
        return grpc.insecure_channel(address, options=_OPTIONS)
    return grpc.secure_channel(address, credentials, options=_OPTIONS)
