"""The table of templates in memory: the truth that every search answers from.

A row is a template. One thread writes; any number read, without a lock: arrays only grow by replacement, a row is
published by raising `Columns.rows` after it is filled, and a freed row is reused only when no search that might know
it is running (`readers`).
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.readers import Readers

ALWAYS = np.iinfo(np.int64).min
NEVER = np.iinfo(np.int64).max
_GROWTH = 1.25
_SMALLEST = 1024
NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Owner:
    """The subject of one or more rows. `valid_from_ns`, `expire_time_ns`: ns since the epoch, or ALWAYS and NEVER."""

    subject_id: str
    watchlists: tuple[str, ...]
    labels: Mapping[str, str]
    valid_from_ns: int
    expire_time_ns: int
    template_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """The table at one moment. Rows from `rows` on are not filled.

    `vectors`: float32 (capacity, dimension), unit length, zero when the row is free. `live`: bool (capacity,).
    `lists`: uint64 (capacity, words), bit b of word w set when the subject is on the watchlist numbered 64 w + b.
    `valid_from`, `expires`: int64 (capacity,), ns since the epoch. `template_ids`: int64 (capacity,).
    `owners`: the subjects, by row; None when the row is free.
    """

    rows: int
    vectors: NDArray[np.float32]
    live: NDArray[np.bool_]
    lists: NDArray[np.uint64]
    valid_from: NDArray[np.int64]
    expires: NDArray[np.int64]
    template_ids: NDArray[np.int64]
    owners: list[Owner | None]

    @property
    def capacity(self) -> int:
        """Rows that fit."""
        return len(self.live)


class Table:
    """All templates. Writing methods belong to one thread, `columns` and `readers` to any."""

    def __init__(self, dimension: int, capacity: int = _SMALLEST) -> None:
        self.dimension = dimension
        self.readers = Readers()
        self._row_of: dict[int, int] = {}
        self._free: list[int] = []
        self._freed: deque[tuple[int, int]] = deque()
        capacity = max(capacity, _SMALLEST)
        self._columns = Columns(
            rows=0,
            vectors=np.zeros((capacity, dimension), np.float32),
            live=np.zeros(capacity, np.bool_),
            lists=np.zeros((capacity, 1), np.uint64),
            valid_from=np.zeros(capacity, np.int64),
            expires=np.zeros(capacity, np.int64),
            template_ids=np.zeros(capacity, np.int64),
            owners=[],
        )

    @property
    def columns(self) -> Columns:
        """The table as it is now."""
        return self._columns

    @property
    def live_count(self) -> int:
        """Live templates."""
        return len(self._row_of)

    def row_of(self, template_id: int) -> int | None:
        """Return the row of a live template."""
        return self._row_of.get(template_id)

    def add(self, owner: Owner, template_id: int, vector: NDArray[np.float32], bits: NDArray[np.uint64]) -> int:
        """Add a template and return its row. `vector`: float32 (dimension,), unit; `bits`: as in Columns.lists."""
        row = self._take_row()
        self._widen(len(bits))
        columns = self._columns
        columns.vectors[row] = vector
        columns.template_ids[row] = template_id
        self._describe(row, owner, bits)
        columns.live[row] = True
        self._row_of[template_id] = row
        if row == columns.rows:
            self._columns = dataclasses.replace(columns, rows=row + 1)
        return row

    def add_many(
        self,
        owners: Sequence[Owner],
        template_ids: NDArray[np.int64],
        vectors: NDArray[np.float32],
        bits: NDArray[np.uint64],
    ) -> NDArray[np.int64]:
        """Append many templates at once, as `add` one by one would into a table without free rows; return the rows."""
        first, count = self._columns.rows, len(owners)
        self._grow(first + count)
        self._widen(bits.shape[1])
        columns, rows = self._columns, slice(first, first + count)
        columns.vectors[rows] = vectors
        columns.template_ids[rows] = template_ids
        columns.lists[rows, : bits.shape[1]] = bits
        columns.valid_from[rows] = [owner.valid_from_ns for owner in owners]
        columns.expires[rows] = [owner.expire_time_ns for owner in owners]
        columns.owners.extend(owners)
        columns.live[rows] = True
        self._row_of.update(zip(template_ids.tolist(), range(first, first + count), strict=True))
        self._columns = dataclasses.replace(columns, rows=first + count)
        return np.arange(first, first + count)

    def describe(self, template_id: int, owner: Owner, bits: NDArray[np.uint64]) -> None:
        """Change what is known of a live template's subject."""
        self._widen(len(bits))
        self._describe(self._row_of[template_id], owner, bits)

    def remove(self, template_id: int) -> int:
        """Remove a template, overwrite its vector, and return the row it had."""
        row = self._row_of.pop(template_id)
        columns = self._columns
        # First dead, then erased: a search that reads `live` after the vector never reports a half-erased one.
        columns.live[row] = False
        columns.owners[row] = None
        columns.lists[row] = 0
        columns.vectors[row] = 0.0
        columns.template_ids[row] = 0
        self._freed.append((self.readers.next_epoch(), row))
        return row

    def clear_list(self, number: int) -> None:
        """Take every subject off the watchlist of that number."""
        word, bit = divmod(number, 64)
        lists = self._columns.lists
        if word < lists.shape[1]:
            lists[:, word] &= ~np.uint64(1 << bit)

    def _describe(self, row: int, owner: Owner, bits: NDArray[np.uint64]) -> None:
        columns = self._columns
        # In one step: a search must not see the subject off all lists on its way from one to another.
        words = np.zeros(columns.lists.shape[1], np.uint64)
        words[: len(bits)] = bits
        columns.lists[row] = words
        columns.valid_from[row] = owner.valid_from_ns
        columns.expires[row] = owner.expire_time_ns
        if row == len(columns.owners):
            columns.owners.append(owner)
        else:
            columns.owners[row] = owner

    def _widen(self, words: int) -> None:
        """Make room for more watchlists."""
        columns = self._columns
        if words > columns.lists.shape[1]:
            wider = np.zeros((columns.capacity, words), np.uint64)
            wider[:, : columns.lists.shape[1]] = columns.lists
            self._columns = dataclasses.replace(columns, lists=wider)

    def _take_row(self) -> int:
        oldest = self.readers.oldest()
        while self._freed and self._freed[0][0] < oldest:
            self._free.append(self._freed.popleft()[1])
        if self._free:
            return self._free.pop()
        rows = self._columns.rows
        self._grow(rows + 1)
        return rows

    def _grow(self, rows: int) -> None:
        columns = self._columns
        if rows <= columns.capacity:
            return
        capacity = max(rows, int(columns.capacity * _GROWTH))

        def grown(column: NDArray[np.generic]) -> NDArray[np.generic]:
            # np.zeros takes its pages from the system untouched, so unused capacity costs no memory.
            larger = np.zeros((capacity, *column.shape[1:]), column.dtype)
            larger[: columns.rows] = column[: columns.rows]
            return larger

        arrays = ("vectors", "live", "lists", "valid_from", "expires", "template_ids")
        replaced = {name: grown(getattr(columns, name)) for name in arrays}
        self._columns = dataclasses.replace(columns, **replaced)  # type: ignore[arg-type]  # arrays of the same dtypes
