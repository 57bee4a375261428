"""Calls -> records of the audit log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import lru_cache
from typing import Any

import grpc
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from google.rpc import error_details_pb2, status_pb2

from gerbang.v1 import matching_service_pb2 as pb
from gerbang_service.access.calls import Answered, Call
from gerbang_service.access.identity import Role
from gerbang_service.audit.history import COMMITTED
from gerbang_service.audit.log import AuditLog
from gerbang_service.domain.errors import AuditUnavailable
from gerbang_service.rpc import office_records as account
from gerbang_service.telemetry.statuses import claimed
from gerbang_service.threads.told import done

log = logging.getLogger(__name__)

_STATUS = {code.value[0]: code.name for code in grpc.StatusCode}
# Whose record is durable before the answer, also where nothing came to be changed.
_CHANGING = frozenset(
    {"Enroll", "EnrollStream", "CreateWatchlist", "UpdateWatchlist", "DeleteWatchlist"}
    | {"UpdateSubject", "DeleteSubject", "DeleteTemplate", "ConfirmProposal", "WithdrawProposal"}
)
# Whose answers come from templates of the recogniser that the record names.
_MATCHING = frozenset(
    {"Enroll", "EnrollStream", "Identify", "IdentifyStream", "IdentifyBatch", "Verify", "Extract", "MeasureRecall"}
)
# Of what a failure tells besides its reason, what is recorded.
_TOLD = ("field", "sample", "proposal_id")
# A fingerprint's first characters tell recognisers apart; the record of the server's start has it whole.
_MODEL_CHARACTERS = 16

# Records of a batch made before other calls get a turn: a quarter of a millisecond.
_RECORDS_AT_ONCE = 16

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Recorder:
    """An observer that records every call. Belongs to the event loop."""

    def __init__(self, audit: AuditLog, model: str) -> None:
        """`model`: fingerprint of the recogniser whose templates are compared."""
        self._audit = audit
        self._model = model[:_MODEL_CHARACTERS]
        # Of changes, and their revisions, not handed over yet; and what is done when they are durable.
        self._changes: list[tuple[bytes, int | None]] = []
        self._durable: asyncio.Future[None] | None = None

    async def answered(self, call: Call, request: Any, response: Any) -> None:  # noqa: ANN401 - protobuf messages
        """Record an answer; that of a change is durable when this returns. Raises AuditUnavailable."""
        if call.rpc == "IdentifyBatch":
            opening = _opening(call)
            for number, (one, answer) in enumerate(zip(request.requests, response.responses, strict=True)):
                self._audit.append(_joined(opening, self._batched(number, one, answer)))
                if number % _RECORDS_AT_ONCE == _RECORDS_AT_ONCE - 1:
                    await asyncio.sleep(0)
            return
        await self._put(call, self._answer(call, request, response))

    async def answered_all(self, answered: Sequence[Answered]) -> None:
        """Record the answers to items of a stream: those of changes are durable when this returns, all at once."""
        durable = None
        for call, request, response in answered:
            durable = self._keep(call, self._answer(call, request, response)) or durable
        if durable is not None:
            await _seen_through(durable)

    def _answer(self, call: Call, request: Any, response: Any) -> dict[str, Any]:  # noqa: ANN401
        answered = account.answered(response)
        if call.rpc in _MATCHING:
            answered["model"] = self._model
        return {"asked": account.asked(request), "answered": answered}

    async def failed(self, call: Call, request: Any, status: status_pb2.Status) -> None:  # noqa: ANN401
        """Record a failure. `request`: None when the call failed as a stream."""
        # Of what is asked by who was not let in, nothing is taken over.
        let_in = request is not None and call.identity is not None
        record: dict[str, Any] = {"asked": account.asked(request)} if let_in else {}
        if shown := claimed(status):
            record["claimed"] = shown
        record["failed"] = _failure(status)
        # That there was no room for it is counted by the log, and why it was not durable has been said.
        with suppress(AuditUnavailable):
            await self._put(call, record)

    def _batched(self, number: int, request: pb.IdentifyRequest, response: pb.IdentifyResponse) -> dict[str, Any]:
        record = {"asked": account.asked(request), "in_batch": number}
        if response.HasField("error"):
            return {**record, "failed": _failure(response.error)}
        return {**record, "answered": {**account.answered(response), "model": self._model}}

    async def _put(self, call: Call, record: dict[str, Any]) -> None:
        durable = self._keep(call, record)
        if durable is not None:
            await _seen_through(durable)

    def _keep(self, call: Call, record: dict[str, Any]) -> asyncio.Future[None] | None:
        """Have a record written; return what is done when it is durable, for one whose answer waits for that.

        Those of one turn of the event loop are handed over together: they are made durable by one fsync.
        """
        encoded = _joined(_opening(call), record)
        if call.revision is None and (call.rpc not in _CHANGING or "failed" in record):
            self._audit.append(encoded)
            return None
        loop = asyncio.get_running_loop()
        if self._durable is None:
            self._durable = loop.create_future()
            loop.call_soon(self._hand_over)
        self._changes.append((encoded, call.revision))
        return self._durable

    def _hand_over(self) -> None:
        changes, self._changes = self._changes, []
        durable, self._durable = self._durable, None
        assert durable is not None  # noqa: S101 - made with the first of them
        try:
            written = self._audit.write_all(changes)
        except Exception as error:  # noqa: BLE001 - handed to who waits
            durable.set_exception(error)
            return
        done(written).add_done_callback(lambda _: _pass_on(written, durable))


def _pass_on(written: Future[None], durable: asyncio.Future[None]) -> None:
    if durable.done():
        return
    if (error := written.exception()) is None:
        durable.set_result(None)
    else:
        durable.set_exception(error)
        durable.exception()  # whoever waited may have gone


def _opening(call: Call) -> str:
    """Return the beginning of a call's records: which, whose, how long; a JSON object without its last brace."""
    identity = call.identity
    name, role = (None, None) if identity is None else (identity.name, identity.role)
    who = _who(name, role, call.peer, call.rpc)
    committed = "" if call.revision is None else f',"{COMMITTED}":{call.revision}'
    return f'{{"request_id":"{call.request_id}",{who},"ms":{call.seconds * 1000:.3f}{committed}'


@lru_cache(maxsize=1024)
def _who(name: str | None, role: Role | None, peer: str, rpc: str) -> str:
    """Return what is the same in all records of a caller's calls: a JSON object without its braces."""
    facts = {"identity": name, "role": None if role is None else role.value, "peer": peer, "rpc": rpc}
    return _encode(facts)[1:-1]


def _joined(opening: str, rest: dict[str, Any]) -> bytes:
    """Return a record of its beginning and the rest, at least one fact."""
    return f"{opening},{_encode(rest)[1:]}".encode()


async def _seen_through(durable: asyncio.Future[None]) -> None:
    """Wait until records are durable, also when the caller goes away meanwhile: the call then counts as answered.

    Cancelled once more, as the event loop does with all that is left in the end, it is given up.
    """
    try:
        await asyncio.shield(durable)
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
        await asyncio.shield(durable)


def _failure(status: status_pb2.Status) -> dict[str, str]:
    """Return the status, and the reason and field of its details."""
    failure = {"status": _STATUS.get(status.code, str(status.code))}
    details: RepeatedCompositeFieldContainer[Any] = status.details
    for detail in details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            failure["reason"] = info.reason
            failure |= {name: info.metadata[name] for name in _TOLD if name in info.metadata}
    return failure
