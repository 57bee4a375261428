"""The bare wire: generated stubs without retries, and failures as they crossed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from gerbang import Sample, Template
from gerbang.v1.matching_service_pb2_grpc import MatchingServiceStub
from gerbang.v1.watchlist_service_pb2_grpc import WatchlistServiceStub

TIMEOUT_S = 60.0

# Nothing is repeated behind the test's back.
PLAIN = (("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


class Wire:
    """Both services of a server."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, PLAIN)
        self.matching = MatchingServiceStub(self.channel)
        self.watchlists = WatchlistServiceStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()


@dataclass(frozen=True)
class Failure:
    """What a client is told of a failure."""

    code: grpc.StatusCode
    message: str
    reason: str
    domain: str
    metadata: Mapping[str, str]
    violations: Mapping[str, str]
    retry_after_s: float | None


def failure(call: Callable[[], object]) -> Failure:
    """Make a call that must fail and return how it did."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return of_error(caught.value)


def of_error(error: grpc.RpcError) -> Failure:
    """Return the failure that an exception of gRPC's stands for."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it is a Call too
    if status is None:
        return Failure(error.code(), error.details() or "", "", "", {}, {}, None)
    return of_status(status)


def of_status(status: status_pb2.Status) -> Failure:
    """Return the failure that a google.rpc.Status stands for."""
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    known = {each.DESCRIPTOR.full_name: each for each in (info, bad, retry)}
    found = set()
    for detail in status.details:
        name = detail.type_url.rpartition("/")[2]
        detail.Unpack(known[name])
        found.add(name)
    delay = retry.retry_delay
    return Failure(
        next(code for code in grpc.StatusCode if code.value[0] == status.code),
        status.message,
        info.reason,
        info.domain,
        dict(info.metadata),
        {each.field: each.description for each in bad.field_violations},
        delay.seconds + delay.nanos * 1e-9 if retry.DESCRIPTOR.full_name in found else None,
    )


def vector(values: Sequence[float]) -> bytes:
    """Return the bytes of a template's vector."""
    return np.asarray(values, "<f4").tobytes()


def unit(seed: int, dimension: int = 16) -> bytes:
    """Return a random vector's bytes; of two seeds they are not similar."""
    return vector(np.random.default_rng((seed, 7)).normal(size=dimension).tolist())


def alike(seed: int, count: int, dimension: int = 16) -> list[Sample]:
    """Return templates of one face: each two have a cosine of 0.84 at least."""
    random = np.random.default_rng((seed, 8))
    face = random.normal(size=dimension)

    def near() -> bytes:
        noise = random.normal(size=dimension)
        return vector((face / np.linalg.norm(face) + 0.3 * noise / np.linalg.norm(noise)).tolist())

    return [Sample(template=Template(vector=near())) for _ in range(count)]


def template(seed: int, dimension: int = 16, model: str = "") -> Sample:
    """Return a sample that is a random template."""
    return Sample(template=Template(vector=unit(seed, dimension), model=model))
