"""Working on many items of a stream at once, answered as each is ready; and what all streams share."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from gerbang_service.access import calls
from gerbang_service.access.identity import LOCAL
from gerbang_service.domain.errors import Overloaded, ShuttingDown
from gerbang_service.rpc.deserializing import Unreadable

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Streams last: who has too many may try again when one has ended, not at once.
_STREAM_RETRY_S: Final = 5.0


class Drain:
    """Says when streams must take no more items: those that they took are answered, then they end."""

    def __init__(self) -> None:
        self._begun = False
        self._readers: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """End all streams after what they have taken."""
        self._begun = True
        for reader in self._readers:
            reader.cancel()

    async def read(self, source: AsyncIterator[Item], take: Callable[[Item], None], places: asyncio.Semaphore) -> None:
        """Hand every item of `source` to `take`, each after a place was free, as a task of its own.

        Raises ShuttingDown between two items once draining began, and FieldInvalid at one that can't be read.
        """
        reader = asyncio.current_task()
        assert reader is not None  # noqa: S101 - a coroutine runs in a task
        self._readers.add(reader)
        try:
            while not self._begun:
                # The place first: an item that was taken is answered, whatever happens meanwhile.
                await places.acquire()
                item = await anext(source)
                if isinstance(item, Unreadable):
                    raise item.error
                take(item)
        except StopAsyncIteration:
            return
        except asyncio.CancelledError:
            if not self._begun:
                raise
        finally:
            self._readers.discard(reader)
        raise ShuttingDown("the server is shutting down; what was answered before this is done")


class OpenStreams:
    """Counts the open streams of each caller, up to `limit`. Belongs to the event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many are open, of all callers. May be asked from any thread."""
        return sum(list(self._open.values()))

    @contextmanager
    def admit(self, peer: str) -> Iterator[None]:
        """Hold one of the caller's places; raise Overloaded when there is none.

        `peer`: gRPC's name of the other end. Callers that are known by no name of their own are told apart by its host.
        """
        caller = calls.caller()
        key = f"{caller.name} at {peer.rpartition(':')[0]}" if caller is LOCAL else caller.name
        if self._open[key] >= self._limit:
            raise Overloaded(
                f"{self._limit} streams are open already, the most that one caller may have",
                retry_after_s=_STREAM_RETRY_S,
                limit=self._limit,
            )
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


async def as_ready(
    source: AsyncIterator[Item], drain: Drain, work: Callable[[Item, bool], Awaitable[Answer]], *, window: int
) -> AsyncIterator[Answer]:
    """Yield work(item, alone) for every item of `source`, as each is ready; alone: no other is worked on as it comes.

    At most `window` were taken and not yielded yet: of a client that does not read its answers nothing more is taken.
    `work` must not raise for a bad item. An error of `source`, or ShuttingDown, is raised after the answers to what it
    gave.
    """
    answers: asyncio.Queue[Answer | None] = asyncio.Queue()
    places = asyncio.Semaphore(window)
    working: set[asyncio.Task[None]] = set()

    async def answer(item: Item, alone: bool) -> None:  # noqa: FBT001 - private
        answers.put_nowait(await work(item, alone))

    def take(item: Item) -> None:
        task = asyncio.create_task(answer(item, not working))
        working.add(task)
        task.add_done_callback(working.discard)

    async def read() -> None:
        try:
            await drain.read(source, take, places)
        finally:
            if working:
                await asyncio.wait(working)
            answers.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        while (ready := await answers.get()) is not None:
            yield ready
            places.release()
        await reader
    finally:
        reader.cancel()
        for task in working:
            task.cancel()
