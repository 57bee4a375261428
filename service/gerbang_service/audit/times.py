"""Times as records have them: RFC 3339, UTC, microseconds."""

from __future__ import annotations

import time
from functools import lru_cache


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def rfc3339(nanoseconds: int) -> str:
    """Return a time given in ns since the epoch, such as 2026-11-24T13:00:00.000000Z."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06d}Z"
