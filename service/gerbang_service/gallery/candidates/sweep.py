"""The sweep: a generator that looks at every template in every search, by its sketch.

Sketches lie in shards. Growing adds one, and copies a small one at most; a search that is alone has its shards scanned
by as many processors as are idle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Semaphore
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.candidates.one_thread import search_alone
from gerbang_service.gallery.candidates.port import Added, Among, GeneratorProgress, Probes, Proposal
from gerbang_service.gallery.candidates.sketches import Shard, sign_codes

SHARD_ROWS: Final = 2**18
"""Rows of a shard: enough that to hand it to another thread costs nothing beside its scan (docs/search.md)."""
_SMALLEST: Final = 1024
_GROWTH: Final = 1.25


class Sweep:
    """A Generator over one-bit sketches; required: it is who misses nobody."""

    name: Final = "sweep"
    required: Final = True

    def __init__(self, bits: int, capacity: int = 0, processors: int = 1) -> None:
        """`bits`: of a sketch, a multiple of 8; `capacity`: rows to make room for; `processors`: for one search."""
        self._bits = bits
        self._shards: list[Shard] = []
        self._indexed = 0
        self._helpers = processors - 1
        self._idle = Semaphore(self._helpers)
        self._pool: ThreadPoolExecutor | None = None
        self._make_room(max(capacity, _SMALLEST))

    def start(self) -> None:
        """Start the helpers."""
        if self._helpers:
            self._pool = ThreadPoolExecutor(self._helpers, "sweep", initializer=search_alone)

    def stop(self) -> None:
        """End the helpers."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def progress(self) -> GeneratorProgress:
        """Tell how many rows are sketched: always all."""
        return GeneratorProgress(self.name, self._indexed)

    # --- following --------------------------------------------------------------------------------------------------

    def added(self, new: Added) -> None:
        """Sketch rows; they can be proposed at once."""
        self._make_room(int(new.rows.max()) + 1)
        self._write(new.rows, sign_codes(new.rotated[:, : self._bits]))
        self._indexed += len(new.rows)

    def removed(self, rows: NDArray[np.int64]) -> None:
        """Overwrite sketches with zeros."""
        self._write(rows, np.zeros((len(rows), self._bits // 4), np.uint8))
        self._indexed -= len(rows)

    def _write(self, rows: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        shards = rows // SHARD_ROWS
        for shard in np.unique(shards).tolist():
            here = shards == shard
            self._shards[shard].write(rows[here], codes[here])

    def _make_room(self, rows: int) -> None:
        while (last := self._shards[-1] if self._shards else None) is None or rows > last.first + last.capacity:
            if last is None or last.capacity == SHARD_ROWS:
                first = len(self._shards) * SHARD_ROWS
                self._shards.append(Shard(self._bits, first, min(max(rows - first, _SMALLEST), SHARD_ROWS)))
            else:
                wanted = max(rows - last.first, int(_GROWTH * last.capacity))
                self._shards[-1] = last.larger(min(wanted, SHARD_ROWS))

    # --- proposing --------------------------------------------------------------------------------------------------

    def propose(self, probes: Probes, count: int, among: Among) -> Proposal:
        """Return the `count` most similar rows of each probe by their sketches."""
        rotated = np.ascontiguousarray(probes.rotated[:, : self._bits])
        bits, shards = among.bits, self._shards[:]
        assert bits is not None  # noqa: S101 - few rows are compared, not proposed
        if len(shards) == 1:
            return Proposal(shards[0].scan(rotated, count, bits)[1])
        found = self._scan(shards, rotated, count, bits)
        scores = np.concatenate([each[0] for each in found], axis=1)
        rows = np.concatenate([each[1] for each in found], axis=1)
        scores[rows < 0] = -np.inf
        best = np.argpartition(scores, -count, axis=1)[:, -count:]
        return Proposal(np.take_along_axis(rows, best, axis=1))

    def _scan(
        self, shards: list[Shard], rotated: NDArray[np.float32], count: int, bits: NDArray[np.uint8]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Scan shards, together with helpers that have nothing else to do."""
        waiting = deque(shards)
        found: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []

        def work() -> None:
            while True:
                try:
                    shard = waiting.popleft()
                except IndexError:
                    return
                found.append(shard.scan(rotated, count, bits))

        helpers = self._call(work, len(shards) - 1)
        try:
            work()
            for each in helpers:
                if not each.cancel():
                    each.result()
        finally:
            for _ in helpers:
                self._idle.release()
        return found

    def _call(self, work: Callable[[], None], most: int) -> list[Future[None]]:
        helpers: list[Future[None]] = []
        pool = self._pool
        while pool is not None and len(helpers) < most and self._idle.acquire(blocking=False):
            helpers.append(pool.submit(work))
        return helpers
