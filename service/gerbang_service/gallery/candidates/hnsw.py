"""One hnswlib index whose nodes stand for rows of the table.

Labels are never used twice (nmslib/hnswlib issue 487), so a map leads from them to rows; the index is never saved
(issue 677).
"""

from __future__ import annotations

import hnswlib
import numpy as np
from numpy.typing import NDArray

_SMALLEST = 1024
_SEED = 100  # of the random levels; hnswlib's own default


class Hnsw:
    """A graph over vectors. `add` must run alone; `query` beside other queries and `remove` only."""

    def __init__(self, dimension: int, rows: int, *, m: int, ef_construction: int, ef: int) -> None:
        """Make an empty one with room for `rows` rows of the table and as many nodes."""
        capacity = max(_SMALLEST, rows)
        self._index = hnswlib.Index(space="ip", dim=dimension)
        self._index.init_index(capacity, M=m, ef_construction=ef_construction, random_seed=_SEED)
        self._index.set_ef(ef)
        self._index.set_num_threads(1)
        self._row_of_label = np.full(capacity, -1, np.int64)
        self._label_of_row = np.full(capacity, -1, np.int64)
        self.labels = 0
        self.tombstones = 0

    @property
    def count(self) -> int:
        """Rows in the graph that were not removed."""
        return self.labels - self.tombstones

    def holds(self, rows: int) -> NDArray[np.bool_]:
        """Tell for each of the first `rows` rows whether it is in the graph; bool (rows,)."""
        known: NDArray[np.bool_] = np.zeros(rows, np.bool_)
        labels = self._label_of_row[:rows]
        known[: len(labels)] = labels >= 0
        return known

    def add(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Add rows that are not in it. `vectors`: float32 (len(rows), dimension)."""
        labels = np.arange(self.labels, self.labels + len(rows))
        self._make_room(int(labels[-1]) + 1, int(rows.max()) + 1)
        self._index.add_items(vectors, labels, num_threads=1)
        self._row_of_label[labels] = rows
        self._label_of_row[rows] = labels
        self.labels += len(rows)

    def remove(self, row: int) -> None:
        """Forget a row, if it is in the graph."""
        label = int(self._label_of_row[row]) if row < len(self._label_of_row) else -1
        if label >= 0:
            self._label_of_row[row] = -1
            self._row_of_label[label] = -1
            self._index.mark_deleted(label)
            self.tombstones += 1

    def query(self, probes: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """Return up to `k` near rows of each probe; int64 (probes, <= k), -1 for none."""
        k = min(k, self.count)
        while k > 0:
            try:
                labels = self._index.knn_query(probes, k=k, num_threads=1)[0]
            except RuntimeError:
                # Fewer than k nodes could be reached from the entry point (issue 321): ask for fewer.
                k //= 2
            else:
                rows: NDArray[np.int64] = self._row_of_label[labels.astype(np.int64)]
                return rows
        return np.full((len(probes), 0), -1, np.int64)

    def _make_room(self, labels: int, rows: int) -> None:
        if labels > len(self._row_of_label):
            self._row_of_label = _grown(self._row_of_label, labels)
            self._index.resize_index(len(self._row_of_label))
        if rows > len(self._label_of_row):
            self._label_of_row = _grown(self._label_of_row, rows)


def _grown(column: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    larger = np.full(max(least, 2 * len(column)), -1, np.int64)
    larger[: len(column)] = column
    return larger
