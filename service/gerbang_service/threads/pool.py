"""Threads for blocking work, so that the event loop never blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TypeVar

from gerbang_service.threads.admission import Admission, Deadline

T = TypeVar("T")


class Pool:
    """Threads for one kind of work, behind an admission. `run` belongs to the event loop."""

    def __init__(
        self, threads: int, admission: Admission, name: str, *, begin: Callable[[], object] | None = None
    ) -> None:
        """`begin` is called in each thread before its first work."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=begin)
        self._admission = admission
        self._lane = max(1, min(2 * threads, admission.limit))

    @property
    def pending(self) -> int:
        """Pieces of work that wait or run."""
        return self._admission.admitted

    @property
    def limit(self) -> int:
        """How many pieces of work may wait or run."""
        return self._admission.limit

    def lane(self) -> asyncio.Semaphore:
        """Return what makes one call's many pieces of work take turns.

        Wide enough to keep all threads busy, and narrow enough that a call does not overload the server all alone.
        """
        return asyncio.Semaphore(self._lane)

    async def run(self, work: Callable[[], T], deadline: Deadline, lane: asyncio.Semaphore | None = None) -> T:
        """Run `work` in a thread, after its turn in `lane`; raises Overloaded, DeadlineTooShort, or what it raises.

        When the caller goes away before the work was started, it is not started.
        """

        def checked() -> T:
            deadline.check()
            return work()

        async with lane or nullcontext():
            with self._admission.admit():
                return await asyncio.get_running_loop().run_in_executor(self._pool, checked)

    def stop(self) -> None:
        """Finish what runs and end the threads."""
        self._pool.shutdown(cancel_futures=True)
