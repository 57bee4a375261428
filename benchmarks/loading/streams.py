"""Streams in a closed loop (a new item when one is answered) or an open one (items at fixed times)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.loading.failures import of_call, of_status
from benchmarks.loading.kinds import Asked, item, numbered
from benchmarks.loading.tally import Counting
from grpc import aio
from numpy.typing import NDArray


class Stream:
    """One stream of a phase: what was sent on it and is not answered yet."""

    def __init__(self, method: Any, deck: Iterator[Asked], counting: Counting, deadline_s: float) -> None:  # noqa: ANN401
        """`deadline_s`: of the whole stream."""
        self._call = method(timeout=deadline_s)
        self._deck = deck
        self._counting = counting
        self._waiting: dict[int, tuple[Asked, float]] = {}
        self._next = 0
        self._first = 0
        self._places = asyncio.Semaphore(0)

    async def closed(self, in_flight: int) -> None:
        """Keep items in flight until the window ends, and wait for the last ones."""
        try:
            for _ in range(in_flight):
                await self._send(time.perf_counter())
            while await self._receive():
                if (now := time.perf_counter()) < self._counting.end:
                    await self._send(now)
                elif not self._waiting:
                    await self._call.done_writing()
        except aio.AioRpcError as error:
            self._fail(error)

    async def opened(self, times: NDArray[Any], most_waiting: int) -> None:
        """Send an item at each of the times (on time.perf_counter's clock, ascending); wait for the last answers."""
        self._places = asyncio.Semaphore(most_waiting)
        try:
            await asyncio.gather(self._send_all(times), self._receive_all())
        except aio.AioRpcError as error:
            self._fail(error)

    async def _send_all(self, times: NDArray[Any]) -> None:
        for intended in times.tolist():
            if (early := intended - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            await self._places.acquire()
            self._counting.sent(intended, time.perf_counter())
            await self._send(intended)
        await self._call.done_writing()

    async def _receive_all(self) -> None:
        while await self._receive():
            pass

    async def _send(self, intended: float) -> None:
        asked, number = next(self._deck), self._next
        self._waiting[number] = (asked, intended)
        self._next += 1
        await self._call.write(asked.body if self._counting.kind.ordered else numbered(asked.body, number))

    async def _receive(self) -> bool:
        """Count the next answer; return False at the stream's end."""
        answer = await self._call.read()
        if answer is aio.EOF:
            if self._waiting:
                # Reading it raises what the stream ended with; ending well with items unanswered is the server's fault.
                await self._call
                raise RuntimeError(f"the stream ended with {len(self._waiting)} items unanswered")
            return False
        number, error = item(self._counting.kind, answer)
        if self._counting.kind.ordered:
            number, self._first = self._first, self._first + 1
        asked, intended = self._waiting.pop(number)
        self._places.release()
        if error:
            self._counting.failure(of_status(error), intended)
        else:
            self._counting.answer(asked, answer, intended)
        return True

    def _fail(self, error: aio.AioRpcError) -> None:
        for _, intended in self._waiting.values():
            self._counting.failure(of_call(error), intended)
