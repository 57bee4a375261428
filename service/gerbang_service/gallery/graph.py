"""The HNSW graph over the templates: a fast hint at who may be similar, never the truth.

The graph follows the table from behind: a thread of its own adds what is pending in short slices, so that no search
waits long for it. Labels are never used twice (nmslib/hnswlib issue 487); the graph is never saved (issue 677).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import hnswlib
import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.exclusion import SharedLock
from gerbang_service.gallery.table import Table

log = logging.getLogger(__name__)

# Time that one slice of insertions may hold searches up, seconds.
SLICE_S = 0.004
_SMALLEST = 1024
_SEED = 100  # of the random levels; hnswlib's own default


@dataclass(frozen=True, slots=True)
class GraphProgress:
    """How far the graph follows: live templates in it, live ones still pending, deleted ones still in it."""

    indexed: int
    pending: int
    tombstones: int


class Graph:
    """An hnswlib index that follows a table. `enqueue` and `remove` belong to the table's writer."""

    def __init__(self, table: Table, *, m: int, ef_construction: int, ef: int, threads: int) -> None:
        """Make an empty graph over `table`; `m`, `ef_construction`, `ef`: see settings; `threads`: for building."""
        self._table = table
        self._m, self._ef_construction, self._ef = m, ef_construction, ef
        self._threads = threads
        self._lock = SharedLock()
        self._changed = threading.Condition()
        self._queue: deque[int] = deque()
        self._pending: set[int] = set()
        self._slice = 8
        self._running = False
        self._thread: threading.Thread | None = None
        self._start_empty()

    def _start_empty(self) -> None:
        index = hnswlib.Index(space="ip", dim=self._table.dimension)
        capacity = max(_SMALLEST, self._table.columns.rows)
        index.init_index(capacity, M=self._m, ef_construction=self._ef_construction, random_seed=_SEED)
        index.set_ef(self._ef)
        self._index = index
        self._row_of_label = np.full(capacity, -1, np.int64)
        self._label_of_row: dict[int, int] = {}
        self._labels = 0
        self._tombstones = 0

    def start(self) -> None:
        """Start following the table."""
        self._running = True
        self._thread = threading.Thread(target=self._follow, name="graph", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following; what is pending stays so."""
        with self._changed:
            self._running = False
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def enqueue(self, rows: Sequence[int]) -> None:
        """Have these rows of the table added soon."""
        with self._changed:
            self._queue.extend(rows)
            self._pending.update(rows)
            self._changed.notify_all()

    def remove(self, row: int) -> None:
        """Forget a row that left the table."""
        with self._changed:
            label = self._label_of_row.pop(row, None)
            self._pending.discard(row)
            if label is not None:
                self._row_of_label[label] = -1
                self._index.mark_deleted(label)
                self._tombstones += 1

    def pending_rows(self) -> NDArray[np.int64]:
        """Return the rows not yet in the graph: whoever searches it must look at these as well."""
        with self._changed:
            return np.fromiter(self._pending, np.int64, len(self._pending))

    def progress(self) -> GraphProgress:
        """Tell how far the graph follows the table."""
        with self._changed:
            return GraphProgress(len(self._label_of_row), len(self._pending), self._tombstones)

    def candidates(self, probes: NDArray[np.float32], k: int) -> list[NDArray[np.int64]]:
        """Return up to `k` rows that may be similar, for each probe. `probes`: float32 (n, dimension), unit length."""
        with self._lock.shared():
            labels = self._query(probes, min(k, self._labels))
            rows = [self._row_of_label[each.astype(np.int64)] for each in labels]
        return [each[each >= 0] for each in rows]

    def _query(self, probes: NDArray[np.float32], k: int) -> Sequence[NDArray[np.uint64]]:
        while k > 0:
            try:
                labels: Sequence[NDArray[np.uint64]] = self._index.knn_query(probes, k=k, num_threads=1)[0]
            except RuntimeError:
                # Fewer than k nodes could be reached from the entry point (issue 321): ask for fewer.
                k //= 2
            else:
                return labels
        return [np.empty(0, np.uint64)] * len(probes)

    def _follow(self) -> None:
        while True:
            with self._changed:
                while self._running and not self._queue:
                    self._changed.wait()
                if not self._running:
                    return
            self._add_slice()

    def _add_slice(self) -> None:
        # As a reader of the table: a row taken from the queue must not be given to another template meanwhile.
        with self._lock.exclusive(), self._table.readers.reading():
            rows = self._next_rows()
            if not rows:
                return
            labels = np.arange(self._labels, self._labels + len(rows))
            self._make_room(self._labels + len(rows))
            started = time.perf_counter()
            self._index.add_items(self._table.columns.vectors[rows], labels, num_threads=self._threads)
            elapsed = time.perf_counter() - started
            self._labels += len(rows)
            self._record(rows, labels)
        self._slice = int(np.clip(len(rows) * SLICE_S / max(elapsed, 1e-6), 1, 2 * self._slice))

    def _next_rows(self) -> list[int]:
        rows: list[int] = []
        with self._changed:
            while self._queue and len(rows) < self._slice:
                row = self._queue.popleft()
                if row in self._pending:  # else it was deleted while it waited
                    rows.append(row)
        return rows

    def _record(self, rows: Sequence[int], labels: NDArray[np.int64]) -> None:
        with self._changed:
            for row, label in zip(rows, labels.tolist(), strict=True):
                if row in self._pending:
                    self._pending.remove(row)
                    self._row_of_label[label] = row
                    self._label_of_row[row] = label
                else:  # deleted while it was added
                    self._index.mark_deleted(label)
                    self._tombstones += 1

    def _make_room(self, labels: int) -> None:
        capacity = len(self._row_of_label)
        if labels <= capacity:
            return
        larger = max(labels, 2 * capacity)
        self._index.resize_index(larger)
        grown = np.full(larger, -1, np.int64)
        grown[:capacity] = self._row_of_label
        self._row_of_label = grown
