"""How a client is connected: message sizes, keepalive, reconnection, retries; for sync and asyncio alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1024 * 1024

DEFAULT_TARGET = "127.0.0.1:50051"

# Deadlines, seconds. A gate sends the traveller to a counter rather than wait longer; an office sends up to 20 large
# photos in one call, over whatever line it has.
GATE_TIMEOUT_S = 5.0
OFFICE_TIMEOUT_S = 30.0

# What is sent is limited by the server alone (64 MiB unless its operator says otherwise), so that the limit
# has one home; six photos of the largest allowed size (10 MB) fit in one message, and 20 of a usual one (0.5
# to 3 MB) do. What is received: the largest page (1000 subjects, every label full of four-byte characters) is 75 MB.
MAX_SEND_BYTES = -1
MAX_RECEIVE_BYTES = 256 * MIB

# gRPC repeats only what it still holds, and holds 256 KiB a call by default: a photo would never be sent
# again. The bytes are shared with the request, not copied.
RETRY_BUFFER_BYTES = 256 * MIB

# Gates stand behind firewalls that forget a silent connection (after 4 minutes to an hour) without telling
# anyone; the next traveller's call would then wait for its deadline. So the client pings, with or without a
# call in flight. A server calls pings that come too often an abuse and hangs up at the third: Gerbang's permits
# one every 10 s, which leaves a margin for delays. Most other servers, and proxies in between, permit one every
# 5 minutes and only during calls; then say so in `options` (grpc.keepalive_time_ms at 330000,
# grpc.keepalive_permit_without_calls at 0), and a grpc.client_idle_timeout_ms of 60000 keeps the next call from
# a forgotten connection. https://github.com/grpc/grpc/blob/master/doc/keepalive.md
KEEPALIVE_TIME_MS = 30_000
# A peer that does not acknowledge a ping, or anything else that was sent (TCP_USER_TIMEOUT), for so long is
# given up.
KEEPALIVE_TIMEOUT_MS = 10_000

# gRPC waits up to 2 minutes between attempts to connect: a gate would stay blind that long after a server's
# restart.
MIN_RECONNECT_MS = 100
MAX_RECONNECT_MS = 5_000

# Calls that may be repeated when the server is UNAVAILABLE: those that change nothing, and Enroll, whose
# request_id makes a repeat return the first answer. Not repeated:
# - Create*, Update*, Delete*: the first attempt may have done its work and lost only its answer. A repeat
#   would then report WATCHLIST_EXISTS, undo what someone else changed in between, or report NOT_FOUND for a
#   deletion that did succeed. (gRPC still repeats by itself what provably never left this machine or never
#   reached the server's code.)
# - the streams: a part of their answers may have been used already.
RETRIED = {
    "gerbang.v1.MatchingService": ("Enroll", "Verify", "Identify", "IdentifyBatch", "Extract"),
    "gerbang.v1.WatchlistService": (
        "GetWatchlist",
        "ListWatchlists",
        "GetSubject",
        "ListSubjects",
        "GetServerInfo",
    ),
}

# Four attempts within about 0.7 s (0.1 + 0.2 + 0.4, each varied at random), always within the call's
# deadline. RESOURCE_EXHAUSTED is not repeated: gRPC heeds a server's pushback, but repeats without one too,
# which feeds an overload, and the code also stands for a message that is too large. Busy.retry_after_s tells
# the caller instead.
RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
# Of a server that fails more than it answers, only first attempts are asked: five failed attempts in a row
# stop the repeats, and at most a dozen answers bring them back.
RETRY_THROTTLING = {"maxTokens": 10, "tokenRatio": 0.5}


def service_config() -> str:
    """Return the gRPC service config (JSON) that says which calls are retried and how."""
    names = [{"service": service, "method": name} for service, calls in RETRIED.items() for name in calls]
    return json.dumps(
        {"methodConfig": [{"name": names, "retryPolicy": RETRY_POLICY}], "retryThrottling": RETRY_THROTTLING}
    )


def channel_options(overrides: Sequence[tuple[str, Any]] = ()) -> list[tuple[str, Any]]:
    """Return the channel's options; an override takes the place of the default of the same name."""
    options: dict[str, Any] = {
        "grpc.max_send_message_length": MAX_SEND_BYTES,
        "grpc.max_receive_message_length": MAX_RECEIVE_BYTES,
        "grpc.per_rpc_retry_buffer_size": RETRY_BUFFER_BYTES,
        "grpc.keepalive_time_ms": KEEPALIVE_TIME_MS,
        "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
        "grpc.keepalive_permit_without_calls": 1,
        # Without this, pings get rare on a connection that carries nothing else: the one that needs them.
        "grpc.http2.max_pings_without_data": 0,
        "grpc.initial_reconnect_backoff_ms": MIN_RECONNECT_MS,
        "grpc.max_reconnect_backoff_ms": MAX_RECONNECT_MS,
        # Faces must not take the way through a web proxy because an environment variable says so.
        "grpc.enable_http_proxy": 0,
        "grpc.service_config": service_config(),
    }
    options.update(overrides)
    return list(options.items())
