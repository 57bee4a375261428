"""Working on many items of a stream at once, answered as each is ready or in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from gerbang_service.domain.errors import ShuttingDown

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Drain:
    """Says when streams must take no more items: those that they took are answered, then they end."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """End all streams after what they have taken."""
        self._begun.set()

    async def until(self, source: AsyncIterator[Item]) -> AsyncIterator[Item]:
        """Yield the items of `source` up to its end; raise ShuttingDown between two of them once draining began."""
        begun = asyncio.ensure_future(self._begun.wait())
        try:
            while True:
                item = asyncio.ensure_future(anext(source))
                await asyncio.wait((item, begun), return_when=asyncio.FIRST_COMPLETED)
                if not item.done():
                    item.cancel()
                    with suppress(asyncio.CancelledError):
                        await item
                    raise ShuttingDown("the server is shutting down; what was answered before this is done")
                try:
                    yield item.result()
                except StopAsyncIteration:
                    return
        finally:
            begun.cancel()


class Turns:
    """Lets tasks that were started in order do one part of their work in that order."""

    def __init__(self) -> None:
        self._previous: asyncio.Future[None] | None = None

    def next(self) -> Turn:
        """Return the turn after the one returned before."""
        turn = Turn(self._previous)
        self._previous = turn.over
        return turn


class Turn:
    """A task's place in the order: `await turn.comes()`, do the part, `turn.end()`; ending twice does no harm."""

    def __init__(self, previous: asyncio.Future[None] | None) -> None:
        self._previous = previous
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def comes(self) -> None:
        """Wait until all earlier turns are over."""
        if self._previous is not None:
            await asyncio.shield(self._previous)

    def end(self) -> None:
        """Let the next turn come."""
        if not self.over.done():
            if self._previous is not None and not self._previous.done():
                # Gave up before its turn came: the next one still has to wait for the earlier ones.
                self._previous.add_done_callback(lambda _: self.end())
            else:
                self.over.set_result(None)


async def as_ready(
    source: AsyncIterator[Item], work: Callable[[Item], Awaitable[Answer]], *, window: int
) -> AsyncIterator[Answer]:
    """Yield work(item) for every item of `source`, as each is ready; at most `window` are worked on at once.

    `work` must not raise for a bad item. An error of `source` is raised after the answers to what it gave.
    """
    end = object()
    answers: asyncio.Queue[object] = asyncio.Queue()
    places = asyncio.Semaphore(window)

    async def answer(item: Item) -> None:
        try:
            answers.put_nowait(await work(item))
        finally:
            places.release()

    async def read() -> None:
        async with asyncio.TaskGroup() as tasks:
            failure: ShuttingDown | None = None
            try:
                async for item in source:
                    await places.acquire()
                    tasks.create_task(answer(item))
            except ShuttingDown as draining:
                failure = draining  # raised outside of the group, which would cancel what is being worked on
        if failure is not None:
            raise failure

    reader = asyncio.ensure_future(read())
    reader.add_done_callback(lambda _: answers.put_nowait(end))
    try:
        while (ready := await answers.get()) is not end:
            yield ready  # type: ignore[misc]  # the queue holds answers and the end
        await reader
    finally:
        reader.cancel()


async def in_order(
    source: AsyncIterator[Item], work: Callable[[Item, Turn], Awaitable[Answer]], *, window: int
) -> AsyncIterator[Answer]:
    """Yield work(item, turn) for every item of `source`, in order; at most `window` are worked on at once."""
    turns = Turns()
    tasks: asyncio.Queue[asyncio.Future[Answer] | None] = asyncio.Queue(window)

    async def read() -> None:
        try:
            async for item in source:
                await tasks.put(asyncio.ensure_future(work(item, turns.next())))
        finally:
            await tasks.put(None)

    reader = asyncio.ensure_future(read())
    started: asyncio.Future[Answer] | None = None
    try:
        while (started := await tasks.get()) is not None:
            yield await started
        await reader
    finally:
        reader.cancel()
        while not tasks.empty():
            left = tasks.get_nowait()
            if left is not None:
                left.cancel()
        if started is not None:
            started.cancel()
