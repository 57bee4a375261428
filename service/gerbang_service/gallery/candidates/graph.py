"""The HNSW graph over the templates: a fast hint at who may be similar, never the truth.

It follows the table from behind: a thread of its own adds what is missing in short slices, so that no search waits long
for it, and builds a new graph beside the old one when too much of that is deleted.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.candidates.hnsw import Hnsw
from gerbang_service.gallery.candidates.shared_lock import SharedLock
from gerbang_service.gallery.table import Table

log = logging.getLogger(__name__)

# Time that one slice of insertions may hold searches up, seconds: about that of a search among 100,000.
_SLICE_S = 0.0005
# While people are being enrolled, and this long afterwards, seconds, the graph pauses so many times as long as it adds:
# searches find who is new without it, and bulk enrolment needs the processor more.
_QUIET_S = 0.2
_PAUSES = 9
# Below this many nodes a rebuild is not worth its while.
_SMALLEST_REBUILT = 1024
_BATCH = 4096


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """`m`, `ef_construction`, `ef`: of HNSW. `max_tombstones`: share of deleted nodes from which on it is rebuilt."""

    m: int = 16
    ef_construction: int = 100
    ef: int = 16
    max_tombstones: float = 0.2


@dataclass(frozen=True, slots=True)
class GraphProgress:
    """How far the graph follows: live templates in it, live ones still pending, deleted ones still in it."""

    indexed: int
    pending: int
    tombstones: int


class Graph:
    """Follows a table. `wake` and `remove` belong to the table's writer, the rest to any thread."""

    def __init__(self, table: Table, directions: NDArray[np.float32], settings: GraphSettings) -> None:
        """`directions`: float32 (dimension, directions): what of the templates is in the graph."""
        self._table = table
        self._directions = np.ascontiguousarray(directions)
        self._settings = settings
        self._lock = SharedLock()
        self._changed = threading.Condition()
        self._work = False
        self._running = False
        self._thread: threading.Thread | None = None
        self._serving = self._empty()
        self._building: Hnsw | None = None
        self._slice = 1
        self._woken = 0.0

    def _empty(self) -> Hnsw:
        settings = self._settings
        return Hnsw(
            self._directions.shape[1],
            self._table.columns.capacity,
            m=settings.m,
            ef_construction=settings.ef_construction,
            ef=settings.ef,
        )

    def start(self) -> None:
        """Start following the table."""
        self._running = self._work = True
        self._thread = threading.Thread(target=self._follow, name="graph", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following; what is pending stays so."""
        with self._changed:
            self._running = False
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Note that rows were added to the table."""
        self._woken = time.monotonic()
        with self._changed:
            self._work = True
            self._changed.notify_all()

    def remove(self, row: int) -> None:
        """Forget a row that left the table."""
        with self._changed:
            self._serving.remove(row)
            if self._building is not None:
                self._building.remove(row)
            if self._is_worn(self._serving):
                self._work = True
                self._changed.notify_all()

    def pending_rows(self) -> NDArray[np.int64]:
        """Return the live rows that are not in the graph: whoever relies on it must look at these as well."""
        return self._missing(self._serving)

    def progress(self) -> GraphProgress:
        """Tell how far the graph follows the table."""
        with self._changed:
            serving = self._serving
            return GraphProgress(serving.count, self._table.live_count - serving.count, serving.tombstones)

    def candidates(self, rotated: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """Return up to `k` rows that may be similar to each probe; int64 (probes, <= k), -1 for none.

        `rotated`: float32 (probes, >= directions), the probes after the rotation.
        """
        probes = np.ascontiguousarray(rotated[:, : self._directions.shape[1]])
        with self._lock.shared():
            return self._serving.query(probes, k)

    # --- following, in the graph's own thread -----------------------------------------------------------------------

    def _follow(self) -> None:
        while True:
            with self._changed:
                while self._running and not self._work:
                    self._changed.wait()
                if not self._running:
                    return
                self._work = False
            while self._running and self._is_worn(self._serving):  # again, if much was deleted meanwhile
                self._rebuild()
            self._catch_up(self._serving)

    def _is_worn(self, graph: Hnsw) -> bool:
        worn = graph.tombstones > self._settings.max_tombstones * graph.labels
        return worn and self._building is None and graph.labels >= _SMALLEST_REBUILT

    def _rebuild(self) -> None:
        started = time.monotonic()
        with self._changed:
            self._building = self._empty()
        self._catch_up(self._building)
        with self._lock.exclusive(), self._changed:
            if self._running:
                self._serving = self._building
            self._building = None
        log.info("rebuilt the graph of %d templates in %.1f s", self._serving.count, time.monotonic() - started)

    def _catch_up(self, graph: Hnsw) -> None:
        while self._running:
            missing = self._missing(graph)[:_BATCH]
            if not len(missing):
                return
            while len(missing) and self._running:
                now, missing = np.split(missing, [self._slice])
                started = time.monotonic()
                self._add_slice(graph, now)
                elapsed = time.monotonic() - started
                if started - self._woken < _QUIET_S:
                    time.sleep(_PAUSES * elapsed)

    def _missing(self, graph: Hnsw) -> NDArray[np.int64]:
        columns = self._table.columns
        return np.flatnonzero(columns.live[: columns.rows] & ~graph.holds(columns.rows))

    def _add_slice(self, graph: Hnsw, rows: NDArray[np.int64]) -> None:
        # As a reader of the table: a row must not be given to another template between reading and recording it.
        with self._table.readers.reading():
            columns = self._table.columns
            rows = rows[columns.live[rows]]
            if not len(rows):
                return
            vectors = columns.vectors[rows] @ self._directions
            with self._lock.exclusive():
                started = time.perf_counter()
                graph.add(rows, vectors)
                elapsed = time.perf_counter() - started
            with self._changed:
                for row in rows[~self._table.columns.live[rows]].tolist():  # deleted while it was added
                    graph.remove(row)
        self._slice = int(np.clip(len(rows) * _SLICE_S / elapsed, 1, 2 * self._slice))
