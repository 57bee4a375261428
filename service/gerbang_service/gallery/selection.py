"""Which rows count in a search, as a bitmap that the sweep scans by: a filter costs no recall and no time.

A bitmap is made once for a filter, then kept up to date row by row as the table changes, and made anew when somebody's
validity begins or ends.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.table import NEVER, Columns, Table

# Filters kept; an airport has a few: by direction, by list.
_KEPT = 32


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows count: on one of the lists in `lists` (uint64 words, as Columns.lists) and in force at `now_ns`.

    `lists` None: every live row, whatever its validity.
    """

    lists: NDArray[np.uint64] | None
    now_ns: int

    @property
    def key(self) -> bytes | None:
        """What two filters that differ only in time have in common."""
        return None if self.lists is None else self.lists.tobytes()

    def listed(self, columns: Columns, rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Tell for each of the rows whether it is live and on one of the lists; bool, as long as `rows`."""
        live = columns.live[rows]
        if self.lists is None:
            return live
        words = min(len(self.lists), columns.lists.shape[1])
        on_list: NDArray[np.bool_] = live & (columns.lists[rows, :words] & self.lists[:words]).any(axis=1)
        return on_list

    def admits(self, columns: Columns, rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Tell for each of the rows whether it counts; bool, as long as `rows`."""
        listed = self.listed(columns, rows)
        if self.lists is None:
            return listed
        in_force = (columns.valid_from[rows] <= self.now_ns) & (self.now_ns < columns.expires[rows])
        admitted: NDArray[np.bool_] = listed & in_force
        return admitted

    def next_change_ns(self, columns: Columns, rows: NDArray[np.int64] | slice) -> int:
        """Return when the validity of one of the rows next begins or ends, ns since the epoch; NEVER for never."""
        if self.lists is None:
            return int(NEVER)
        listed = self.listed(columns, rows)
        times = np.concatenate([columns.valid_from[rows][listed], columns.expires[rows][listed]])
        return int(np.min(times, where=times > self.now_ns, initial=NEVER))


@dataclass(slots=True)
class Selection:
    """The rows that a filter admits. `count` of them; `bits`: uint8, bit r % 8 of byte r // 8; as is until `until_ns`.

    `selector`: a faiss.IDSelector over `bits`.
    """

    filter: Filter
    bits: NDArray[np.uint8]
    count: int
    until_ns: int
    selector: Any

    def rows(self) -> NDArray[np.int64]:
        """Return the admitted rows, ascending."""
        return np.flatnonzero(np.unpackbits(self.bits, bitorder="little"))


class Selections:
    """The selections of the filters in use. Thread-safe; `changed` must follow every change of a row."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes | None, Selection] = OrderedDict()

    def of(self, wanted: Filter) -> Selection:
        """Return the selection of a filter, as of now."""
        with self._lock:
            found = self._kept.get(wanted.key)
            if found is None or found.until_ns <= wanted.now_ns:
                found = self._kept[wanted.key] = _select(wanted, self._table.columns)
            self._kept.move_to_end(wanted.key)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return found

    def changed(self, rows: NDArray[np.int64], now_ns: int) -> None:
        """Bring all selections up to date after these rows changed."""
        columns = self._table.columns
        with self._lock:
            for selection in self._kept.values():
                asked = Filter(selection.filter.lists, now_ns)
                for row, admitted in zip(rows.tolist(), asked.admits(columns, rows).tolist(), strict=True):
                    byte, bit = row >> 3, 1 << (row & 7)
                    if admitted != bool(selection.bits[byte] & bit):
                        selection.bits[byte] ^= bit
                        selection.count += 1 if admitted else -1
                selection.until_ns = min(selection.until_ns, asked.next_change_ns(columns, rows))

    def forget(self) -> None:
        """Drop all selections: the table grew, or many rows changed at once."""
        with self._lock:
            self._kept.clear()


def _select(wanted: Filter, columns: Columns) -> Selection:
    everything = slice(0, columns.rows)
    admitted = np.zeros(columns.capacity, np.bool_)
    admitted[: columns.rows] = wanted.admits(columns, everything)
    bits = np.packbits(admitted, bitorder="little")
    return Selection(
        wanted,
        bits,
        int(np.count_nonzero(admitted)),
        wanted.next_change_ns(columns, everything),
        faiss.IDSelectorBitmap(bits),
    )
