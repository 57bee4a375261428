"""Which failures of a call are those of a server that was killed, and not a healthy server's."""

from __future__ import annotations

import grpc

from crash.model import Wrong
from rpc.wire import of_error

# Reasons of a server that goes down, or is not up yet.
_OF_DEATH = {"SHUTTING_DOWN", "NOT_READY"}
# And of one that a busy machine keeps from its work.
_OF_HASTE = {"OVERLOADED"}
# Without a reason it is gRPC that speaks: the connection broke, or nobody is at its other end.
_OF_GRPC = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}


def check_failure(error: grpc.RpcError, *, killed: bool) -> None:
    """Raise Wrong unless this is how a call may fail. `killed`: whether a process of the server was, or is being."""
    failure = of_error(error)
    if failure.reason in _OF_HASTE:
        return
    of_death = failure.reason in _OF_DEATH if failure.reason else failure.code in _OF_GRPC
    if not of_death or not killed:
        raise Wrong(
            f"a call failed with {failure.code.name} {failure.reason or '(no reason)'}: {failure.message}"
            f"{'' if killed else ', and nothing had been killed'}"
        ) from error
