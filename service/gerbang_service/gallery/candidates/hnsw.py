"""One hnswlib index whose nodes stand for rows of the table.

Labels are never used twice (nmslib/hnswlib issue 487), so a map leads from them to rows; the index is never saved
(issue 677).
"""

from __future__ import annotations

from typing import Final

import hnswlib
import numpy as np
from numpy.typing import NDArray

_SMALLEST: Final = 1024
_SEED: Final = 100  # of the random levels; hnswlib's own default


class Hnsw:
    """A graph over vectors. `insert` must run alone; `query` beside anything else.

    `name` and `remove`, which keep the maps between labels and rows, need a lock around them.
    """

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

    def rows(self) -> NDArray[np.int64]:
        """Return the rows in the graph; int64 (count,)."""
        rows = self._row_of_label[: self.labels]
        return rows[rows >= 0]

    def insert(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Add nodes and return their labels; int64 (n,). They stand for nothing until they are named.

        `vectors`: float32 (n, dimension).
        """
        labels = np.arange(self.labels, self.labels + len(vectors))
        if (least := self.labels + len(vectors)) > len(self._row_of_label):
            longer = _grown(self._row_of_label, least)
            self._index.resize_index(len(longer))
            self._row_of_label = longer
        self._index.add_items(vectors, labels, num_threads=1)
        self.labels += len(vectors)
        return labels

    def name(self, labels: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Have nodes stand for rows; one whose row is -1 is deleted."""
        kept = rows >= 0
        if kept.any() and (most := int(rows.max())) >= len(self._label_of_row):
            self._label_of_row = _grown(self._label_of_row, most + 1)
        self._label_of_row[rows[kept]] = labels[kept]
        self._row_of_label[labels] = rows
        for label in labels[~kept].tolist():
            self._delete(label)

    def remove(self, row: int) -> bool:
        """Forget a row; tell whether it was in the graph."""
        label = int(self._label_of_row[row]) if row < len(self._label_of_row) else -1
        if label < 0:
            return False
        self._label_of_row[row] = -1
        self._row_of_label[label] = -1
        self._delete(label)
        return True

    def _delete(self, label: int) -> None:
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
                rows: NDArray[np.int64] = self._row_of_label[labels.view(np.int64)]
                return rows
        return np.full((len(probes), 0), -1, np.int64)


def _grown(column: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    larger = np.full(max(least, 2 * len(column)), -1, np.int64)
    larger[: len(column)] = column
    return larger
