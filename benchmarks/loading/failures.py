"""Why a call failed, as briefly as counts need it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc import aio

_CODES = {each.value[0]: each.name for each in grpc.StatusCode}
_DETAILS_KEY = "grpc-status-details-bin"


class Failure(NamedTuple):
    """Status code and, from a server that gives one, the reason. `retry_info`: it said when to come back."""

    name: str
    retry_info: bool


def of_call(error: aio.AioRpcError) -> Failure:
    """Return why a call failed."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return of_status(value)
    return Failure(error.code().name, retry_info=False)


@lru_cache(maxsize=4096)
def of_status(serialised: bytes) -> Failure:
    """Return what a serialised google.rpc.Status says. Cached: in an overload the same comes by the thousand."""
    status = status_pb2.Status.FromString(serialised)
    name, retry_info = _CODES.get(status.code, str(status.code)), False
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            name = f"{name} {info.reason}"
        retry_info |= detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    return Failure(name, retry_info)
