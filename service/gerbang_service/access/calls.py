"""A call in progress: who, what, since when. What access, audit, metrics and logs share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from google.rpc import status_pb2

from gerbang_service.access.identity import Identity
from gerbang_service.access.ids import new_id
from gerbang_service.domain.weakening import NOT_WEAKENED, Weakened

# Trailing metadata of every answer, and ErrorInfo.metadata of every failure: the id under which the call is logged.
REQUEST_ID_KEY = "gerbang-request-id"


@dataclass(slots=True)
class Call:
    """One call, or one item of a stream, which has the stream's id.

    `identity` is None until the caller is known; `started`: on the clock of time.perf_counter; `peer`: its address as
    gRPC writes it; `revision`: of the change that it made, None while it made none; `weakened`: by that change.
    """

    rpc: str
    request_id: str = field(default_factory=new_id)
    identity: Identity | None = None
    started: float = field(default_factory=time.perf_counter)
    peer: str = ""
    revision: int | None = None
    weakened: Weakened = NOT_WEAKENED

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.perf_counter() - self.started


Answered: TypeAlias = tuple[Call, Any, Any]
"""A call, its request, and its response, protobuf messages."""


class Observer(Protocol):
    """What is told of every call: audit, metrics. Its methods run in the event loop and must not block it."""

    async def answered(self, call: Call, request: Any, response: Any) -> None:  # noqa: ANN401 - protobuf messages
        """Note an answer before it is sent: of a unary call, or to one item of a stream. May raise GerbangError."""

    async def answered_all(self, answered: Sequence[Answered]) -> None:
        """Note the answers to items of a stream before one of them is sent. May raise GerbangError, for all of them."""

    async def failed(self, call: Call, request: Any, status: status_pb2.Status) -> None:  # noqa: ANN401
        """Note a failure before it is sent. `request`: None when the call failed as a stream. Must not raise."""


class OneByOne:
    """For observers that do no less for many answers than for each of them."""

    async def answered(self, call: Call, request: Any, response: Any) -> None:  # noqa: ANN401
        """See Observer."""
        raise NotImplementedError

    async def answered_all(self, answered: Sequence[Answered]) -> None:
        """Note each."""
        for each in answered:
            await self.answered(*each)


class Observers:
    """Several observers as one, told in order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    async def answered(self, call: Call, request: Any, response: Any) -> None:  # noqa: ANN401
        """Tell all; raises what the first one raises that does."""
        for each in self._observers:
            await each.answered(call, request, response)

    async def answered_all(self, answered: Sequence[Answered]) -> None:
        """Tell all; raises what the first one raises that does."""
        for each in self._observers:
            await each.answered_all(answered)

    async def failed(self, call: Call, request: Any, status: status_pb2.Status) -> None:  # noqa: ANN401
        """Tell all."""
        for each in self._observers:
            await each.failed(call, request, status)


_CALL: ContextVar[Call] = ContextVar("call")


def current() -> Call:
    """Return the call that this task works for."""
    return _CALL.get()


def current_or_none() -> Call | None:
    """Return the call that this task works for, if it works for one."""
    return _CALL.get(None)


def caller() -> Identity:
    """Return who this task works for. A call that nobody was let in for yet is a bug, and nobody's."""
    identity = _CALL.get().identity
    if identity is None:
        raise RuntimeError("nobody was let in for this call")
    return identity


def new_item() -> Call:
    """Return a call for one item of the stream that this task works for."""
    stream = _CALL.get()
    return Call(stream.rpc, stream.request_id, stream.identity, peer=stream.peer)


def begin_item() -> Call:
    """Make one item of a stream what this task works for. The task must be the item's own."""
    item = new_item()
    _CALL.set(item)
    return item


def enter(call: Call) -> None:
    """Make it the call that this task, and those it starts, work for."""
    _CALL.set(call)
