"""Threads for blocking work, so that the event loop never blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gerbang_service.admission import Admission, Deadline

T = TypeVar("T")


class Workers:
    """Threads for one kind of work, behind an admission. `run` belongs to the event loop."""

    def __init__(self, threads: int, admission: Admission, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._admission = admission

    async def run(self, work: Callable[[], T], deadline: Deadline) -> T:
        """Run `work` in a thread; raises Overloaded, DeadlineTooShort, or what it raises.

        When the caller goes away before the work was started, it is not started.
        """

        def checked() -> T:
            deadline.check()
            return work()

        with self._admission.admit():
            return await asyncio.get_running_loop().run_in_executor(self._pool, checked)

    def stop(self) -> None:
        """Finish what runs and end the threads."""
        self._pool.shutdown(cancel_futures=True)
