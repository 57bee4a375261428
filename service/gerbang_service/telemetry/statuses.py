"""What a google.rpc.Status says, in the words of metrics and logs."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2, status_pb2

# Where a number is none of gRPC's.
UNKNOWN = "unknown"
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


def status_name(status: status_pb2.Status) -> str:
    """Return the name of a status's code, such as NOT_FOUND."""
    return _NAMES.get(status.code, UNKNOWN)


def reason_of(status: status_pb2.Status) -> str:
    """Return the reason of the error table that a status carries; without one, as when a client went away, its name."""
    return _info(status).reason if status.details else status_name(status)


def claimed(status: status_pb2.Status) -> str:
    """Return what a caller showed who was not let in, as far as it may be told: `token ID`, `certificate NAMES`.

    "" when nothing was shown that has a name, and for any other failure. An id of a token that is not known is only
    what the caller says; all else was verified.
    """
    if status.code != grpc.StatusCode.UNAUTHENTICATED.value[0] or not status.details:
        return ""
    shown = _info(status).metadata
    named = {"token": shown.get("token_id", ""), "certificate": shown.get("certificate", "")}
    return next((f"{what} {name}" for what, name in named.items() if name), "")


def _info(status: status_pb2.Status) -> error_details_pb2.ErrorInfo:
    # Always the first detail (rpc/errors.py). A flood of refusals is counted too: no search for it.
    return error_details_pb2.ErrorInfo.FromString(status.details[0].value)
