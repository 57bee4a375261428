"""Writes what became of calls into the log."""

from __future__ import annotations

import logging
from typing import Any, Final

from google.rpc import status_pb2

from gerbang_service.access.calls import Call, OneByOne
from gerbang_service.telemetry.statuses import claimed, reason_of, status_name

log = logging.getLogger("gerbang_service.calls")

# A failure is a line at INFO, since the caller can mend it or has to be told of, but for these.
_LEVELS: Final = {
    "INTERNAL": logging.ERROR,
    "STORE_UNAVAILABLE": logging.WARNING,
    "AUDIT_UNAVAILABLE": logging.WARNING,
    # Of these there may be thousands a second, all for one cause that metrics and other lines tell of.
    "OVERLOADED": logging.DEBUG,
    "CANCELLED": logging.DEBUG,
    "NOT_READY": logging.DEBUG,
    "SHUTTING_DOWN": logging.DEBUG,
}


class CallLog(OneByOne):
    """An Observer that writes a line for each call that failed, and at DEBUG for each that did not.

    Of what was asked it says nothing, and a failure's text quotes it: ids, and perhaps a label. Belongs to the
    event loop.
    """

    async def answered(self, call: Call, request: Any, response: Any) -> None:  # noqa: ANN401, ARG002
        """Write a line at DEBUG."""
        if log.isEnabledFor(logging.DEBUG):
            extra = {"status": "OK", "duration": round(call.seconds, 6)}
            log.debug("%s answered, request %s, %s", call.rpc, call.request_id, _whose(call), extra=extra)

    async def failed(self, call: Call, request: Any, status: status_pb2.Status) -> None:  # noqa: ANN401, ARG002
        """Write a line at the level of the reason."""
        reason = reason_of(status)
        level = _LEVELS.get(reason, logging.INFO)
        if log.isEnabledFor(level):
            extra = {"status": status_name(status), "reason": reason, "duration": round(call.seconds, 6)}
            whose = _whose(call)
            if shown := claimed(status):
                extra["claimed"] = shown
                whose += f" who showed {shown}"
            log.log(level, "%s failed: %s, request %s, %s", call.rpc, reason, call.request_id, whose, extra=extra)


def _whose(call: Call) -> str:
    if call.identity is None:
        return "from an unknown caller"
    return f"from {call.identity.name} ({call.identity.role.value})"
