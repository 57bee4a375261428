"""The table of templates in memory: the truth that every answer comes from.

A row is a template. It is visible from the revision that brought it to the one that took it away. One thread writes;
any number read, without a lock (see consistency.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.combinations import Combination
from gerbang_service.gallery.reserved import regrown, reserved

ALWAYS: Final = np.iinfo(np.int64).min
NEVER: Final = np.iinfo(np.int64).max
_COLUMNS: Final = ("vectors", "born", "died", "combination", "valid_from", "expires", "template_ids")
# Vectors that are given memory by one call, after which who wants to stop can: a tenth of a second's worth.
_OCCUPIED_AT_ONCE: Final = 2**15
NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(slots=True, eq=False)
class Owner:
    """The subject of one or more rows. `valid_from_ns`, `expire_time_ns`: ns since the epoch, or ALWAYS and NEVER.

    `rows`: of its templates. Replaced, never changed, once it can be found.
    """

    subject_id: str
    combination: Combination
    labels: Mapping[str, str]
    valid_from_ns: int
    expire_time_ns: int
    rows: tuple[int, ...]


class Table:
    """All templates, by columns, each as long as there is room; the first `rows` rows are or were in use.

    `vectors`: float32 (_, dimension), unit length; zero when the row is free. `born`, `died`: int64, revisions; a row
    is visible at `born <= revision < died`. `combination`: int32, a number of Combinations. `valid_from`, `expires`:
    int64, ns since the epoch. `template_ids`: int64. `owners`: the subjects, None when the row is free.
    """

    def __init__(self, dimension: int, capacity: int = 1) -> None:
        """`capacity`: rows to make room for at least."""
        least = max(1, capacity)
        self.dimension = dimension
        self.rows = 0
        self.size = 0
        # The widest first: where it gets few addresses, the others ask for no more.
        self.vectors = reserved(np.float32, least, (dimension,))
        most = len(self.vectors)
        self.born = reserved(np.int64, least, most=most)
        self.died = reserved(np.int64, least, most=most)
        self.combination = reserved(np.int32, least, most=most)
        self.valid_from = reserved(np.int64, least, most=most)
        self.expires = reserved(np.int64, least, most=most)
        self.template_ids = reserved(np.int64, least, most=most)
        self.owners: list[Owner | None] = []
        self._free: list[int] = []
        self._room = min(len(getattr(self, name)) for name in _COLUMNS)

    # --- reading ----------------------------------------------------------------------------------------------------

    def visible(self, rows: NDArray[np.int64] | slice, revision: int) -> NDArray[np.bool_]:
        """Tell for each of the rows whether it is there at a revision; bool, as long as `rows`."""
        # In this order: a row that is used again has its `born` before its `died`.
        alive = revision < self.died[rows]
        there: NDArray[np.bool_] = alive & (self.born[rows] <= revision)
        return there

    def in_force(self, rows: NDArray[np.int64] | slice, moment_ns: int) -> NDArray[np.bool_]:
        """Tell for each of the rows whether its subject's validity holds at a moment; bool, as long as `rows`."""
        valid: NDArray[np.bool_] = (self.valid_from[rows] <= moment_ns) & (moment_ns < self.expires[rows])
        return valid

    # --- writing ----------------------------------------------------------------------------------------------------

    def occupy(self, rows: int) -> None:
        """Have the system give memory for an empty table's first `rows` vectors now, rather than when each is written.

        That takes about a second a gigabyte, in which other threads may run.
        """
        self._make_room(rows)
        for start in range(0, rows, _OCCUPIED_AT_ONCE):
            self.vectors[start : min(start + _OCCUPIED_AT_ONCE, rows)] = 0.0

    def add(
        self,
        owners: Sequence[Owner],
        template_ids: NDArray[np.int64],
        vectors: NDArray[np.float32],
        revisions: NDArray[np.int64] | int,
    ) -> NDArray[np.int64]:
        """Add a template for each owner, visible from `revisions` on, and return the rows; int64 (len(owners),)."""
        rows = self._take_rows(len(owners))
        # In this order: a row that was somebody else's must not be seen by who searches an earlier revision.
        self.born[rows] = revisions
        self.died[rows] = NEVER
        self.vectors[rows] = vectors
        self.template_ids[rows] = template_ids
        self.combination[rows] = [owner.combination.number for owner in owners]
        self.valid_from[rows] = [owner.valid_from_ns for owner in owners]
        self.expires[rows] = [owner.expire_time_ns for owner in owners]
        for row, owner in zip(rows.tolist(), owners, strict=True):
            self.owners[row] = owner
        self.size += len(rows)
        return rows

    def describe(self, owner: Owner) -> None:
        """Have an owner's rows say what it says."""
        rows = list(owner.rows)
        self.combination[rows] = owner.combination.number
        self.valid_from[rows] = owner.valid_from_ns
        self.expires[rows] = owner.expire_time_ns
        for row in rows:
            self.owners[row] = owner

    def end(self, rows: Sequence[int], revision: int) -> None:
        """Have rows be seen before `revision` only."""
        self.died[list(rows)] = revision
        self.size -= len(rows)

    def erase(self, rows: NDArray[np.int64]) -> None:
        """Overwrite what ended, and free the rows."""
        self.vectors[rows] = 0.0
        self.template_ids[rows] = 0
        for row in rows.tolist():
            self.owners[row] = None
            self._free.append(row)

    def _take_rows(self, count: int) -> NDArray[np.int64]:
        reused = [self._free.pop() for _ in range(min(count, len(self._free)))]
        first = self.rows
        self._make_room(first + count - len(reused))
        self.rows = first + count - len(reused)
        self.owners.extend([None] * (self.rows - first))
        return np.array([*reused, *range(first, self.rows)], np.int64)

    def _make_room(self, rows: int) -> None:
        if rows <= self._room:
            return
        for name in _COLUMNS:
            # One by one: where addresses are limited, some may have got more than others.
            column = getattr(self, name)
            if rows > len(column):
                setattr(self, name, regrown(column, self.rows, 2 * rows))
        self._room = min(len(getattr(self, name)) for name in _COLUMNS)
