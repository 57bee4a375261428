"""The log: lines for people or JSON objects for programs, each with the call that it is about."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

from gerbang_service.rpc import calls
from gerbang_service.rpc.calls import Call

JSON: Final = "json"
_TEXT_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# What a record carries beyond the call: set by CallLog.
_OWN_FIELDS: Final = ("status", "reason", "duration")


def configure(log_format: str, level: str) -> None:
    """Write the log of this process to stderr: `log_format` text or json, from `level` (a name) on.

    The level is that of the server itself; libraries say nothing below INFO, or `level` if that is more.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(CallFilter())
    handler.setFormatter(JsonFormatter() if log_format == JSON else logging.Formatter(_TEXT_FORMAT))
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler], force=True)
    logging.getLogger("gerbang_service").setLevel(number)
    # Libraries' warnings would be lines of another form.
    logging.captureWarnings(capture=True)


class CallFilter(logging.Filter):
    """Adds the call that the task works for: `record.call`, None outside of calls. Lets everything pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add it."""
        record.call = calls.current_or_none()
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, process; in calls also whose and which."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        call: Call | None = getattr(record, "call", None)
        if call is not None:
            line |= _described(call)
        line |= {name: getattr(record, name) for name in _OWN_FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _described(call: Call) -> dict[str, str]:
    described = {"request_id": call.request_id, "rpc": call.rpc}
    if call.identity is not None:
        described |= {"identity": call.identity.name, "role": call.identity.role.value}
    return described
