"""Unary calls in a closed loop (a new call when one is answered) or an open one (calls at fixed times)."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeAlias

from benchmarks.loading.failures import of_call
from benchmarks.loading.kinds import Asked
from benchmarks.loading.tally import Counting
from grpc import aio
from numpy.typing import NDArray

Call: TypeAlias = Callable[..., Awaitable[Any]]


async def closed(
    calls: Sequence[Call], deck: Iterator[Asked], counting: Counting, clients: int, deadline_s: float
) -> None:
    """Keep `clients` calls in flight until the window ends, and wait for the last ones."""

    async def client(call: Call) -> None:
        while (started := time.perf_counter()) < counting.end:
            await _one(call, next(deck), counting, started, deadline_s)

    await asyncio.gather(*(client(calls[i % len(calls)]) for i in range(clients)))


async def opened(
    calls: Sequence[Call],
    deck: Iterator[Asked],
    counting: Counting,
    times: NDArray[Any],
    most_waiting: int,
    deadline_s: float,
) -> None:
    """Send a call at each of the times (on time.perf_counter's clock, ascending), and wait for the last answers."""
    places = asyncio.Semaphore(most_waiting)
    waiting: set[asyncio.Task[None]] = set()
    turns = itertools.cycle(calls)

    async def one(call: Call, asked: Asked, intended: float) -> None:
        try:
            await _one(call, asked, counting, intended, deadline_s)
        finally:
            places.release()

    for intended in times.tolist():
        if (early := intended - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        await places.acquire()
        counting.sent(intended, time.perf_counter())
        task = asyncio.create_task(one(next(turns), next(deck), intended))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    await asyncio.gather(*waiting)


async def _one(call: Call, asked: Asked, counting: Counting, intended: float, deadline_s: float) -> None:
    try:
        answer = await call(asked.body, timeout=deadline_s)
    except aio.AioRpcError as error:
        counting.failure(of_call(error), intended)
    else:
        counting.answer(asked, answer, intended)
