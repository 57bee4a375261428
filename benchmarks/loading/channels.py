"""Connections to a server under load: the one place where channels are made."""

from __future__ import annotations

import grpc
from grpc import aio

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


def open_channel(target: str) -> aio.Channel:
    """Open a channel to "host:port", for asyncio."""
    return aio.insecure_channel(target, options=_OPTIONS)


def open_blocking_channel(target: str) -> grpc.Channel:
    """Open a channel to "host:port", for threads."""
    return grpc.insecure_channel(target, options=_OPTIONS)
