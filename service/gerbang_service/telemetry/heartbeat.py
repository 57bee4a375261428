"""Whether the event loop still turns."""

from __future__ import annotations

import asyncio
import time

# A loop that turns is never late by more than a garbage collection; calls wait for it all the while.
_EVERY_S = 0.5
STUCK_AFTER_S = 5.0


class Heartbeat:
    """A task in the event loop that notes the time. `age_s` may be asked from any thread."""

    def __init__(self) -> None:
        self._beat_at = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._beat())

    @property
    def age_s(self) -> float:
        """Seconds since the loop last turned."""
        return time.monotonic() - self._beat_at

    def stop(self) -> None:
        """End the task."""
        self._task.cancel()

    async def _beat(self) -> None:
        while True:
            self._beat_at = time.monotonic()
            await asyncio.sleep(_EVERY_S)
