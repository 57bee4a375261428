"""Results from other threads, waited for in an event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from gerbang_service.threads.told import done

WAIT_S = 5.0


def test_what_another_thread_completes_wakes_who_waits() -> None:
    """With a result, or with an error: that is the future's own to tell."""

    async def main() -> None:
        good: Future[int] = Future()
        bad: Future[int] = Future()

        def work() -> None:
            good.set_result(7)
            bad.set_exception(ValueError("no"))

        threading.Timer(0.01, work).start()
        async with asyncio.timeout(WAIT_S):
            await done(good)
            await done(bad)
        assert good.result() == 7
        with pytest.raises(ValueError, match="no"):
            bad.result()

    asyncio.run(main())


def test_many_that_are_completed_in_the_loop_wake_all_who_wait() -> None:
    """As a thread has it done for a whole group."""

    async def main() -> None:
        futures: list[Future[int]] = [Future() for _ in range(100)]
        loop = asyncio.get_running_loop()

        def complete() -> None:
            for number, each in enumerate(futures):
                each.set_result(number)

        threading.Timer(0.01, lambda: loop.call_soon_threadsafe(complete)).start()
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*map(done, futures))
        assert [each.result() for each in futures] == list(range(100))

    asyncio.run(main())


def test_who_stops_waiting_cancels_nothing() -> None:
    """What is being written can't be called back, and may be waited for again."""

    async def main() -> None:
        future: Future[int] = Future()
        waiting = asyncio.ensure_future(done(future))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not future.cancelled()
        future.set_result(1)
        async with asyncio.timeout(WAIT_S):
            await done(future)

    asyncio.run(main())
