"""What the services of `benchmarks.contest.service` search with: hnswlib over a pool of threads, or flat in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeAlias

import numpy as np
from benchmarks.contenders import HnswPeer
from benchmarks.galleries import Rows, Vectors

Found: TypeAlias = tuple[Rows, Vectors]


class Engine(Protocol):
    """Answers from an event loop."""

    async def one(self, probe: Vectors) -> Found:
        """Return the 5 best rows of a probe, float32 (dimension,), and their similarities; both (5,)."""

    async def many(self, probes: Vectors) -> Found:
        """Return the same of each probe, float32 (n, dimension); both (n, 5)."""


class HnswPool:
    """A graph walk a probe, on one of `threads` threads; a batch is shared among them by hnswlib."""

    def __init__(self, graph: HnswPeer, ef: int, threads: int) -> None:
        graph.set_ef(ef)
        self._graph = graph
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)

    async def one(self, probe: Vectors) -> Found:
        """Search for one."""
        loop = asyncio.get_running_loop()
        rows, similarities = await loop.run_in_executor(self._pool, self._graph.search, probe[np.newaxis])
        return rows[0], similarities[0]

    async def many(self, probes: Vectors) -> Found:
        """Search for all."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._graph.search, probes, self._threads)


class FlatBatches:
    """Exact: while one batch is compared, arriving probes queue; the next batch takes all of them, up to `most`."""

    def __init__(self, search: Callable[[Vectors], Found], most: int) -> None:
        self._search = search
        self._most = most
        self._pool = ThreadPoolExecutor(1)
        self._waiting: list[tuple[Vectors, asyncio.Future[Found]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def one(self, probe: Vectors) -> Found:
        """Search for one, with whatever else is waiting."""
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((probe, answer))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def many(self, probes: Vectors) -> Found:
        """Search for all, as one batch."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._search, probes)

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            rows, similarities = await self.many(np.stack([probe for probe, _ in batch]))
            for (_, answer), *found in zip(batch, rows, similarities, strict=True):
                if not answer.done():
                    answer.set_result((found[0], found[1]))
