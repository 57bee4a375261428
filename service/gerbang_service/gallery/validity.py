"""When somebody's validity begins or ends: which rows that concerns, between any two moments.

The clock may go on or be set back: either way only the rows with an edge in between are looked at again.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.table import ALWAYS, NEVER, Table

# Edges that are kept as they came; then they are sorted in among the others.
_RECENT: Final = 4096


class Validity:
    """The edges of all rows, and between which two of them `moment_ns` lies. Belongs to who holds off changes."""

    def __init__(self, table: Table, moment_ns: int) -> None:
        self._table = table
        self.moment_ns = moment_ns
        self._span = int(ALWAYS), int(NEVER)
        self._times = np.empty(0, np.int64)
        self._rows = np.empty(0, np.int32)
        self._recent_times = np.empty(_RECENT, np.int64)
        self._recent_rows = np.empty(_RECENT, np.int32)
        self._recent = 0

    def holds(self, now_ns: int) -> bool:
        """Tell whether what holds at `moment_ns` holds at another moment. May be asked by any thread."""
        begin, end = self._span
        return begin <= now_ns < end

    def note(self, rows: NDArray[np.int64]) -> None:
        """Note when the validity of rows begins and ends."""
        times = np.concatenate([self._table.valid_from[rows], self._table.expires[rows]])
        bounded = (times != ALWAYS) & (times != NEVER)
        times, both = times[bounded], np.concatenate([rows, rows])[bounded]
        if not len(times):
            return
        self._span = self._narrowed(*self._span, times)
        begin, end = self._recent, self._recent + len(times)
        if end > _RECENT:
            self._sort_in(times, both)
        else:
            self._recent_times[begin:end], self._recent_rows[begin:end] = times, both
            self._recent = end

    def _narrowed(self, begin: int, end: int, times: NDArray[np.int64]) -> tuple[int, int]:
        past = times <= self.moment_ns
        return int(np.max(times, where=past, initial=begin)), int(np.min(times, where=~past, initial=end))

    def move_to(self, moment_ns: int) -> NDArray[np.int64]:
        """Go to another moment, later or earlier, and return the rows with an edge on the way."""
        first, last = sorted((self.moment_ns, moment_ns))
        recent = self._recent_times[: self._recent]
        passed = self._recent_rows[: self._recent][(first < recent) & (recent <= last)]
        begin, end = np.searchsorted(self._times, (first, last), side="right")
        self.moment_ns = moment_ns
        now = int(np.searchsorted(self._times, moment_ns, side="right"))
        since = int(self._times[now - 1]) if now else int(ALWAYS)
        until = int(self._times[now]) if now < len(self._times) else int(NEVER)
        # All at once: searches look at it meanwhile.
        self._span = self._narrowed(since, until, recent)
        return np.unique(np.concatenate([passed, self._rows[begin:end]])).astype(np.int64)

    def _sort_in(self, times: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Sort in what is recent and these, and leave out what is no edge of its row any more."""
        times = np.concatenate([self._recent_times[: self._recent], times])
        rows = np.concatenate([self._recent_rows[: self._recent], rows.astype(np.int32)])
        # Once each: whoever is changed again and again is noted each time.
        order = np.lexsort((rows, times))
        again = (np.diff(times[order]) == 0) & (np.diff(rows[order]) == 0)
        order = order[np.concatenate([[True], ~again])]
        # Of a row that is noted again, both edges are.
        others = ~np.isin(self._rows, rows)
        times = np.concatenate([self._times[others], times[order]])
        every = np.concatenate([self._rows[others], rows[order]])
        true = (self._table.valid_from[every] == times) | (self._table.expires[every] == times)
        # Two sorted runs, which a stable sort merges.
        order = np.flatnonzero(true)[np.argsort(times[true], kind="stable")]
        self._times, self._rows, self._recent = times[order], every[order], 0
