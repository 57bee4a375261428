"""The log: lines for people or JSON objects for programs, each with the call that it is about."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

from gerbang_service.access import calls
from gerbang_service.access.calls import Call
from gerbang_service.telemetry.trail import trail

log = logging.getLogger(__name__)

JSON: Final = "json"
_TEXT_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# What a record carries beyond the call: set by CallLog.
_OWN_FIELDS: Final = ("status", "reason", "duration", "claimed")
# Lines of one logger at one level within a second, at most.
_MOST_LINES: Final = 50
# Of what asyncio says.
_CONSTANT: Final = re.compile(r"[^\n(]*")


def configure(log_format: str, level: str) -> None:
    """Write the log of this process to stderr: `log_format` text or json, from `level` (a name) on.

    The level is that of the server itself; libraries say nothing below INFO, or `level` if that is more.
    """
    handler = logging.StreamHandler(sys.stderr)
    for each in (LibraryFilter(), LineLimit(), CallFilter()):
        handler.addFilter(each)
    handler.setFormatter(JsonFormatter() if log_format == JSON else logging.Formatter(_TEXT_FORMAT))
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler], force=True)
    logging.getLogger("gerbang_service").setLevel(number)
    # Libraries' warnings would be lines of another form.
    logging.captureWarnings(capture=True)


class LibraryFilter(logging.Filter):
    """Takes out of what gRPC and asyncio log whatever may quote a request: arguments, and the texts of exceptions."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave what is constant; of an exception that asyncio tells of, also its trail."""
        library = record.name.partition(".")[0]
        if library not in ("grpc", "asyncio"):
            return True
        error = record.exc_info[1] if record.exc_info else None
        text = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        record.args = record.exc_info = record.exc_text = None
        if library == "asyncio":
            # Behind it come what a callback was given, and the task with its exception.
            text = _CONSTANT.match(text)[0]  # type: ignore[index]  # matches whatever there is
            record.msg = text if error is None else f"{text}: {trail(error)}"
            return True
        record.msg = text
        if type(error).__name__ == "ExecuteBatchError":
            # Its client cancelled the call, or went away.
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
            return log.isEnabledFor(logging.DEBUG)
        return True


class LineLimit(logging.Filter):
    """Lets some lines a second pass of each logger and level, and then says how many it did not; all at DEBUG.

    Whoever calls without being let in, and a disk that is full already, must not fill the log. Metrics count all calls.
    """

    def __init__(self) -> None:
        super().__init__()
        # By logger and level: the second, and the lines that came in it. Threads may lose count of a few.
        self._lines: dict[tuple[str, int], tuple[int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether there is room for one more line in this second."""
        if record.levelno <= logging.DEBUG:
            return True
        key, now = (record.name, record.levelno), int(time.monotonic())
        second, lines = self._lines.get(key, (now, 0))
        if second == now:
            self._lines[key] = now, lines + 1
            return lines < _MOST_LINES
        self._lines[key] = now, 1
        if lines > _MOST_LINES:
            log.log(
                record.levelno, "%d more lines of %s within a second are left out", lines - _MOST_LINES, record.name
            )
        return True


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
